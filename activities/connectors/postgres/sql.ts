import { MigrationError } from '../../../migration/errors';

/** A table (or view, index, sequence, type) by its exact catalog names: no case folding happens after parsing. */
export interface TableName { schema: string; name: string }

const DEFAULT_SCHEMA = 'public';

/** The one way identifiers get into SQL. @throws MigrationError `SQL_INVALID` for what no identifier can hold. */
export function quoteIdent(name: string): string {
  if (name === '' || name.includes('\0')) throw new MigrationError('SQL_INVALID', 'a name in SQL must not be empty or hold a NUL character');
  return `"${name.replaceAll('"', '""')}"`;
}

/** For statements that take no parameters (COPY, SET, EXPLAIN in a cursor). Safe with standard_conforming_strings on or off. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new MigrationError('SQL_INVALID', 'a text in SQL must not hold a NUL character');
  const doubled = text.replaceAll("'", "''");
  return doubled.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}

/** `"schema"."name"`. */
export function qualified(table: TableName): string {
  return `${quoteIdent(table.schema)}.${quoteIdent(table.name)}`;
}

/** `"a", "b"`. */
export function columnList(names: readonly string[]): string {
  return names.map(quoteIdent).join(', ');
}

/** The columns of a row as they are read: `"a", "b"::text AS "b"`. */
export function selectList(columns: readonly { name: string; readAs?: string }[]): string {
  return columns.map(({ name, readAs }) => (readAs === undefined ? quoteIdent(name) : `${quoteIdent(name)}::${readAs} AS ${quoteIdent(name)}`)).join(', ');
}

/** As a plan would name it: for messages. */
export function displayName(table: TableName): string {
  return `${displayPart(table.schema)}.${displayPart(table.name)}`;
}

export function sameTable(a: TableName, b: TableName): boolean {
  return a.schema === b.schema && a.name === b.name;
}

/**
 * Reads `table`, `schema.table`, and either part in double quotes (`"My schema"."a.b"`, a quote doubled inside).
 * Names are taken exactly as written, quoted or not; a part needs quotes only when it holds a dot, a quote or outer blanks.
 * @throws MigrationError `PLAN_INVALID`.
 */
export function parseTableName(text: string, defaultSchema = DEFAULT_SCHEMA): TableName {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")+)"|([^".\s][^".]*?))\s*(\.|$)/y;
  while (pattern.lastIndex < text.length || parts.length === 0 || endedInDot(text, pattern.lastIndex)) {
    const match = pattern.exec(text);
    const part = match?.[1]?.replaceAll('""', '"') ?? match?.[2];
    if (!match || !part) throw invalidName(text);
    parts.push(part);
    if (match[3] === '') break;
  }
  const [first = '', second] = parts;
  if (parts.length > 2) throw invalidName(text);
  return second === undefined ? { schema: defaultSchema, name: first } : { schema: first, name: second };
}

function endedInDot(text: string, at: number): boolean {
  return at === text.length && text[at - 1] === '.';
}

function invalidName(text: string): MigrationError {
  return new MigrationError('PLAN_INVALID', `"${text}" is no table name. Write table or schema.table; put a part in double quotes when it holds a dot or a quote.`);
}

function displayPart(part: string): string {
  return /[."]|^\s|\s$/.test(part) ? `"${part.replaceAll('"', '""')}"` : part;
}

/** User SQL as part of a statement: without its closing semicolon, on lines of its own so that a trailing comment ends. */
export function embedded(sql: string): string {
  return `\n${sql.replace(/;\s*$/, '')}\n`;
}

/** A statement with SQL of the plan in it, sent so that the server takes one statement and no more. */
export function oneStatement(text: string): { text: string; values: unknown[] } {
  // `queryMode` is missing in the driver's types: without parameters only it asks for the extended protocol.
  const query = { text, values: [], queryMode: 'extended' };
  return query;
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { Column, Value } from '../../migration/value';
import { encodeText, isWellFormed } from '../connectors/postgres/database-text';
import { sqlState } from '../connectors/postgres/errors';
import { columnList, qualified, quoteIdent } from '../connectors/postgres/sql';
import { valueToText } from '../connectors/postgres/values-codec';
import type { DatasetSides } from './dataset-sides';
import { forgetInserted, journalInserted } from './own-rows';

/** PostgreSQL's limit of parameters is 65,535 per statement. */
const PARAMETERS_MAX = 20_000;

/** What the server answered to one row: null when it took it, else the SQLSTATE and the constraint's name. */
export type RowAnswer = null | { sqlstate: string; constraint: string | null };

function tableOf(sides: DatasetSides): string {
  return qualified({ schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table });
}

/** Text that is no UTF-8 goes as bytes, which the driver does not touch. */
type Parameter = string | Buffer | null;

function parameterOf(text: string | null): Parameter {
  return text === null || isWellFormed(text) ? text : encodeText(text);
}

function parametersOf(columns: readonly Column[], values: readonly Value[]): Parameter[] {
  return columns.map((column, at) => parameterOf(valueToText(column.kind, values[at] ?? null)));
}

/** `(a, b)` placeholders; the server infers each parameter's type from its column, so assignment rules hold: nothing is cut or cast. */
function placeholders(rows: number, width: number): string {
  const lines: string[] = [];
  for (let row = 0; row < rows; row += 1) lines.push(`(${Array.from({ length: width }, (_, at) => `$${row * width + at + 1}`).join(', ')})`);
  return lines.join(', ');
}

/**
 * Inserts rows in the caller's transaction, and journals them where the table holds rows of others. When the server refuses some, they are found one by one; the rest goes in.
 * Answers one entry per row, in order. Errors that are not about a row (lock, connection) are thrown.
 */
export async function insertRows(client: ClientBase, sides: DatasetSides, rows: readonly Value[][]): Promise<RowAnswer[]> {
  const columns = sides.targetColumns;
  const size = columns.length === 0 ? 1 : Math.max(1, Math.floor(PARAMETERS_MAX / columns.length));
  const answers: RowAnswer[] = [];
  for (let from = 0; from < rows.length; from += size) {
    const part = rows.slice(from, from + size);
    const answer = await tryInsert(client, sides, part);
    if (answer === null) answers.push(...part.map(() => null));
    else if (part.length === 1) answers.push(answer);
    else for (const row of part) answers.push(await tryInsert(client, sides, [row]));
  }
  await journalInserted(client, sides, rows.filter((_, at) => answers[at] === null));
  return answers;
}

async function tryInsert(client: ClientBase, sides: DatasetSides, rows: readonly Value[][]): Promise<RowAnswer> {
  const columns = sides.targetColumns;
  const overriding = columns.some((column) => column.identity === 'always') ? ' OVERRIDING SYSTEM VALUE' : '';
  const sql = columns.length === 0
    ? `INSERT INTO ${tableOf(sides)} DEFAULT VALUES`
    : `INSERT INTO ${tableOf(sides)} (${columnList(columns.map((column) => column.name))})${overriding} VALUES ${placeholders(rows.length, columns.length)}`;
  return attempt(client, async () => {
    const { rowCount } = await client.query(sql, rows.flatMap((row) => parametersOf(columns, row)));
    if (rowCount === rows.length) return;
    throw new MigrationError('COPY_INCOMPLETE', `dataset ${sides.ctx.name}: the target kept ${rowCount ?? 0} of ${rows.length} rows. A rule or trigger of the table swallows rows; switch it off, then try again.`);
  });
}

/** Sets the named columns of the one row with this key. */
export function updateRow(client: ClientBase, sides: DatasetSides, key: readonly (string | null)[], values: readonly Value[], names: readonly string[]): Promise<RowAnswer> {
  const texts = parametersOf(sides.targetColumns, values);
  const parameters: Parameter[] = [];
  const place = (text: Parameter): string => `$${parameters.push(text)}`;
  const sets = names.map((name) => `${quoteIdent(name)} = ${place(texts[sides.targetColumns.findIndex((column) => column.name === name)] ?? null)}`);
  const sql = `UPDATE ${tableOf(sides)} SET ${sets.join(', ')} WHERE ${keyCondition(sides, key, place)}`;
  return attempt(client, () => client.query(sql, parameters));
}

/** Deletes the row with this key; answers null also when it was gone. */
export async function deleteByKey(client: ClientBase, sides: DatasetSides, key: readonly (string | null)[]): Promise<RowAnswer> {
  const parameters: (string | null)[] = [];
  const condition = keyCondition(sides, key, (text) => `$${parameters.push(text)}`);
  const answer = await attempt(client, () => client.query(`DELETE FROM ${tableOf(sides)} WHERE ${condition}`, parameters));
  if (answer === null) await forgetInserted(client, sides, [key]);
  return answer;
}

/** Deletes exactly one of the rows whose written columns all have these texts. */
export function deleteOneEqual(client: ClientBase, sides: DatasetSides, content: readonly (string | null)[]): Promise<RowAnswer> {
  const table = tableOf(sides);
  const conditions = sides.targetColumns.length === 0 ? ['true'] : sides.targetColumns.map((column, at) => `${quoteIdent(column.name)}::text IS NOT DISTINCT FROM $${at + 1}`);
  return attempt(client, () => client.query(
    `DELETE FROM ${table} WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM ${table} WHERE ${conditions.join(' AND ')} LIMIT 1)`, content.map(parameterOf)));
}

function keyCondition(sides: DatasetSides, key: readonly (string | null)[], place: (text: string | null) => string): string {
  return (sides.targetKey ?? []).map((at, part) => {
    const text = key[part] ?? null;
    const column = sides.targetColumns[at];
    const name = quoteIdent(column?.name ?? '');
    // By its own type: beside a name of an object or a composite the server would take the text for something else.
    return text === null ? `${name} IS NULL` : `${name} = ${place(text)}::${column?.type ?? 'text'}`;
  }).join(' AND ');
}

async function attempt(client: ClientBase, statement: () => Promise<unknown>): Promise<RowAnswer> {
  await client.query('SAVEPOINT caravan_row');
  try {
    await statement();
    await client.query('RELEASE SAVEPOINT caravan_row');
    return null;
  } catch (error) {
    const sqlstate = sqlState(error);
    if (sqlstate === null || !/^(22|23|44|P0)/.test(sqlstate)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT caravan_row');
    return { sqlstate, constraint: (error as { constraint?: string }).constraint ?? null };
  }
}

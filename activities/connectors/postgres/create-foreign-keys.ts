import type { ClientBase } from 'pg';
import { attempt } from './create-dependencies';
import type { CreateRequest } from './create-request';
import { columnList, displayName, quoteIdent, quoteLiteral, qualified, sameTable } from './sql';
import type { ForeignKeyDefinition, LeftOut, TableDefinition } from './table-definition';

/** Adds the foreign keys of a created table whose other table is in the plan too, in the target's names. */
export async function createForeignKeys(client: ClientBase, request: CreateRequest, definition: TableDefinition, all: CreateRequest[]): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  for (const key of definition.foreignKeys) {
    const reason = await createForeignKey(client, request, key, all);
    if (reason !== null) leftOut.push({ what: 'foreign key', name: key.name, reason });
  }
  return leftOut;
}

/** Null when it was made, else why not. */
async function createForeignKey(client: ClientBase, request: CreateRequest, key: ForeignKeyDefinition, all: CreateRequest[]): Promise<string | null> {
  const other = all.find((one) => 'table' in one.source && sameTable(one.source.table, key.references));
  if (!other) return `${displayName(key.references)} is not in the plan`;
  const columns = key.columns.map((name) => newName(request, name));
  const refColumns = key.refColumns.map((name) => newName(other, name));
  const setColumns = key.setColumns.map((name) => newName(request, name));
  if ([...columns, ...refColumns, ...setColumns].includes(null)) return 'it uses a column that the plan drops';
  const text = (names: (string | null)[]): string => columnList(names.filter((name) => name !== null));
  const made = await attempt(
    client,
    `ALTER TABLE ${qualified(request.target)} ADD CONSTRAINT ${quoteIdent(key.name)} FOREIGN KEY (${text(columns)}) REFERENCES ${qualified(other.target)} (${text(refColumns)})`
    + `${key.full ? ' MATCH FULL' : ''} ON UPDATE ${key.onUpdate} ON DELETE ${key.onDelete}${setColumns.length > 0 ? ` (${text(setColumns)})` : ''}`
    + `${key.deferrable ? ' DEFERRABLE' : ''}${key.deferred ? ' INITIALLY DEFERRED' : ''}${key.validated ? '' : ' NOT VALID'}`,
  );
  if (made !== true) return made;
  if (key.comment !== null) await client.query(`COMMENT ON CONSTRAINT ${quoteIdent(key.name)} ON ${qualified(request.target)} IS ${quoteLiteral(key.comment)}`);
  return null;
}

function newName(request: CreateRequest, column: string): string | null {
  if (request.dropped.includes(column)) return null;
  return (Object.hasOwn(request.renames, column) ? request.renames[column] : undefined) ?? column;
}

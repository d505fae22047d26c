import type { ClientBase } from 'pg';
import { attempt } from './attempt';
import type { CreateRequest } from './create-request';
import { displayName, qualified, quoteIdent, quoteLiteral, type TableName } from './sql';
import type { ForeignKeyDefinition, LeftOut } from './table-definition';

/** Where a table of the source, or one of its partitions, is in the target, and the request that speaks of its columns. */
export interface Place { source: TableName; target: TableName; request: CreateRequest }

/** Adds foreign keys of a created table whose other table is in the plan too, in the target's names. */
export async function createForeignKeys(client: ClientBase, place: Place, keys: ForeignKeyDefinition[], places: (source: TableName) => Place | undefined, major: number): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  for (const key of keys) {
    const reason = await createForeignKey(client, place, key, places(key.references), major);
    if (reason !== null) leftOut.push({ what: 'foreign key', name: key.name, reason });
  }
  return leftOut;
}

/** Null when it was made, else why not. */
async function createForeignKey(client: ClientBase, place: Place, key: ForeignKeyDefinition, other: Place | undefined, major: number): Promise<string | null> {
  if (!other) return `${displayName(key.references)} is not in the plan`;
  if (major < 15 && key.setColumns.length > 0) return `the target's version ${major} cannot set single columns on delete`;
  if (major < 18 && (key.period || !key.enforced)) return `the target's version ${major} has no ${key.period ? 'temporal' : 'unenforced'} ones`;
  const columns = key.columns.map((name) => newName(place.request, name));
  const refColumns = key.refColumns.map((name) => newName(other.request, name));
  const setColumns = key.setColumns.map((name) => newName(place.request, name));
  if ([...columns, ...refColumns, ...setColumns].includes(null)) return 'it uses a column that the plan drops';
  const text = (names: (string | null)[], period = false): string =>
    names.map((name, at) => `${period && at === names.length - 1 ? 'PERIOD ' : ''}${quoteIdent(name ?? '')}`).join(', ');
  const sql = `ALTER TABLE ${qualified(place.target)} ADD CONSTRAINT ${quoteIdent(key.name)} FOREIGN KEY (${text(columns, key.period)}) REFERENCES ${qualified(other.target)} (${text(refColumns, key.period)})`
    + `${key.full ? ' MATCH FULL' : ''} ON UPDATE ${key.onUpdate} ON DELETE ${key.onDelete}${setColumns.length > 0 ? ` (${text(setColumns)})` : ''}`
    + `${key.deferrable ? ' DEFERRABLE' : ''}${key.deferred ? ' INITIALLY DEFERRED' : ''}${key.enforced ? '' : ' NOT ENFORCED'}`;
  const made = await attempt(client, `${sql}${key.validated || !key.enforced ? '' : ' NOT VALID'}`);
  if (made !== true) return made;
  if (key.comment !== null) await client.query(`COMMENT ON CONSTRAINT ${quoteIdent(key.name)} ON ${qualified(place.target)} IS ${quoteLiteral(key.comment)}`);
  return null;
}

function newName(request: CreateRequest, column: string): string | null {
  if (request.dropped.includes(column)) return null;
  return (Object.hasOwn(request.renames, column) ? request.renames[column] : undefined) ?? column;
}

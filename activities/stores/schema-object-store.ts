import type { ClientBase } from 'pg';
import type { ChosenObject, NotCarried } from '../connectors/postgres/carried-objects';
import { hasTable } from './control-store';

/** `made`: in the target. `waiting`: for the rows of its datasets. `left`: the target does not get it. */
export type ObjectState = 'made' | 'waiting' | 'left';

/** An object as the target's ledger knows it. */
export interface StoredObject { source: string; kind: ChosenObject['kind']; name: string; state: ObjectState; statements: string[]; datasets: string[]; reason: string | null }

const WHERE = 'WHERE migration = $1 AND source = $2 AND kind = $3 AND name = $4';

/** In the order they are made. Nothing where an earlier version made the ledger. */
export async function readObjects(client: ClientBase, migration: string): Promise<StoredObject[]> {
  if (!(await hasTable(client, 'schema_object'))) return [];
  const { rows } = await client.query<StoredObject>(
    'SELECT source, kind, name, state, statements, datasets, reason FROM caravan.schema_object WHERE migration = $1 ORDER BY source, ordinal', [migration]);
  return rows;
}

/** Keeps what became of every object of one source, in the caller's transaction, in place of what was known. */
export async function storeObjects(client: ClientBase, migration: string, source: string, objects: readonly { object: ChosenObject; state: ObjectState }[], left: readonly NotCarried[]): Promise<void> {
  await client.query('DELETE FROM caravan.schema_object WHERE migration = $1 AND source = $2', [migration, source]);
  const rows = [
    ...objects.map(({ object: { kind, name, afterLoad, datasets }, state }) => ({ kind, name, state, statements: afterLoad, datasets, reason: null })),
    ...left.map(({ what, name, reason }) => ({ kind: what, name, state: 'left', statements: [], datasets: [], reason })),
  ].map((row, ordinal) => ({ ...row, ordinal }));
  await client.query(
    `INSERT INTO caravan.schema_object (migration, source, kind, name, ordinal, state, statements, datasets, reason)
     SELECT $1, $2, r.kind, r.name, r.ordinal, r.state, r.statements, r.datasets, r.reason
     FROM pg_catalog.json_to_recordset($3::json) r(kind text, name text, ordinal int, state text, statements text[], datasets text[], reason text)
     ON CONFLICT DO NOTHING`,
    [migration, source, JSON.stringify(rows)]);
}

/** Locks the object for making it; false when it is not waiting any more. */
export async function lockWaiting(client: ClientBase, migration: string, { source, kind, name }: StoredObject): Promise<boolean> {
  const { rowCount } = await client.query(`SELECT 1 FROM caravan.schema_object ${WHERE} AND state = 'waiting' FOR UPDATE`, [migration, source, kind, name]);
  return rowCount === 1;
}

export async function settleObject(client: ClientBase, migration: string, { source, kind, name }: StoredObject, state: ObjectState, reason: string | null = null): Promise<void> {
  await client.query(`UPDATE caravan.schema_object SET state = $5, reason = $6 ${WHERE}`, [migration, source, kind, name, state, reason]);
}

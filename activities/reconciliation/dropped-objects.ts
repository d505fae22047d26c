import type { ClientBase } from 'pg';
import type { DroppedObject } from '../connectors/postgres/dropped-object';
import { rebuild } from '../connectors/postgres/target-objects';
import type { PostgresSystem } from '../connectors/postgres/system';
import { underFence, type DatasetFence } from './dataset-fence';

/** An object taken away for the load; `dataset` took it. */
export interface StoredObject { id: string; dataset: string; state: 'dropped' | 'rebuilt'; object: DroppedObject }

/** In the order they were taken. */
export async function readDropped(client: ClientBase, migration: string, kinds: readonly DroppedObject['kind'][]): Promise<StoredObject[]> {
  const { rows } = await client.query<{ id: string; dataset: string; state: StoredObject['state']; definition: DroppedObject }>(
    'SELECT o.id::text AS id, dataset, state, definition FROM caravan.dropped_object o WHERE migration = $1 AND kind = ANY ($2) ORDER BY o.id', [migration, kinds]);
  return rows.map((row) => ({ id: row.id, dataset: row.dataset, state: row.state, object: row.definition }));
}

/** Makes the object again and says so, in one fenced transaction: an attempt that dies leaves nothing half made. */
export async function rebuildDropped(system: PostgresSystem, held: DatasetFence, stored: StoredObject): Promise<void> {
  await underFence(system, held, async (client) => {
    await client.query('SET LOCAL statement_timeout = 0');
    await rebuild(client, stored.object);
    await client.query(`UPDATE caravan.dropped_object SET state = 'rebuilt' WHERE id = $1`, [stored.id]);
  });
}

import type { ClientBase } from 'pg';
import type { DatasetRef } from '../migration/protocol';
import type { TableName } from './connectors/postgres/sql';
import type { DroppedObject } from './connectors/postgres/target-objects';
import type { ActivityDependencies } from './dependencies';
import { takeDatasetFence, underFence } from './reconciliation/dataset-fence';
import { readDropped, standingOf, takeAway, type StoredObject } from './reconciliation/dropped-objects';
import { whileAlive } from './reconciliation/liveness';
import { loadDataset, type DatasetContext } from './run-context';
import { hasTable } from './stores/control-store';
import { loadDatasetRow, type DatasetRow } from './stores/ledger';

/** What leans on others goes first. */
const ORDER: DroppedObject['kind'][] = ['foreign_key', 'check', 'unique', 'index', 'trigger'];
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Before a copy that was left goes on: takes away again what `restoreObjects` gave back, with the definitions of the first time. Triggers would fire, and
 * foreign keys refuse rows whose parents come later. Nothing happens for a dataset that is closed, was rolled back, or merges into rows of others. Fenced; repeatable.
 * @throws MigrationError `FENCED`, `SYSTEM_BUSY` (transient) when the table is in use.
 */
export function takeAgain(deps: ActivityDependencies, input: DatasetRef): Promise<void> {
  return whileAlive(async () => {
    const ctx = await loadDataset(deps, input);
    const { row, objects } = await ctx.target.use((client) => restoredOf(client, ctx));
    if (objects.length === 0) return;
    const work = async (client: ClientBase): Promise<void> => {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      for (const stored of objects) await takeAway(client, stored);
    };
    if (row) await underFence(ctx.target, await takeDatasetFence(ctx.target, input.ref.migration, ctx.name), work);
    else await ctx.target.transaction(work);
  });
}

/** Objects of and to the dataset's table that are there. Of a dataset that is new, `openDataset` itself finds all but the proof that a foreign key had. */
async function restoredOf(client: ClientBase, { ref, name, targetTable }: DatasetContext): Promise<{ row: DatasetRow | null; objects: StoredObject[] }> {
  if (!(await hasTable(client, 'dropped_object'))) return { row: null, objects: [] };
  const row = await loadDatasetRow(client, ref.migration, name);
  if (row && (row.state === 'closed' || row.state === 'undone' || row.base !== 'empty')) return { row, objects: [] };
  const table: TableName = { schema: targetTable.schema, name: targetTable.table };
  const objects: StoredObject[] = [];
  for (const stored of await readDropped(client, ref.migration, ORDER, table)) {
    const standing = await standingOf(client, stored);
    if (row ? standing !== 'away' : standing === 'unproved') objects.push(stored);
  }
  return { row, objects: objects.sort((a, b) => ORDER.indexOf(a.object.kind) - ORDER.indexOf(b.object.kind)) };
}

import type { ClientBase } from 'pg';
import type { DatasetRef } from '../migration/protocol';
import { ownRowsOf } from './connectors/postgres/catalog';
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
    if (!row) return ctx.target.transaction((client) => takeBeforeEntry(client, ctx));
    const held = await takeDatasetFence(ctx.target, { migration: input.ref.migration, dataset: ctx.name, generation: row.generation, states: ['open', 'copied'] });
    return underFence(ctx.target, held, async (client) => {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await takeAll(client, (await restoredOf(client, ctx)).objects);
    });
  });
}

/** Of a dataset that no ledger knows, under the lock that enters it: a worker that comes late finds it entered, and leaves all of it alone. */
async function takeBeforeEntry(client: ClientBase, ctx: DatasetContext): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL idle_in_transaction_session_timeout = ${LOCK_TIMEOUT_MS / 2}`);
  await client.query(`LOCK TABLE ${await ownRowsOf(client, tableOf(ctx))} IN SHARE ROW EXCLUSIVE MODE`);
  const { row, objects } = await restoredOf(client, ctx);
  if (!row) await takeAll(client, objects);
}

async function takeAll(client: ClientBase, objects: readonly StoredObject[]): Promise<void> {
  for (const stored of objects) await takeAway(client, stored);
}

function tableOf({ targetTable: { schema, table } }: DatasetContext): TableName {
  return { schema, name: table };
}

/** Objects of and to the dataset's table that are there. Of a dataset that is new, `openDataset` itself finds all but the proof that a foreign key had. */
async function restoredOf(client: ClientBase, ctx: DatasetContext): Promise<{ row: DatasetRow | null; objects: StoredObject[] }> {
  if (!(await hasTable(client, 'dropped_object'))) return { row: null, objects: [] };
  const row = await loadDatasetRow(client, ctx.ref.migration, ctx.name);
  if (row && (row.state === 'closed' || row.state === 'undone' || row.base !== 'empty')) return { row, objects: [] };
  const objects: StoredObject[] = [];
  for (const stored of await readDropped(client, ctx.ref.migration, ORDER, tableOf(ctx))) {
    const standing = await standingOf(client, stored);
    if (row ? standing !== 'away' : standing === 'unproved') objects.push(stored);
  }
  return { row, objects: objects.sort((a, b) => ORDER.indexOf(a.object.kind) - ORDER.indexOf(b.object.kind)) };
}

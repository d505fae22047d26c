import type { ClientBase } from 'pg';
import { MigrationError } from '../migration/errors';
import type { SplitBounds } from '../migration/split';
import { ownRowsOf } from './connectors/postgres/catalog';
import { toMigrationError } from './connectors/postgres/errors';
import { qualified, sameTable, type TableName } from './connectors/postgres/sql';
import type { DroppedObject } from './connectors/postgres/target-objects';
import { takeDatasetFence, underFence } from './reconciliation/dataset-fence';
import { readDropped, standingOf, takeAway } from './reconciliation/dropped-objects';
import type { DatasetContext } from './run-context';
import { datasetCounts, insertSplits, loadDatasetRow, type DatasetRow } from './stores/ledger';

/** What leans on others goes first. */
const ORDER: DroppedObject['kind'][] = ['foreign_key', 'check', 'unique', 'index', 'trigger'];
const LOCK_TIMEOUT_MS = 30_000;
/** What the ledger holds of a dataset beside its own row. */
const RECORDS = ['quarantine', 'commit', 'split', 'adjustment', 'merged_key', 'before_image'];

/** What the new generation begins with. `prepare` makes the table ready for the load; `ours`: all of its rows are this migration's and go. */
export interface NewGeneration {
  bounds: SplitBounds[];
  amendment: number;
  engineVersion: string;
  keyed: boolean;
  sourceKey: string[] | null;
  mappingDigest: string;
  rowsEstimate: number;
  prepare: (client: ClientBase, table: TableName, ours: boolean) => Promise<'empty' | 'foreign'>;
}

/**
 * Starts a dataset again after an amendment of the plan, or after a rollback: its rows, its quarantine and its ledger entries go, and the next generation begins, in one
 * fenced transaction. Whoever still copies, closes or repairs the former one finds its fence, epoch and generation gone at the next commit.
 * A repeat, or a second worker, finds the generation begun.
 * @throws MigrationError `PLAN_CHANGED` when the table holds rows of others, or the plan names another table; `SYSTEM_BUSY` (transient).
 */
export async function beginAgain(context: DatasetContext, next: NewGeneration): Promise<DatasetRow> {
  const { name, ref, target, targetTable } = context;
  const table: TableName = { schema: targetTable.schema, name: targetTable.table };
  const held = await takeDatasetFence(target, { migration: ref.migration, dataset: name });
  return underFence(target, held, async (client) => {
    const former = await requireRow(client, context);
    if (former.amendment >= next.amendment && former.state !== 'undone') return former;
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await assertSameTable(client, context, table);
    const ours = former.state === 'undone' ? await keptRows(client, context) : await allOurs(client, context, former, table);
    if (ours || (former.state === 'undone' && await isEmpty(client, table))) await takeRestored(client, ref.migration, table);
    const base = await next.prepare(client, table, ours);
    for (const part of RECORDS) await client.query(`DELETE FROM caravan.${part} WHERE migration = $1 AND dataset = $2`, [ref.migration, name]);
    const generation = former.generation + 1;
    await client.query(
      `UPDATE caravan.dataset SET generation = $3, epoch = epoch + 1, state = 'open', undone = NULL, undone_at = NULL, undo_purged_at = NULL, undo_erased = 0, keyed = $4, source_key = $5, plan_hash = $6, mapping_digest = $7, engine_version = $8,
         rows_estimate = $9, amendment = $10, base = $11, opened_at = clock_timestamp(), closed_at = NULL
       WHERE migration = $1 AND dataset = $2`,
      [ref.migration, name, generation, next.keyed, next.sourceKey, ref.planHash, next.mappingDigest, next.engineVersion, next.rowsEstimate, next.amendment, base]);
    await insertSplits(client, { migration: ref.migration, dataset: name, generation }, next.bounds);
    return requireRow(client, context);
  }).catch((error: unknown) => { throw toMigrationError(error, `datasets.${name}.target`); });
}

async function requireRow(client: ClientBase, { ref, name }: DatasetContext): Promise<DatasetRow> {
  const row = await loadDatasetRow(client, ref.migration, name);
  if (!row) throw new MigrationError('FENCED', `dataset ${name} is no longer in the ledger`);
  return row;
}

/** After a rollback that left the rows where they were, they are still this migration's; after one that removed them, what is there is somebody else's. */
async function keptRows(client: ClientBase, { ref, name }: DatasetContext): Promise<boolean> {
  const { rows } = await client.query<{ kept: boolean }>(`SELECT coalesce(undone ->> 'rows' = 'kept' AND base = 'empty', false) AS kept FROM caravan.dataset WHERE migration = $1 AND dataset = $2`, [ref.migration, name]);
  return rows[0]?.kept === true;
}

async function isEmpty(client: ClientBase, table: TableName): Promise<boolean> {
  const { rows } = await client.query<{ filled: boolean }>(`SELECT EXISTS (SELECT FROM ${await ownRowsOf(client, table)}) AS filled`);
  return rows[0]?.filled !== true;
}

async function allOurs(client: ClientBase, context: DatasetContext, former: DatasetRow, table: TableName): Promise<boolean> {
  await assertOurs(client, context, former, table);
  return former.base === 'empty';
}

async function assertSameTable(client: ClientBase, { ref, name }: DatasetContext, table: TableName): Promise<void> {
  const { rows: [stored] } = await client.query<TableName>('SELECT target_schema AS schema, target_table AS name FROM caravan.dataset WHERE migration = $1 AND dataset = $2', [ref.migration, name]);
  if (stored && !sameTable(stored, table)) throw new MigrationError('PLAN_CHANGED', `datasets.${name}.target: its rows are in ${qualified(stored)}. Give the dataset another name to copy it into ${qualified(table)}.`);
}

/** Rows are removed only where all of them are this migration's: the table was empty at the start, and nobody has added any since. */
async function assertOurs(client: ClientBase, { ref, name }: DatasetContext, former: DatasetRow, table: TableName): Promise<void> {
  const id = { migration: ref.migration, dataset: name, generation: former.generation };
  const counts = await datasetCounts(client, id);
  if (former.base !== 'empty') {
    if (counts.read === 0) return;
    throw new MigrationError('PLAN_CHANGED', `datasets.${name}.target: its rows were written among rows of others and cannot be told apart. Undo the edit, or copy into another table under another dataset name.`);
  }
  const own = await ownRowsOf(client, table);
  await client.query(`LOCK TABLE ${own} IN SHARE ROW EXCLUSIVE MODE`);
  const { rows: [found] } = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ${own}`);
  const others = Number(found?.rows ?? 0) - counts.written - counts.unchanged;
  if (others <= 0) return;
  throw new MigrationError('PLAN_CHANGED', `datasets.${name}.target: the table holds ${others} more rows than this migration wrote. Remove them, or undo the edit with: npx caravan amend PLAN`);
}

/** What was built again, or given back, since the first copy goes away once more with its first definition: one that has no proof yet must not lose it. */
async function takeRestored(client: ClientBase, migration: string, table: TableName): Promise<void> {
  const stored = await readDropped(client, migration, ORDER, table);
  for (const one of stored.sort((a, b) => ORDER.indexOf(a.object.kind) - ORDER.indexOf(b.object.kind))) {
    if ((await standingOf(client, one)) !== 'away') await takeAway(client, one);
  }
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../migration/errors';
import type { DatasetRef, OpenedDataset } from '../migration/protocol';
import type { SplitBounds } from '../migration/split';
import { toMigrationError } from './connectors/postgres/errors';
import { PostgresSource } from './connectors/postgres/source';
import type { TableName } from './connectors/postgres/sql';
import { disableTriggers, dropForLoad, type DroppedObject } from './connectors/postgres/target-objects';
import { ownRowsOf } from './connectors/postgres/catalog';
import { emptyTable } from './connectors/postgres/sink';
import { assertAsPrepared } from './changed-columns';
import { openMapping, storeShape, type DatasetMapping } from './dataset-mapping';
import { assertEngine } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { beginAgain } from './new-generation';
import { PlannedTables } from './planned-tables';
import { loadDataset, type DatasetContext } from './run-context';
import { StagingStore } from './staging-store';
import { latestAmendment, markApplied } from './stores/amendments';
import { fromStore } from './stores/stored-text';
import { insertSplits, installLedger, loadDatasetRow, unfinishedSplits, type DatasetRow } from './stores/ledger';

const SPLIT_ROWS_MIN = 100_000;
const SPLIT_ROWS_MAX = 2_000_000;
/** Splits per worker: the last ones even out how long the workers take. */
const SPLITS_PER_WORKER = 2;
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Puts a dataset into the ledger, or finds it there. One transaction on the target decides the state of the table under a lock, marks it as owned,
 * freezes the splits, and takes indexes, foreign keys and triggers away with their definitions stored. Repeats find the first result.
 * A dataset that the plan was amended for begins again: its rows and its records go, and a new generation starts, in one transaction.
 * @throws MigrationError `TARGET_NOT_EMPTY`, `TARGET_OWNED`, `PLAN_CHANGED`, `SCHEMA_CHANGED`, `ENGINE_MISMATCH`; as `openMapping`.
 */
export async function openDataset(deps: ActivityDependencies, input: DatasetRef): Promise<OpenedDataset> {
  return withHeartbeat({ dataset: input.dataset }, async () => {
    const context = await loadDataset(deps, input);
    await installLedger(context.target);
    const mapping = await openMapping(deps, context);
    const { migration } = input.ref;
    const known = await context.target.use((client) => loadDatasetRow(client, migration, input.dataset));
    const amendment = await latestAmendment(context.control, migration, input.dataset);
    const row = await openedRow(deps, context, mapping, known, amendment);
    await markApplied(context.control, migration, input.dataset, amendment);
    await storeShape(context, mapping);
    const splits = await context.target.use((client) => unfinishedSplits(client, { migration, dataset: input.dataset, generation: row.generation }));
    if (context.dataset.mode === 'staged') await publishCheckpoints(deps, context, row, splits.unfinished);
    return { generation: row.generation, splitCount: splits.count, keyed: row.keyed, done: row.state === 'closed', unfinished: splits.unfinished };
  });
}

/** The dataset as the ledger should know it: as it stands, in a new generation where the plan was amended since, or entered for the first time. */
async function openedRow(deps: ActivityDependencies, context: DatasetContext, mapping: DatasetMapping, known: DatasetRow | null, amendment: number): Promise<DatasetRow> {
  if (known && known.amendment >= amendment && known.state !== 'undone') {
    assertSame(deps, context, mapping, known);
    return known;
  }
  if (!known) await assertAsPrepared(context, mapping);
  const bounds = await planBounds(context, mapping);
  if (!known) return enterLedger(deps, context, mapping, bounds, amendment);
  return beginAgain(context, {
    bounds, amendment, engineVersion: deps.engineVersion, keyed: mapping.source.key !== null, sourceKey: mapping.source.key, mappingDigest: mapping.digest, rowsEstimate: Math.round(mapping.source.rowsEstimate),
    prepare: (client, table, ours) => prepareTable(client, context, table, ours),
  });
}

function assertSame(deps: ActivityDependencies, { name }: DatasetContext, mapping: DatasetMapping, row: DatasetRow): void {
  if (row.mappingDigest !== mapping.digest) {
    throw new MigrationError('SCHEMA_CHANGED', `dataset ${name}: columns, transforms or rules are not those that its copy began with. Put the table or the plan back as it was, then retry; rows written so far stay.`);
  }
  assertEngine(deps, name, row);
}

async function enterLedger(deps: ActivityDependencies, context: DatasetContext, mapping: DatasetMapping, bounds: SplitBounds[], amendment: number): Promise<DatasetRow> {
  const { name, ref, targetTable: target } = context;
  const table: TableName = { schema: target.schema, name: target.table };
  return context.target.transaction(async (client) => {
    // A worker that stalls in here would hold the table against the retry: the server ends its transaction before the retry gives up.
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL idle_in_transaction_session_timeout = ${LOCK_TIMEOUT_MS / 2}`);
    await client.query(`LOCK TABLE ${await ownRowsOf(client, table)} IN SHARE ROW EXCLUSIVE MODE`);
    const other = await loadDatasetRow(client, ref.migration, name);
    if (other) return other;
    await markOwned(client, context, table);
    const base = await prepareTable(client, context, table, false);
    await client.query(
      `INSERT INTO caravan.dataset (migration, dataset, generation, state, keyed, source_key, base, target_schema, target_table, plan_hash, mapping_digest, engine_version, rows_estimate, amendment)
       VALUES ($1, $2, 1, 'open', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
      [ref.migration, name, mapping.source.key !== null, mapping.source.key, base, table.schema, table.name, ref.planHash, mapping.digest, deps.engineVersion, Math.round(mapping.source.rowsEstimate), amendment],
    );
    await insertSplits(client, { migration: ref.migration, dataset: name, generation: 1 }, bounds);
    const entered = await loadDatasetRow(client, ref.migration, name);
    if (!entered) throw new MigrationError('INTERNAL', `dataset ${name}: the ledger did not keep it`);
    return entered;
  }).catch((error: unknown) => { throw toMigrationError(error, `datasets.${name}.target`); });
}

/** Decides the state of the table, under its lock, and takes away what hinders the load. `ours`: its rows are an earlier generation's and go. */
async function prepareTable(client: ClientBase, context: DatasetContext, table: TableName, ours: boolean): Promise<'empty' | 'foreign'> {
  const found = ours ? 'replaced' : await decideBase(client, context, table);
  if (found === 'foreign') return 'foreign';
  await storeDropped(client, context, await clearForLoad(client, context, table));
  // Only now: foreign keys between tables of this migration are gone.
  if (found === 'replaced') await emptyTable(client, await ownRowsOf(client, table));
  return 'empty';
}

async function planBounds(context: DatasetContext, { source }: DatasetMapping): Promise<SplitBounds[]> {
  if (!source.key) return [{ after: null, upTo: null }];
  const { parallel_workers: workers, split_rows: splitRows } = context.plan.batch;
  const rowsPerSplit = splitRows ?? Math.min(SPLIT_ROWS_MAX, Math.max(SPLIT_ROWS_MIN, Math.ceil(source.rowsEstimate / (workers * SPLITS_PER_WORKER))));
  return new PostgresSource(context.source, `datasets.${context.name}.source`).planSplits(context.sourceSelection, source.key, rowsPerSplit);
}

async function markOwned(client: ClientBase, { ref, name }: DatasetContext, table: TableName): Promise<void> {
  await client.query(
    `INSERT INTO caravan.owned_table (table_schema, table_name, migration, dataset) VALUES ($1, $2, $3, $4) ON CONFLICT (table_schema, table_name) DO NOTHING`,
    [table.schema, table.name, ref.migration, name],
  );
  const { rows } = await client.query<{ migration: string; dataset: string }>('SELECT migration, dataset FROM caravan.owned_table WHERE table_schema = $1 AND table_name = $2', [table.schema, table.name]);
  const owner = rows[0];
  if (owner && (owner.migration !== ref.migration || owner.dataset !== name)) {
    throw new MigrationError('TARGET_OWNED', `datasets.${name}.target: table ${table.schema}.${table.name} belongs to dataset ${owner.dataset} of migration ${owner.migration}. Give this dataset another target table.`);
  }
}

/** The table's state under the lock: {empty, foreign rows} x {on_conflict, on_existing}. */
async function decideBase(client: ClientBase, { dataset, name }: DatasetContext, table: TableName): Promise<'empty' | 'foreign' | 'replaced'> {
  const { rows } = await client.query<{ filled: boolean }>(`SELECT EXISTS (SELECT FROM ${await ownRowsOf(client, table)}) AS filled`);
  if (rows[0]?.filled !== true) return 'empty';
  const { on_conflict: onConflict, on_existing: onExisting } = dataset.target;
  if (onExisting === 'replace') return 'replaced';
  if (onConflict === 'update' || onExisting === 'append') return 'foreign';
  throw new MigrationError(
    'TARGET_NOT_EMPTY',
    `datasets.${name}.target: table ${table.schema}.${table.name} holds rows that are not this migration's. Empty it, or say under target what to do with them: on_existing: append (keep them), on_existing: replace (delete them), or on_conflict: update (merge by key).`,
  );
}

async function clearForLoad(client: ClientBase, { ref, plan, dataset }: DatasetContext, table: TableName): Promise<DroppedObject[]> {
  const planned = PlannedTables.of(plan);
  const isLoading = async (other: TableName): Promise<boolean> => {
    if (planned.owner(dataset.target.connection, other) !== undefined) return true;
    // Tables of datasets that an amendment took out of the plan are still ours: their foreign keys must not hinder either.
    const { rowCount } = await client.query('SELECT FROM caravan.owned_table WHERE migration = $1 AND table_schema = $2 AND table_name = $3', [ref.migration, other.schema, other.name]);
    return rowCount === 1;
  };
  const dropped = await dropForLoad(client, table, { isLoading, ...(dataset.target.key ? { arbiter: dataset.target.key } : {}) });
  return [...dropped, ...await disableTriggers(client, table)];
}

/** A foreign key belongs to the dataset of the table that holds it: it is built again when that one is loaded. */
async function storeDropped(client: ClientBase, { ref, name, plan, dataset }: DatasetContext, objects: readonly DroppedObject[]): Promise<void> {
  for (const object of objects) {
    const owner = PlannedTables.of(plan).owner(dataset.target.connection, { schema: object.schema, name: object.table });
    await client.query(
      `INSERT INTO caravan.dropped_object (migration, dataset, kind, table_schema, table_name, name, definition) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (migration, kind, table_schema, table_name, name) DO UPDATE SET state = 'dropped', definition = excluded.definition`,
      [ref.migration, owner ?? name, object.kind, object.schema, object.table, object.name, JSON.stringify(object)],
    );
  }
}

/** A worker of the source side may not reach the ledger: it learns where each split stands from the staging store. */
async function publishCheckpoints(deps: ActivityDependencies, context: DatasetContext, row: DatasetRow, unfinished: readonly number[]): Promise<void> {
  const store = new StagingStore(deps.staging, context.ref.migration);
  const { rows } = await context.target.use((client) => client.query<{ ordinal: number; commit_no: string; cursor_key: string[] | null; after_key: string[] | null; upto_key: string[] | null; done: boolean }>(
    `SELECT ordinal, commit_no, cursor_key, after_key, upto_key, done FROM caravan.split WHERE migration = $1 AND dataset = $2 AND generation = $3 AND ordinal = ANY ($4)`,
    [context.ref.migration, context.name, row.generation, unfinished],
  ));
  for (const split of rows) {
    await store.putCheckpoint(
      { dataset: context.name, generation: row.generation, ordinal: split.ordinal },
      { commitNo: Number(split.commit_no), cursor: fromStore(split.cursor_key), after: fromStore(split.after_key), upTo: fromStore(split.upto_key), done: split.done },
    );
  }
}

import type { BatchLimits } from '../migration/batch';
import { MigrationError } from '../migration/errors';
import type { Plan } from '../migration/plan/schema';
import type { StepOverrides } from '../migration/protocol';
import { batchLimits, PostgresSource, rowText } from './connectors/postgres/source';
import { compileKernel, type Kernel } from './connectors/postgres/kernel';
import { PostgresSplitWriter } from './connectors/postgres/sink';
import { mergeTarget } from './connectors/postgres/merge';
import { openMapping, writtenKey, type DatasetMapping, type Reach } from './dataset-mapping';
import type { ActivityDependencies } from './dependencies';
import { loadDataset, type DatasetContext } from './run-context';
import { loadDatasetRow, type DatasetRow, type SplitId } from './stores/ledger';
import type { DatasetRef } from '../migration/protocol';

/** A commit holds at most about this many bytes of rows as read. */
const COMMIT_BYTES_MAX = 64 * 1024 * 1024;
const COMMIT_BYTES_MIN = 256 * 1024;
/** A lane holds up to four times a commit: as read and as mapped, of the commit being written and of the next one. */
const COMMITS_HELD = 4;
const BATCHES_PER_COMMIT = 8;

/** What the four stages of one dataset share. */
export interface Pipeline extends DatasetMapping {
  context: DatasetContext;
  /** Null on a worker that does not reach the target. */
  ledger: DatasetRow | null;
  reader: PostgresSource;
  /** The source's own text of a row's columns. */
  textOf: typeof rowText;
  kernel: Kernel;
  limits: BatchLimits;
  /** Rows per commit. */
  commitRows: number;
  /** Bytes of rows as read per commit, from the plan's `memory_limit`. */
  commitBytes: number;
}

/**
 * Opens a dataset that `openDataset` has put into the ledger, and compares it with what the ledger recorded.
 * `reach`: the sides that this worker needs; the ledger is known only where the target is.
 * @throws MigrationError `SCHEMA_CHANGED` when columns, transforms or rules are no longer those that the copy began with; `ENGINE_MISMATCH`; as `openMapping`.
 */
export async function openPipeline(deps: ActivityDependencies, input: DatasetRef, overrides: StepOverrides = {}, reach: Reach = 'both'): Promise<Pipeline> {
  const context = await loadDataset(deps, input);
  const mapping = await openMapping(deps, context, reach);
  const reachesLedger = reach === 'both' || reach === 'target';
  const ledger = reachesLedger ? await context.target.use((client) => loadDatasetRow(client, input.ref.migration, input.dataset)) : null;
  if (reachesLedger && !ledger) throw new MigrationError('FENCED', `dataset ${input.dataset} is not open in the ledger of ${context.target.config.name}; start the migration again`);
  if (ledger && ledger.mappingDigest !== mapping.digest) {
    throw new MigrationError('SCHEMA_CHANGED', `dataset ${input.dataset}: columns, transforms or rules are not those that the copy began with. Put the table or the plan back as it was, then retry; rows written so far stay.`);
  }
  if (ledger) assertEngine(deps, input.dataset, ledger);
  const { batch } = context.plan;
  const commitBytes = commitBytesFor(batch, overrides.parallelWorkers ?? batch.parallel_workers);
  const place = `datasets.${input.dataset}.source`;
  return {
    ...mapping,
    context,
    ledger,
    get reader() { return new PostgresSource(context.source, place); },
    textOf: rowText,
    kernel: compileKernel(mapping.encoding, mapping.mapping),
    limits: batchLimits(overrides.batchSize ?? batch.batch_size, Math.ceil(commitBytes / BATCHES_PER_COMMIT)),
    commitBytes,
    commitRows: overrides.checkpointInterval ?? batch.checkpoint_interval,
  };
}

/** One copy is the work of one version from its first row to its last: another one might read or convert the rest otherwise. @throws MigrationError `ENGINE_MISMATCH`. */
export function assertEngine({ engineVersion }: ActivityDependencies, dataset: string, row: DatasetRow): void {
  if (row.state !== 'open' || row.engineVersion === engineVersion) return;
  throw new MigrationError('ENGINE_MISMATCH', `dataset ${dataset}: its copy was begun by Caravan ${row.engineVersion}, this worker is ${engineVersion}. Finish it with a worker of that version.`);
}

/** The target's key holds the source's key unchanged: then no two source rows meet in it. */
function keyArrives({ mapping, source }: Pipeline, arbiter: readonly string[]): boolean {
  const plain = mapping.fields.filter((field) => field.apply === null && field.applyMany === null && arbiter.includes(field.column.name));
  return source.key?.every((name) => plain.some((field) => mapping.read[field.inputs[0] ?? -1]?.name === name)) ?? false;
}

/** The share of `memory_limit` that one commit of one lane may take, when every lane of the worker is at work. */
function commitBytesFor({ memory_limit: memory, parallel_datasets: datasets }: Plan['batch'], workers: number): number {
  return Math.max(COMMIT_BYTES_MIN, Math.min(COMMIT_BYTES_MAX, Math.floor(memory / (COMMITS_HELD * workers * datasets))));
}

/** Takes the fence of a split and opens the connection that writes it. */
export function openWriter(pipeline: Pipeline, id: SplitId): Promise<PostgresSplitWriter> {
  const { context, ledger, mapping } = pipeline;
  if (!ledger) throw new MigrationError('INTERNAL', `dataset ${context.name}: only a worker that reaches the target can write`);
  const table = { schema: context.targetTable.schema, name: context.targetTable.table };
  const foreign = ledger.base === 'foreign';
  const mode = context.dataset.target.on_conflict === 'update' ? 'update' : 'append';
  const arbiter = writtenKey(context, pipeline);
  if (foreign && mode === 'update' && !arbiter) throw new MigrationError('MAPPING_INVALID', `datasets.${context.name}.target: on_conflict: update needs a key whose columns are all filled; the table has none. Declare \`key\` and a unique index over it.`);
  return PostgresSplitWriter.open(context.target, {
    id,
    epoch: ledger.epoch,
    table,
    columns: mapping.write,
    sourceColumns: pipeline.readColumns.map((column) => column.name),
    merge: foreign && arbiter ? mergeTarget(table, arbiter, mapping.write, mode, !keyArrives(pipeline, arbiter)) : null,
    oneTransaction: !ledger.keyed && ledger.base === 'foreign',
    failOnRefusal: context.dataset.on_invalid === 'fail',
  });
}

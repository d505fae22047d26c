import type { ClientBase } from 'pg';
import { noCounts } from '../migration/accounting';
import { MigrationError } from '../migration/errors';
import type { SliceInput, SliceResult } from '../migration/protocol';
import { toMigrationError } from './connectors/postgres/errors';
import { ownRowsOf } from './connectors/postgres/catalog';
import { emptyTable } from './connectors/postgres/sink';
import { copySlice, type SliceProgress } from './copy-split';
import { openPipeline, openWriter, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { insertSplits, takeFence, type SplitId } from './stores/ledger';

/**
 * Copies a dataset without a key as one generation: one COPY, so one snapshot, from the first row to the last.
 * It cannot resume in the middle: a repeat discards what the last attempt wrote, in one transaction, and starts a new generation.
 * @throws MigrationError as `copySplit`.
 */
export async function copyGeneration(deps: ActivityDependencies, input: SliceInput): Promise<SliceResult> {
  const progress: SliceProgress = { split: 0, rows: 0, commits: 0 };
  return withHeartbeat(progress, async () => {
    const pipeline = await openPipeline(deps, input, input.overrides);
    const generation = await startGeneration(pipeline);
    if (generation === null) return { state: 'done' as const, counts: noCounts(), commits: 0 };
    const writer = await openWriter(pipeline, { migration: input.ref.migration, dataset: input.dataset, generation, ordinal: 0 });
    try {
      return await copySlice(pipeline, writer, Number.POSITIVE_INFINITY, progress);
    } finally {
      await writer.close();
    }
  });
}

/** The generation to copy: the current one when it is untouched, else a new one. Null when the current one is complete. */
async function startGeneration({ context, ledger }: Pipeline): Promise<number | null> {
  const { migration } = context.ref;
  const client = await context.target.connect();
  try {
    const id: SplitId = { migration, dataset: context.name, generation: ledger?.generation ?? 1, ordinal: 0 };
    const { checkpoint } = await takeFence(client, id);
    if (checkpoint.done) return null;
    if (checkpoint.commitNo === 0) return id.generation;
    await client.query('BEGIN');
    await discardGeneration(client, id, await ownRowsOf(client, { schema: context.targetTable.schema, name: context.targetTable.table }));
    await client.query('COMMIT');
    return id.generation + 1;
  } catch (error) {
    throw toMigrationError(error, `dataset ${context.name}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Rows, quarantine and ledger entries of the generation go, and the next one begins, together. The table was empty at its start. */
async function discardGeneration(client: ClientBase, id: SplitId, table: string): Promise<void> {
  const key = [id.migration, id.dataset, id.generation];
  const { rowCount } = await client.query(
    `UPDATE caravan.dataset SET generation = generation + 1 WHERE migration = $1 AND dataset = $2 AND generation = $3 AND state = 'open' AND base = 'empty'`, key);
  if (rowCount !== 1) throw new MigrationError('FENCED', `dataset ${id.dataset}: generation ${id.generation} is no longer current; another attempt has begun a newer one`);
  await emptyTable(client, table);
  for (const part of ['quarantine', 'commit', 'split', 'adjustment']) {
    await client.query(`DELETE FROM caravan.${part} WHERE migration = $1 AND dataset = $2 AND generation = $3`, key);
  }
  await insertSplits(client, { migration: id.migration, dataset: id.dataset, generation: id.generation + 1 }, [{ after: null, upTo: null }]);
}

import type { Client, ClientBase } from 'pg';
import type { Counts } from '../migration/accounting';
import { isMigrationError, MigrationError } from '../migration/errors';
import type { ClosedDataset, DatasetRef } from '../migration/protocol';
import { readSequences, advanceSequences, type SequenceState } from './connectors/postgres/sequences';
import { parseTableName, qualified } from './connectors/postgres/sql';
import type { ActivityDependencies } from './dependencies';
import { takeDatasetFence, underFence, type DatasetFence } from './reconciliation/dataset-fence';
import type { DatasetSides } from './reconciliation/dataset-sides';
import { readDropped, rebuildDropped } from './reconciliation/dropped-objects';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import { withSource } from './reconciliation/row-mover';
import { enforceUnique, subjectOf, subjectOfIndex, type UniqueSubject } from './reconciliation/unique-pass';
import { loadDataset } from './run-context';
import { datasetCounts, unfinishedSplits } from './stores/ledger';
import { countQuarantine } from './stores/quarantine-store';

/**
 * Finishes a dataset whose splits are all copied: repeated values of what must be unique go to quarantine, dropped indexes and unique constraints
 * are built again, sequences move forward, statistics are taken, and the ledger says closed. Foreign keys and triggers wait for `settleReferences`.
 * Every step is fenced and repeatable: a retry goes on where the last one ended, and a closed dataset answers at once.
 * @throws MigrationError `ROW_REFUSED` (unique with `on_invalid: fail`), `FENCED`, `ACCOUNTING_BROKEN`.
 */
export async function closeDataset(deps: ActivityDependencies, input: DatasetRef): Promise<ClosedDataset> {
  return whileAlive(async (signal) => {
    const ctx = await loadDataset(deps, input);
    const sides = await openSides(deps, ctx, true);
    if (sides.ledger.state === 'closed') return ctx.target.use((client) => summary(client, sides));
    const held = await takeDatasetFence(ctx.target, { migration: input.ref.migration, dataset: ctx.name, generation: sides.ledger.generation, states: ['open', 'copied'] });
    await markCopied(sides, held);
    await withSource(sides, (source) => enforceAllUnique(source, sides, held, signal));
    for (const stored of await ownObjects(sides)) {
      signal.throwIfAborted();
      if (stored.state === 'dropped') await rebuildDropped(ctx.target, held, stored);
    }
    await forwardSequences(sides, held);
    return finish(sides, held);
  });
}

/** From here on no late commit of a copy goes through, and the time that indexes take is not the copy's. */
async function markCopied(sides: DatasetSides, held: DatasetFence): Promise<void> {
  await underFence(sides.ctx.target, held, async (client) => {
    const { unfinished } = await unfinishedSplits(client, held);
    if (unfinished.length > 0) throw new MigrationError('INTERNAL', `dataset ${sides.ctx.name}: ${unfinished.length} splits are not copied yet, so it cannot be closed`);
    await client.query(`UPDATE caravan.dataset SET state = 'copied' WHERE migration = $1 AND dataset = $2 AND state = 'open'`, [held.migration, held.dataset]);
  });
}

async function enforceAllUnique(source: Client | null, sides: DatasetSides, held: DatasetFence, signal: AbortSignal): Promise<void> {
  const judged = new Set<string>();
  const enforce = (subjectIn: (client: ClientBase) => Promise<UniqueSubject | null>): Promise<void> => underFence(sides.ctx.target, held, async (client) => {
    const subject = await subjectIn(client);
    const name = JSON.stringify(subject);
    if (!subject || judged.has(name)) return;
    judged.add(name);
    await enforceUnique(client, source, sides, held, subject, signal);
  });
  for (const entry of sides.ctx.dataset.validation.unique) await enforce(() => Promise.resolve(subjectOf(typeof entry === 'string' ? [entry] : entry)));
  for (const stored of await ownObjects(sides)) {
    signal.throwIfAborted();
    if (stored.state === 'dropped') await enforce((client) => subjectOfIndex(client, sides, stored.object));
  }
}

async function ownObjects(sides: DatasetSides) {
  const { schema, table: name } = sides.ctx.targetTable;
  return sides.ctx.target.use((client) => readDropped(client, sides.ctx.ref.migration, ['index', 'unique'], { schema, name }));
}

/** To the further of the source's state and the column's extreme. A source sequence that may not be read does not count. */
export async function forwardSequences(sides: DatasetSides, held: DatasetFence): Promise<void> {
  const { ctx } = sides;
  const states = await sourceSequences(sides);
  const byTarget = states.flatMap((state) => {
    const column = sides.targetColumns.find((candidate) => sides.plainSource(candidate.name) === state.column);
    return column ? [{ ...state, column: column.name }] : [];
  });
  await underFence(ctx.target, held, (client) => advanceSequences(client, { schema: ctx.targetTable.schema, name: ctx.targetTable.table }, byTarget));
}

async function sourceSequences({ ctx, sourceReached }: DatasetSides): Promise<SequenceState[]> {
  const { table } = ctx.sourceSelection;
  if (!sourceReached || table === undefined) return [];
  try {
    return await ctx.source.use((client) => readSequences(client, parseTableName(table)));
  } catch (error) {
    if (isMigrationError(error) && error.code === 'PRIVILEGE_MISSING') return [];
    throw error;
  }
}

async function finish(sides: DatasetSides, held: DatasetFence): Promise<ClosedDataset> {
  const { ctx } = sides;
  await underFence(ctx.target, held, (client) => client.query(`ANALYZE ${qualified({ schema: ctx.targetTable.schema, name: ctx.targetTable.table })}`));
  return underFence(ctx.target, held, async (client) => {
    const counts = await datasetCounts(client, held);
    await assertQuarantineHeld(client, sides, counts);
    await client.query(`UPDATE caravan.dataset SET state = 'closed', closed_at = clock_timestamp() WHERE migration = $1 AND dataset = $2`, [held.migration, held.dataset]);
    return summary(client, sides);
  });
}

/** What the ledger counts as quarantined is there, row by row. */
async function assertQuarantineHeld(client: ClientBase, { ctx }: DatasetSides, counts: Counts): Promise<void> {
  const { open, waived } = await countQuarantine(client, ctx.ref.migration, ctx.name);
  if (open + waived === counts.quarantined) return;
  throw new MigrationError('ACCOUNTING_BROKEN', `dataset ${ctx.name}: the ledger counts ${counts.quarantined} quarantined rows, quarantine holds ${open + waived}; please report it`);
}

async function summary(client: ClientBase, sides: DatasetSides): Promise<ClosedDataset> {
  const id = { migration: sides.ctx.ref.migration, dataset: sides.ctx.name, generation: sides.ledger.generation };
  const { rows: [moved] } = await client.query<{ rows: string }>(
    `SELECT coalesce(sum(quarantined_rows), 0)::text AS rows FROM caravan.adjustment WHERE migration = $1 AND dataset = $2 AND generation = $3 AND cause = 'unique'`,
    [id.migration, id.dataset, id.generation]);
  const { schema, table: name } = sides.ctx.targetTable;
  const objects = await readDropped(client, id.migration, ['index', 'unique'], { schema, name });
  return {
    counts: await datasetCounts(client, id),
    movedToQuarantine: Number(moved?.rows ?? 0),
    indexesBuilt: objects.filter(({ state }) => state === 'rebuilt').length,
  };
}

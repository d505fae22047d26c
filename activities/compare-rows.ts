import type { CompareResult, DatasetRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { compareSides, type Comparison } from './reconciliation/compare-sides';
import { requireClosed } from './reconciliation/closed-dataset';
import { takeDatasetFence } from './reconciliation/dataset-fence';
import type { DatasetSides } from './reconciliation/dataset-sides';
import { DIFFERENCES_KEPT_MAX, DifferenceCollector, storeDifferences } from './reconciliation/difference-store';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import { repairBatch, settleAccounts, type Repaired } from './reconciliation/repair';
import { refuseRepairInUse } from './cutover/target-in-use';
import { loadDataset } from './run-context';
import { storeCheckResults } from './stores/control-store';

/** A repair may free what another repair needs (a unique value): that many rounds at most. */
const ROUNDS_MAX = 4;
const COLUMNS_NAMED_MAX = 8;

/**
 * Compares every row of a dataset in both directions. With `repair` the target is then brought to what the source says, and compared again.
 * Counts are exact and, after a repair, those of the last comparison. Keys of what differs are kept in `caravan.difference` of the target.
 * The result is stored as evidence before it returns. Repeating it is safe.
 * @throws MigrationError `CHECK_FAILED` unless the dataset is closed, `FENCED` when another step takes over a repair.
 */
export async function compareRows(deps: ActivityDependencies, input: DatasetRef & { repair: boolean }): Promise<CompareResult> {
  return whileAlive(async (signal) => {
    const ctx = await loadDataset(deps, input);
    if (input.repair) await refuseRepairInUse(ctx);
    await requireClosed(ctx);
    const sides = await openSides(deps, ctx);
    const result = input.repair ? await compareAndRepair(sides, signal) : await compareOnly(sides, signal);
    await storeCheckResults(ctx.control, input.ref, 'rows', [result]);
    return result;
  });
}

async function compareOnly(sides: DatasetSides, signal: AbortSignal): Promise<CompareResult> {
  const collector = new DifferenceCollector(sides);
  const comparison = await compareSides(sides, {
    signal,
    onDifferences: (batch) => {
      collector.add(batch);
      return Promise.resolve();
    },
  });
  await storeDifferences(sides.ctx.target, sides, collector.kept);
  return resultOf(sides, comparison, null);
}

async function compareAndRepair(sides: DatasetSides, signal: AbortSignal): Promise<CompareResult> {
  const held = await takeDatasetFence(sides.ctx.target, { migration: sides.ctx.ref.migration, dataset: sides.ctx.name, generation: sides.ledger.generation, states: ['closed'] });
  const repaired: Repaired = { inserted: 0, updated: 0, deleted: 0, quarantined: 0 };
  for (let round = 1; ; round += 1) {
    const before = total(repaired);
    const collector = new DifferenceCollector(sides);
    const comparison = await compareSides(sides, {
      signal,
      onDifferences: async (batch) => {
        collector.add(batch);
        if (round < ROUNDS_MAX) await repairBatch(sides, held, batch, repaired);
      },
    });
    const clean = differences(comparison) === 0;
    if (!clean && total(repaired) > before) continue;
    if (clean) await settleAccounts(sides, held, comparison);
    await storeDifferences(sides.ctx.target, sides, collector.kept);
    return resultOf(sides, comparison, repaired);
  }
}

function total(repaired: Repaired): number {
  return repaired.inserted + repaired.updated + repaired.deleted + repaired.quarantined;
}

function differences(comparison: Comparison): number {
  return comparison.missing + comparison.extra + comparison.different + comparison.unreadable;
}

function resultOf(sides: DatasetSides, comparison: Comparison, repaired: Repaired | null): CompareResult {
  const { compared, missing, extra, different, unreadable, explained } = comparison;
  const clean = differences(comparison) === 0;
  const parts = [`${compared} source rows compared`];
  if (repaired && total(repaired) > 0) {
    parts.push(`repaired: ${repaired.inserted} inserted, ${repaired.updated} updated, ${repaired.deleted} deleted, ${repaired.quarantined} moved to quarantine`);
  }
  if (explained > 0) parts.push(`${explained} are in quarantine and rightly absent`);
  if (!clean) {
    parts.push(`${missing} missing, ${extra} extra, ${different} different${columnsOf(comparison)}, ${unreadable} unreadable or refused by the rules`);
    parts.push(`their keys are in caravan.difference of ${sides.ctx.target.config.name}${differences(comparison) > DIFFERENCES_KEPT_MAX ? ` (the first ${DIFFERENCES_KEPT_MAX})` : ''}`);
    parts.push(repaired ? 'what is left could not be repaired' : `\`caravan validate --repair\` brings the target to what the source says`);
  }
  return {
    dataset: sides.ctx.name, compared, missing, extra, different, unreadable, explained, repaired: repaired ? total(repaired) : 0,
    verdict: !clean ? 'failed' : explained > 0 ? 'explained' : 'passed', detail: parts.join('; '),
  };
}

function columnsOf(comparison: Comparison): string {
  const columns = [...comparison.columns].sort(([, a], [, b]) => b - a);
  if (columns.length === 0) return '';
  const named = columns.slice(0, COLUMNS_NAMED_MAX).map(([column, rows]) => `${column} ${rows}`);
  return ` (${named.join(', ')}${columns.length > COLUMNS_NAMED_MAX ? ', …' : ''})`;
}

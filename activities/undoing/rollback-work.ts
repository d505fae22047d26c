import { firstNames } from '../../migration/name-list';
import { MigrationError } from '../../migration/errors';
import { cutoverSteps, sidesInUse } from '../../migration/rollback-steps';
import type { Plan } from '../../migration/plan/schema';
import type { LifeStep, RollbackSideInput, RollbackStepInput, StepInput, UndoneDataset } from '../../migration/protocol';
import { blockState } from '../connectors/postgres/write-block';
import { changeSide, proveSide } from '../cutover/write-steps';
import { performStep, type StepWork } from '../cutover/life-step';
import { sideTables } from '../cutover/side-tables';
import type { ActivityDependencies } from '../dependencies';
import { openSides } from '../reconciliation/open-sides';
import { loadDataset } from '../run-context';
import { readDatasetVerdicts } from '../stores/control-store';
import { closeStep, readSteps } from '../stores/step-store';
import { compareHome, reverseDataset, type BroughtHome } from './reverse-dataset';
import { stopCopies } from './undo-dataset';

/** Ends every copy of these datasets: late commits of the run that was taken over change nothing from here on. */
export function stopCopying(deps: ActivityDependencies, input: RollbackStepInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async ({ ref, signal }) => {
    let stopped = 0;
    for (const dataset of input.datasets) {
      signal.throwIfAborted();
      if (await stopCopies(await loadDataset(deps, { ref, dataset })) !== null) stopped += 1;
    }
    return { what: `Fence and epoch of ${stopped} datasets advanced: nothing that was under way writes any more.`, datasets: stopped };
  });
}

/** Writes to the tables of these datasets are refused on one side, and the refusal is proved. */
export function blockForRollback(deps: ActivityDependencies, input: RollbackSideInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async (work) => {
    const chosen = { ...work, plan: restricted(work.plan, input) };
    const blocked = await changeSide(deps, input.side, 'block', chosen);
    const proved = await proveSide(deps, chosen.plan, input.side, 'refuses');
    return { ...blocked, ...proved, what: `${blocked.what} ${proved.what}` };
  });
}

/** Writes to the tables of these datasets are accepted on one side; proved by one. */
export function openForRollback(deps: ActivityDependencies, input: RollbackSideInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async (work) => {
    const chosen = { ...work, plan: restricted(work.plan, input) };
    const allowed = await changeSide(deps, input.side, 'allow', chosen);
    const proved = await proveSide(deps, chosen.plan, input.side, 'accepts');
    return { ...allowed, ...proved, what: `${allowed.what} ${proved.what}` };
  });
}

/** The plan as far as these datasets go; a partial rollback leaves alone what belongs to no dataset. */
function restricted(plan: Plan, { datasets, partial }: RollbackSideInput): Plan {
  const chosen = new Set(datasets);
  return {
    ...plan, datasets: Object.fromEntries(Object.entries(plan.datasets).filter(([name]) => chosen.has(name))),
    ...(plan.cutover && partial ? { cutover: { ...plan.cutover, also_block: [] } } : {}),
  };
}

/**
 * Full rollback: what the new side wrote comes home while both sides are blocked; then both are compared again and have to be equal, but for rows that
 * cannot come home, which are listed. @throws MigrationError `ROLLBACK_REFUSED`, `VALIDATION_FAILED`, `FENCED`.
 */
export function bringHome(deps: ActivityDependencies, input: RollbackStepInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async (work) => {
    await requireUnbroken(deps, work, input);
    const side: RollbackSideInput = { ...input, side: 'source', partial: false };
    await changeSide(deps, 'source', 'block', { ...work, plan: restricted(work.plan, side) });
    const proved = await readDatasetVerdictsOfAll(work);
    const total: BroughtHome = { inserted: 0, updated: 0, deleted: 0, kept: 0 };
    // The order of the datasets is children first: their rows go before, and come after, those of their parents.
    for (const dataset of [...input.datasets].reverse()) await one(deps, work, dataset, 'upserts', proved, total);
    for (const dataset of input.datasets) await one(deps, work, dataset, 'deletes', proved, total);
    const left = await differencesLeft(deps, work, input.datasets);
    if (left > total.kept) throw new MigrationError('VALIDATION_FAILED', `after the writes of the new side were brought home, ${left} rows still differ, ${total.kept} of them because they cannot come home. Nothing is switched yet. Retry: what is left is brought home again.`);
    return { what: `${total.inserted} rows inserted, ${total.updated} updated and ${total.deleted} deleted on the old side; both sides compared again: ${left === 0 ? 'equal' : `${left} rows of the new side cannot come home and are listed in caravan.exported_row`}.`, ...total };
  });
}

async function one(deps: ActivityDependencies, { ref, epoch, signal }: StepWork, dataset: string, part: 'upserts' | 'deletes', proved: ReadonlySet<string>, total: BroughtHome): Promise<void> {
  const ctx = await loadDataset(deps, { ref, dataset });
  if ((await stopCopies(ctx)) === null) return;
  const sides = await openSides(deps, ctx);
  if (sides.ledger.state === 'undone') return;
  const brought = await reverseDataset({ deps, sides, epoch, part, provedEqual: sides.ledger.state === 'closed' && proved.has(dataset), signal });
  for (const key of ['inserted', 'updated', 'deleted', 'kept'] as const) total[key] += brought[key];
}

/** Datasets whose rows were compared and found equal before the switch: what is missing from them now was deleted on the new side. */
async function readDatasetVerdictsOfAll({ control, ref }: StepWork): Promise<Set<string>> {
  const equal = new Set<string>();
  for (let lease = ref.lease; lease > 0 && equal.size === 0; lease -= 1) {
    for (const [dataset, verdict] of await readDatasetVerdicts(control, { ...ref, lease }, 'rows')) if (verdict === 'passed' || verdict === 'explained') equal.add(dataset);
  }
  return equal;
}

async function differencesLeft(deps: ActivityDependencies, { ref, signal }: StepWork, datasets: readonly string[]): Promise<number> {
  let left = 0;
  for (const dataset of datasets) {
    const ctx = await loadDataset(deps, { ref, dataset });
    if ((await stopCopies(ctx)) === null) continue;
    const sides = await openSides(deps, ctx);
    if (sides.ledger.state === 'undone') continue;
    const { missing, extra, different, unreadable } = await compareHome(sides, signal);
    left += missing + extra + different + unreadable;
  }
  return left;
}

/** A difference tells a write of the new side only while nobody has written to the old one since the switch. */
async function requireUnbroken(deps: ActivityDependencies, { plan }: StepWork, { datasets }: RollbackStepInput): Promise<void> {
  for (const { system, connection } of await sideTables(deps, restricted(plan, { datasets, partial: false } as RollbackSideInput), 'source')) {
    const state = await blockState(system, plan.migration);
    if (!state?.blocked) throw new MigrationError('ROLLBACK_REFUSED', `connection ${connection}: the old side was handed back and accepts writes, so changes of the two sides cannot be told apart and nothing can be brought home. An immediate rollback is possible: it lists what the new side wrote.`);
  }
}

/** The rollback is over: the cutover counts as taken back, and the record says what became of the rows. */
export function finishRollback(deps: ActivityDependencies, input: StepInput & { undone: UndoneDataset[] }): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async ({ control, ref, plan }) => {
    const steps = await readSteps(control, ref.migration);
    const tier = steps.find(({ attempt, evidence }) => attempt === input.attempt && evidence?.['tier'] !== undefined)?.evidence?.['tier'];
    if (tier !== 'partial') for (const step of cutoverSteps(steps)) await closeStep(control, ref, step, 'undone', { what: `Taken back by the rollback of attempt ${input.attempt}.` });
    const where = tier === 'partial' ? sidesInUse(steps, Object.keys(plan.datasets)) : null;
    const use = where ? ` In use on the old side: ${firstNames(where.old) || 'none'}; on the new side: ${firstNames(where.new) || 'none'}. A new start moves the former again.` : '';
    const sum = (pick: (one: UndoneDataset) => number): number => input.undone.reduce((total, one) => total + pick(one), 0);
    return {
      what: `Rolled back: ${sum(({ removed }) => removed)} rows removed, ${sum(({ restored }) => restored)} put back, ${sum(({ conflicts }) => conflicts)} left as conflicts, ${sum(({ exported }) => exported)} writes of the new side listed.${use}`,
      removed: sum(({ removed }) => removed), restored: sum(({ restored }) => restored), conflicts: sum(({ conflicts }) => conflicts), exported: sum(({ exported }) => exported),
    };
  });
}

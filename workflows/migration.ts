import { workflowInfo } from '@temporalio/workflow';
import { noCounts } from '../migration/accounting';
import {
  WORKFLOWS,
  type DatasetView, type GroupView, type MigrationInput, type MigrationResult, type Phase, type PreparationResult, type ProductionInput, type ProductionResult, type RunInput, type RunView,
  type ValidationResult,
} from '../migration/protocol';
import { controlActivities } from './activity-proxies';
import { underAmendments } from './amending';
import { runChild } from './child-workflow';
import { attributes } from './definitions';
import { failure, isAmended } from './failures';
import { registerHandlers } from './handlers';
import { restoreAll, restoreObjects } from './restoring';
import { admit, conduct, finalProgress } from './run';
import { RunControl } from './run-control';

/**
 * A whole migration: admission, preparation, gates, production in groups, validation. Start it with `{"plan": "name"}` or a whole plan; starting it again continues.
 * A step that cannot go on blocks and waits for `resolveStep`; it never fails the run. Cancel stops after the current commits and keeps the rows.
 * @throws ApplicationFailure with an error code as type when the run is refused (LEASE_HELD, PLAN_INVALID, ...) or loses its lease (LEASE_LOST).
 */
export async function migration(input: MigrationInput): Promise<MigrationResult> {
  const run = new RunControl(input?.activityQueue);
  registerHandlers(run);
  if (!isStart(input)) throw failure('PLAN_INVALID', 'Start this workflow with {"plan": "name of a plan"} or {"plan": {...}}.');
  const view = await admit(run, input, 'migrate');
  if (view.complete) return nothingToDo(run);
  const validated = await conduct(run, () => underAmendments(run, () => runPhases(run, input)), () => `${view.ref.migration} is complete.`, () => restoreOpened(run, input));
  const progress = run.progress;
  const result: MigrationResult = {
    migration: view.ref.migration, status: 'complete', counts: progress?.counts ?? noCounts(), openQuarantine: progress?.openQuarantine ?? 0,
    checks: validated?.checks ?? [], comparisons: validated?.comparisons ?? [], skipped: run.skippedSteps, decisions: run.decided, notRestored: run.notRestored,
  };
  if (validated !== null) return result;
  const { step, by, reason } = run.aborted ?? {};
  return { ...result, status: 'aborted', aborted: { step, by, reason } };
}

function isStart(input: MigrationInput | undefined): boolean {
  return typeof input === 'object' && input !== null && ((typeof input.plan === 'string' && input.plan !== '') || (typeof input.plan === 'object' && input.plan !== null));
}

async function nothingToDo(run: RunControl): Promise<MigrationResult> {
  const progress = await finalProgress(run);
  run.finish('complete');
  await controlActivities(run.queue, 'close').closeRun({ ref: run.view.ref, outcome: 'complete' });
  return {
    migration: run.view.ref.migration, status: 'nothing_to_do', counts: progress?.counts ?? noCounts(), openQuarantine: progress?.openQuarantine ?? 0,
    checks: [], comparisons: [],
  };
}

async function runPhases(run: RunControl, { activityQueue }: MigrationInput): Promise<ValidationResult> {
  const { view } = run;
  const root = workflowInfo().workflowId;
  const input: RunInput = { ref: view.ref, view, root, activityQueue };
  // Ids of phases begin with a digit, names of datasets never do: they cannot meet.
  const prepared = await phase<RunInput, PreparationResult>(run, 'preparation', WORKFLOWS.preparation, `${root}/1-preparation`, input, 'inventory, schema, checks before');
  for (const gate of view.gates) await run.passGate(gate);
  run.enter('production');
  const leaveOut: string[] = [];
  const left: DatasetView[] = [];
  const groups = groupsOf(view);
  let notRestored: string[] = [];
  for (const group of groups) {
    if (group.gate !== null) await run.passGate(group.gate);
    const id = view.groups.length > 0 ? `${root}/2-production-${group.name}` : `${root}/2-production`;
    const datasets = view.paged ? undefined : group.datasets;
    const moved = await phase<ProductionInput, ProductionResult>(run, 'production', WORKFLOWS.productionMigration, id, { ...input, group: group.name, datasets }, `${group.size ?? group.datasets.length} datasets of ${group.name}`);
    leaveOut.push(...(moved?.skipped ?? []));
    left.push(...(moved?.left ?? []));
    notRestored = moved?.notRestored ?? [];
  }
  // Foreign keys from a later group to a skipped dataset had to wait for that group's rows.
  const skipped = view.paged ? left : view.datasets.filter((dataset) => leaveOut.includes(dataset.name));
  if (groups.length > 1) notRestored = await restoreObjects(view.ref, skipped, activityQueue);
  run.couldNotRestore(notRestored);
  // Only now: foreign keys to tables that were copied again had to wait for their rows.
  if (view.removed) run.couldNotRestore(await restoreObjects(view.ref, view.removed, activityQueue));
  const validated = await phase<RunInput, ValidationResult>(run, 'validation', WORKFLOWS.validation, `${root}/3-validation`, { ...input, leaveOut }, 'counts, samples, rows, checks');
  await finalProgress(run);
  return { checks: [...(prepared?.checks ?? []), ...(validated?.checks ?? [])], comparisons: validated?.comparisons ?? [], skipped: run.skippedSteps };
}

/** A run that stops short gives the target back what opening its datasets took away. Before production that is only what an earlier run left. */
async function restoreOpened(run: RunControl, { activityQueue }: Pick<MigrationInput, 'activityQueue'>): Promise<void> {
  const { view, progress } = run;
  const moving = run.phase === 'production' || run.phase === 'validation';
  const known = new Map((progress?.datasets ?? []).map(({ dataset, state }) => [dataset, state]));
  const opened = [...view.datasets.filter(({ name }) => moving || (known.get(name) ?? 'waiting') !== 'waiting'), ...(view.removed ?? [])];
  if (!view.paged && opened.length === 0) return;
  run.note('Stopping: the target gets its indexes, foreign keys and triggers back.');
  try {
    run.couldNotRestore(await (view.paged ? restoreAll(view.ref, view.routes ?? [], activityQueue) : restoreObjects(view.ref, opened, activityQueue)));
  } catch (error) {
    if (!isAmended(error)) throw error;
    run.couldNotRestore(['what its datasets had: the plan was amended while the run stopped; start the migration again']);
  }
}

/** The plan's groups in their order; datasets that stand in none move first, together. Without groups all datasets are one. */
function groupsOf(view: RunView): GroupView[] {
  const named = new Set(view.groups.flatMap((group) => group.datasets));
  const others = view.datasets.map((dataset) => dataset.name).filter((name) => !named.has(name));
  return others.length > 0 ? [{ name: 'datasets', datasets: others, gate: null }, ...view.groups] : view.groups;
}

/** Runs one phase as a child. When the child itself is lost (terminated, say), the phase blocks like any step. */
async function phase<I, R>(run: RunControl, name: Phase, type: string, workflowId: string, input: I, summary: string): Promise<R | null> {
  run.enter(name);
  const { view } = run;
  const tags = view.searchAttributes ? [{ key: attributes.migration, value: view.ref.migration }, { key: attributes.phase, value: name }] : undefined;
  const outcome = await run.steps.run(`phase:${workflowId.slice(workflowId.lastIndexOf('/') + 1)}`, () => runChild<I, R>(run.steps, type, { workflowId, input, summary, attributes: tags }), { heedsPause: () => true });
  return outcome.state === 'done' ? outcome.value : null;
}

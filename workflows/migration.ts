import { workflowInfo } from '@temporalio/workflow';
import { noCounts } from '../migration/accounting';
import {
  WORKFLOWS,
  type GateStage, type MigrationInput, type MigrationResult, type Phase, type PreparationResult, type ProductionInput, type ProductionResult, type RunInput,
  type ValidationResult,
} from '../migration/protocol';
import { controlActivities } from './activity-proxies';
import { underAmendments } from './amending';
import { runChild } from './child-workflow';
import { attributes } from './definitions';
import { dryRun } from './dry-run';
import { describeFailure, failure, isAmended } from './failures';
import { awaitWindow, cutOver, recoverCutover } from './cutting-over';
import { registerHandlers } from './handlers';
import { groupsOf, moveGroups, type MovedGroups } from './move-groups';
import { requireRehearsal } from './rehearsing';
import { RollbackRequests } from './rollback-request';
import { restoreAll, restoreObjects } from './restoring';
import { admit, conduct, finalProgress } from './run';
import { RunControl } from './run-control';

/**
 * A whole migration: admission, preparation, gates, production in groups, validation, and where the plan has one, the cutover. Start it with `{"plan": "name"}` or a whole plan; starting it again continues.
 * A step that cannot go on blocks and waits for `resolveStep`; it never fails the run. Cancel stops after the current commits and keeps the rows.
 * @throws ApplicationFailure with an error code as type when the run is refused (LEASE_HELD, PLAN_INVALID, ...) or loses its lease (LEASE_LOST).
 */
export async function migration(input: MigrationInput): Promise<MigrationResult> {
  const run = new RunControl(input?.activityQueue);
  registerHandlers(run);
  const rollbacks = input?.dryRun ? null : new RollbackRequests(run, input?.activityQueue);
  if (!isStart(input)) throw failure('PLAN_INVALID', 'Start this workflow with {"plan": "name of a plan"} or {"plan": {...}}.');
  if (input.dryRun) return dryRun(run, input);
  const view = await admit(run, input, 'migrate');
  rollbacks?.follow();
  if (view.complete) return nothingToDo(run);
  let validated: ValidationResult | null;
  try {
    validated = await conduct(run, () => underAmendments(run, () => runPhases(run, input)), () => `${view.ref.migration} is complete.`, () => restoreOpened(run, input));
  } catch (error) {
    if (run.takenBack === null || describeFailure(error).code !== 'LEASE_LOST') throw error;
    return { ...resultOf(run), status: 'rolled_back', rollback: run.takenBack };
  }
  const result: MigrationResult = { ...resultOf(run), checks: validated?.checks ?? [], comparisons: validated?.comparisons ?? [] };
  if (validated !== null) return result;
  const { step, by, reason } = run.aborted ?? {};
  return { ...result, status: 'aborted', aborted: { step, by, reason } };
}

function resultOf({ view, progress, skippedSteps, decided, notRestored }: RunControl): MigrationResult {
  return {
    migration: view.ref.migration, status: 'complete', counts: progress?.counts ?? noCounts(), openQuarantine: progress?.openQuarantine ?? 0,
    checks: [], comparisons: [], skipped: skippedSteps, decisions: decided, notRestored,
  };
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
  const { life } = view;
  const root = workflowInfo().workflowId;
  const input: RunInput = { ref: view.ref, view, root, activityQueue };
  // A cutover that came to its end is not done again: only what stands at the end of the migration is left.
  if (life?.cutover && (await recoverCutover(run, input)).complete) return finishLife(run, noValidation());
  // Ids of phases begin with a digit, names of datasets never do: they cannot meet.
  const prepared = await phase<RunInput, PreparationResult>(run, 'preparation', WORKFLOWS.preparation, `${root}/1-preparation`, input, 'inventory, schema, checks before');
  for (const gate of gatesAt(run, 'test')) await run.gates.pass(gate);
  if (life?.rehearsal) await requireRehearsal(run, input, 'gates');
  for (const gate of view.gates) await run.gates.pass(gate);
  await awaitWindow(run);
  if (life?.rehearsal) await requireRehearsal(run, input, 'production');
  run.enter('production');
  const validated = life?.cutover ? await cutOverRows(run, input) : await moveAndValidate(run, input);
  await finalProgress(run);
  return finishLife(run, { checks: [...(prepared?.checks ?? []), ...validated.checks], comparisons: validated.comparisons, skipped: run.skippedSteps });
}

/** Without a cutover: the rows move while both sides may be written, and are compared afterwards. */
async function moveAndValidate(run: RunControl, input: RunInput): Promise<ValidationResult> {
  const { leaveOut, notRestored } = await moveAllGroups(run, input);
  await keepRestored(run, input, notRestored);
  const validated = await phase<RunInput, ValidationResult>(run, 'validation', WORKFLOWS.validation, `${input.root}/3-validation`, { ...input, leaveOut }, 'counts, samples, rows, checks');
  return validated ?? noValidation();
}

/** `phased`: the rows move before, the cutover brings what changed since. `big_bang`: they move inside it, while both sides refuse writes. */
async function cutOverRows(run: RunControl, input: RunInput): Promise<ValidationResult> {
  const inside = run.view.approach === 'big_bang';
  if (inside) for (const { gate } of run.view.groups) if (gate !== null) await run.gates.pass(gate);
  const before = inside ? { leaveOut: [], notRestored: [] } : await moveAllGroups(run, input);
  const { notRestored, validation } = await cutOver(run, { ...input, leaveOut: before.leaveOut }, inside ? groupsOf(run.view) : undefined);
  await keepRestored(run, input, notRestored);
  return validation;
}

function moveAllGroups(run: RunControl, input: RunInput): Promise<MovedGroups> {
  return moveGroups(input, groupsOf(run.view), (workflowId, production, summary) => phase<ProductionInput, ProductionResult>(run, 'production', WORKFLOWS.productionMigration, workflowId, production, summary), async ({ gate }) => {
    if (gate !== null) await run.gates.pass(gate);
  });
}

async function keepRestored(run: RunControl, { activityQueue }: RunInput, notRestored: string[]): Promise<void> {
  const { view } = run;
  run.couldNotRestore(notRestored);
  // Only now: foreign keys to tables that were copied again had to wait for their rows.
  if (view.removed) run.couldNotRestore(await restoreObjects(view.ref, view.removed, activityQueue));
}

/** The gates at the end. Without a cutover, those before the switch stand here as well: there is nothing to switch. */
async function finishLife(run: RunControl, result: ValidationResult): Promise<ValidationResult> {
  if (!run.view.life?.cutover) for (const gate of gatesAt(run, 'switch')) await run.gates.pass(gate);
  for (const gate of gatesAt(run, 'finish')) await run.gates.pass(gate);
  return result;
}

function gatesAt({ view }: RunControl, stage: GateStage): string[] {
  return (view.life?.gates ?? []).filter((gate) => gate.stage === stage).map(({ gate }) => gate);
}

const noValidation = (): ValidationResult => ({ checks: [], comparisons: [], skipped: [] });

/** A run that stops short gives the target back what opening its datasets took away. Before production that is only what an earlier run left. */
async function restoreOpened(run: RunControl, { activityQueue }: Pick<MigrationInput, 'activityQueue'>): Promise<void> {
  const { view, progress } = run;
  const moving = run.phase === 'production' || run.phase === 'validation' || run.phase === 'cutover';
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

/** Runs one phase as a child. When the child itself is lost (terminated, say), the phase blocks like any step. */
async function phase<I, R>(run: RunControl, name: Phase, type: string, workflowId: string, input: I, summary: string): Promise<R | null> {
  run.enter(name);
  const { view } = run;
  const tags = view.searchAttributes ? [{ key: attributes.migration, value: view.ref.migration }, { key: attributes.phase, value: name }] : undefined;
  const outcome = await run.steps.run(`phase:${workflowId.slice(workflowId.lastIndexOf('/') + 1)}`, () => runChild<I, R>(run.steps, type, { workflowId, input, summary, attributes: tags }), { heedsPause: () => true });
  return outcome.state === 'done' ? outcome.value : null;
}

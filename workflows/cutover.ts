import { CancellationScope, condition, isCancellation, setHandler } from '@temporalio/workflow';
import { firstNames } from '../migration/name-list';
import { COMPLETE_STEP, CUTOVER_STEPS, switchStepName } from '../migration/cutover-steps';
import { WORKFLOWS, type CutoverInput, type CutoverResult, type ProductionInput, type ProductionResult, type RunInput, type ValidationResult } from '../migration/protocol';
import { childSteps } from './blocked-step';
import { runChild } from './child-workflow';
import { CutoverClock } from './cutover-clock';
import { CutoverStage } from './cutover-stage';
import { undoAttempt } from './cutover-undo';
import { gatesPassedSignal, gatesWantedSignal } from './definitions';
import { describeFailure, failure, isExpected } from './failures';
import { moveGroups, type MovedGroups } from './move-groups';
import { watchWindow } from './watch-window';

/**
 * The change of the writing side, as a child of `migration`: both sides refuse writes and prove it, what is missing moves, every check passes, the
 * applications are switched while nobody writes, and the target opens in one step. Until then whatever ends it short (a person, the clock, a cancelled
 * run) takes every step back, latest first: at each moment at most one side accepts writes, at the end exactly one. Once the target is open the clock no
 * longer runs: what fails then blocks, or starts a rollback, by the plan.
 * @returns `undone` with the reason when the clock ran out; everything is taken back by then.
 * @throws cancellation, `PLAN_AMENDED`, with everything taken back; `LEASE_LOST`, with nothing touched any more.
 */
export async function cutover(input: CutoverInput): Promise<CutoverResult> {
  const steps = childSteps(input.root);
  let gatesOpen = false;
  setHandler(gatesPassedSignal, () => { gatesOpen = true; }, { description: 'Internal: the gates before the switch are open. Send approve to the migration instead.' });
  const stage = new CutoverStage(input, steps, () => condition(() => gatesOpen));
  if (input.leftovers.length > 0) await CancellationScope.nonCancellable(() => undoAttempt(stage, input.leftovers));
  if (input.recoverOnly) return { state: 'undone', reason: 'What an earlier run had left was taken back.' };
  const scope = new CancellationScope();
  const clock = new CutoverClock(scope, input.view.life);
  try {
    return await scope.run(() => carryOut(stage, clock));
  } catch (error) {
    clock.stop();
    if (!isExpected(error) || describeFailure(error).code === 'LEASE_LOST') throw error;
    await CancellationScope.nonCancellable(() => undoAttempt(stage));
    if (isCancellation(error) && clock.expired !== null && !CancellationScope.current().consideredCancelled) return { state: 'undone', reason: clock.expired };
    throw error;
  }
}

async function carryOut(stage: CutoverStage, clock: CutoverClock): Promise<CutoverResult> {
  const { applications = [], legacy = 'keep_blocked', monitor } = stage.input.view.life?.cutover ?? {};
  clock.beginWindow();
  await decideOnNewRows(stage);
  const baseline = await stage.take(CUTOVER_STEPS.baseline, (activities, step) => activities.measureBaseline(step));
  await stage.take(CUTOVER_STEPS.blockTarget, (activities, step) => activities.blockWrites({ ...step, side: 'target' }));
  clock.beginDowntime();
  await stage.take(CUTOVER_STEPS.blockSource, (activities, step) => activities.blockWrites({ ...step, side: 'source' }));
  await stage.take(CUTOVER_STEPS.prove, (activities, step) => activities.proveWriters({ ...step, refusing: ['source', 'target'], accepting: [] }));
  const moved = await moveInside(stage);
  await stage.take(CUTOVER_STEPS.sequences, (activities, step) => activities.forwardSequences(step));
  const validation = await syncAndValidate(stage, moved.leaveOut);
  // No block keeps applications from drawing numbers.
  await stage.take(CUTOVER_STEPS.sequencesAgain, (activities, step) => activities.forwardSequences(step));
  await passGates(stage);
  for (const application of applications) await stage.take(switchStepName(application), (activities, step) => activities.switchApplication({ ...step, application, to: 'new' }));
  await stage.take(CUTOVER_STEPS.openTarget, (activities, step) => activities.allowWrites({ ...step, side: 'target' }));
  await stage.take(CUTOVER_STEPS.proveOpen, (activities, step) => activities.proveWriters({ ...step, refusing: ['source'], accepting: ['target'] }));
  clock.stop();
  if (monitor) await watchWindow(stage, monitor, baseline.evidence ?? { what: '' });
  await stage.take(CUTOVER_STEPS.legacy, (activities, step) => (legacy === 'hand_back' ? activities.allowWrites({ ...step, side: 'source' }) : activities.proveWriters({ ...step, refusing: ['source'], accepting: ['target'] })));
  await stage.record(COMPLETE_STEP, { what: 'The applications work on the new side.' });
  return { state: 'done', ...moved, validation };
}

/** A try that was undone after the opening may have left rows on the new side: the final sync would take them away, so a person decides first. */
async function decideOnNewRows(stage: CutoverStage): Promise<void> {
  const { unclaimed } = stage.input;
  if (unclaimed === 0) return;
  const rows = unclaimed < 0 ? 'An unknown number of rows differs' : `${unclaimed} rows differ`;
  await stage.steps.run(`cutover: ${CUTOVER_STEPS.newRows}`, () => Promise.reject(failure('VALIDATION_FAILED',
    `${rows} on the new side: an earlier cutover was taken back after it had opened, and this one would bring them to what the old side says. Their keys are in caravan.difference of the target. Save what is needed from there, then skip this step: that accepts it.`)), { skippable: true });
  await stage.record(CUTOVER_STEPS.newRowsGivenUp, { what: 'A person accepted that the final sync brings these rows to what the old side says.', rows: unclaimed });
}

/** `big_bang`: all rows move while both sides refuse writes. */
async function moveInside(stage: CutoverStage): Promise<MovedGroups> {
  const { input, steps } = stage;
  if (input.move === undefined) return { leaveOut: input.leaveOut ?? [], notRestored: [] };
  const began = Date.now();
  const moved = await moveGroups(input, input.move, async (workflowId, production, summary) => {
    const outcome = await steps.run(`cutover: move ${production.group ?? ''}`, () => runChild<ProductionInput, ProductionResult>(steps, WORKFLOWS.productionMigration, { workflowId, input: production, summary }), { heedsPause: () => true });
    return outcome.state === 'done' ? outcome.value : null;
  });
  await stage.record(CUTOVER_STEPS.move, { what: 'The datasets moved while both sides refused writes.', left_out: moved.leaveOut.length }, Date.now() - began);
  return moved;
}

/** Every row of both sides compared and the target repaired, deletes included, until nothing differs; then all other checks. */
async function syncAndValidate(stage: CutoverStage, leaveOut: string[]): Promise<ValidationResult> {
  const { input, steps } = stage;
  const view = { ...input.view, settings: { ...input.view.settings, validate: true, repair: true } };
  const child: RunInput = { ref: input.ref, view, root: input.root, activityQueue: input.activityQueue, leaveOut };
  const began = Date.now();
  const outcome = await steps.run(`cutover: ${CUTOVER_STEPS.sync}`, () => runChild<RunInput, ValidationResult>(steps, WORKFLOWS.validation, { workflowId: `${input.root}/4-validation`, input: child, summary: 'final sync and checks' }), { heedsPause: () => true });
  const tookMs = Date.now() - began;
  const validated: ValidationResult = outcome.state === 'done' ? outcome.value : { checks: [], comparisons: [], skipped: [] };
  const sum = (of: 'compared' | 'repaired'): number => validated.comparisons.reduce((total, result) => total + result[of], 0);
  const [compared, repaired] = [sum('compared'), sum('repaired')];
  await stage.record(CUTOVER_STEPS.sync, { what: `${compared} rows compared on both sides, ${repaired} of the target brought to what the source says, deletes included.`, compared, repaired }, tookMs - (validated.checksMs ?? 0));
  const skipped = validated.skipped.length > 0 ? ` A person accepted: ${firstNames(validated.skipped)}.` : '';
  await stage.record(CUTOVER_STEPS.validate, { what: `Rows, counts, samples and ${validated.checks.length} checks judged.${skipped}`, checks: validated.checks.length, accepted: validated.skipped.length }, validated.checksMs);
  return validated;
}

async function passGates(stage: CutoverStage): Promise<void> {
  const { gates } = stage.input;
  if (gates.length === 0) return;
  const began = Date.now();
  await stage.tell(gatesWantedSignal, { workflowId: stage.workflowId, gates });
  await stage.gatesOpen();
  await stage.record(CUTOVER_STEPS.gates, { what: `Open: ${gates.join(', ')}.`, gates: gates.length }, Date.now() - began);
}

import { CUTOVER_STEPS } from '../migration/cutover-steps';
import type { LifeStep, StepEvidence } from '../migration/protocol';
import { copyQueue, longCopyActivities, stepActivities } from './activity-proxies';
import type { CutoverStage } from './cutover-stage';
import { lifeStepSignal } from './definitions';
import { describeFailure, failure, isExpected } from './failures';

/** What cannot be taken back is tried again this often, whether or not a person looks. */
const AGAIN_MS = 30_000;

/**
 * Takes the steps of a cutover back, latest first; without `leftovers` those of this try, as the control store has them. It goes on until it is done: a step
 * that cannot be taken back holds up the ones before it, so that never both sides accept writes. Call it shielded from cancellation.
 * @throws `LEASE_LOST` when another run has taken over: it takes them back.
 */
export async function undoAttempt(stage: CutoverStage, leftovers?: LifeStep[]): Promise<void> {
  const { ref } = stage.input;
  const due = leftovers ?? (await patiently(stage, 'what is to be undone', () => stepActivities(stage.queue, 'what is to be undone').openCutover({ ref }))).leftovers;
  for (const { id, step, undo } of due) {
    const undone = await patiently(stage, `undo ${step}`, () => stepActivities(stage.queue, `undo ${step}`).undoStep({ ref, id }));
    await stage.tell(lifeStepSignal, undone);
    if (undo.do === 'block_writes') await recordNewRows(stage);
  }
}

/** Nobody writes on either side now: what differs was written on the new side while it was open. */
async function recordNewRows(stage: CutoverStage): Promise<void> {
  const { input: { ref, attempt, view, activityQueue, leaveOut = [] }, queue } = stage;
  const began = Date.now();
  let evidence: StepEvidence;
  try {
    if (view.paged) throw failure('VALIDATION_FAILED', 'so many datasets are not compared here');
    let rows = 0;
    const named: string[] = [];
    for (const dataset of view.datasets.filter(({ name }) => !leaveOut.includes(name))) {
      const { missing, extra, different } = await longCopyActivities(copyQueue(activityQueue, dataset, 'both'), `${dataset.name}: rows written on the new side`).compareRows({ ref, dataset: dataset.name, repair: false });
      rows += missing + extra + different;
      if (missing + extra + different > 0) named.push(dataset.name);
    }
    evidence = { what: rows === 0 ? 'Nothing was written on the new side while it was open.' : `${rows} rows were written on the new side while it was open (${named.slice(0, 5).join(', ')}). They stay there; their keys are in caravan.difference of the target.`, rows };
  } catch (error) {
    if (!isExpected(error)) throw error;
    evidence = { what: `What was written on the new side while it was open could not be listed: ${describeFailure(error).message}`, rows: -1 };
  }
  const tookMs = Date.now() - began;
  const recorded = await patiently(stage, CUTOVER_STEPS.newRows, () => stepActivities(queue, CUTOVER_STEPS.newRows).recordStep({ ref, attempt, step: CUTOVER_STEPS.newRows, evidence, tookMs }));
  await stage.tell(lifeStepSignal, recorded);
}

/** Blocks where people can be told, and tries again by itself as well: a run that was aborted has nobody left to decide. */
async function patiently<T>(stage: CutoverStage, step: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isExpected(error)) throw error;
      const reason = describeFailure(error);
      if (reason.code === 'LEASE_LOST') throw error;
      await stage.steps.blockFor(`cutover: ${step}`, reason, AGAIN_MS);
    }
  }
}


import { COMPLETE_STEP, openUndo, unclaimedRows } from '../../migration/cutover-steps';
import type { OpenCutover, RunRef } from '../../migration/protocol';
import type { ActivityDependencies } from '../dependencies';
import { loadForUndo } from './life-step';
import { nextAttempt, readSteps } from '../stores/step-store';

/**
 * What the control store knows of this migration's cutover, and the number of the next try. `leftovers`: steps of a try that no run has taken back or
 * brought to its end, latest first: undo them before anything else. Of a migration that moves again what was rolled back, only what came after the cutover
 * that stands counts. @throws MigrationError `LEASE_LOST`.
 */
export async function openCutover(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<OpenCutover> {
  const { control } = await loadForUndo(deps, ref);
  const attempt = await nextAttempt(control, ref);
  const steps = (await readSteps(control, ref.migration)).filter((step) => step.attempt > (ref.settled ?? 0));
  const complete = steps.some(({ step, state }) => step === COMPLETE_STEP && state === 'done');
  return { attempt, complete, leftovers: complete ? [] : openUndo(steps), unclaimed: unclaimedRows(steps) };
}

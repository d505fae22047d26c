import { CUTOVER_STEPS } from '../../migration/cutover-steps';
import { MigrationError } from '../../migration/errors';
import type { DatasetContext } from '../run-context';
import { readSteps } from '../stores/step-store';

/**
 * Once a cutover has opened the target of this run's datasets, what differs there is what applications wrote: a repair would take it away.
 * @throws MigrationError `VALIDATION_FAILED`.
 */
export async function refuseRepairInUse({ control, ref, plan, name }: Pick<DatasetContext, 'control' | 'ref' | 'plan' | 'name'>): Promise<void> {
  if (!plan.cutover) return;
  const opened = (await readSteps(control, ref.migration)).find(({ step, state, attempt }) => step === CUTOVER_STEPS.openTarget && state !== 'undone' && attempt > (ref.settled ?? 0));
  if (!opened) return;
  throw new MigrationError('VALIDATION_FAILED', `dataset ${name} is not repaired: applications write to the new side since ${opened.openedAt}, and a repair would take away what they wrote. Compare without a repair, or take the migration back first.`);
}

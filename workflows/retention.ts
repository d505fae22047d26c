import { isCancellation, log, ParentClosePolicy, setCurrentDetails, sleep, startChild, WorkflowIdReusePolicy } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { TASK_QUEUE, WORKFLOWS, type ClosedRun, type RetentionInput, type RetentionResult } from '../migration/protocol';
import { controlQueue, longControlActivities } from './activity-proxies';
import { describeFailure, failure, isExpected } from './failures';

const DAY_MS = 86_400_000;
/** Clocks of server and worker may differ. */
const SLEEP_MIN_MS = 1_000;

/**
 * Waits until the retention of a migration's undo data is over, then removes it. A migration that runs again puts it off; what cannot be reached is tried
 * again a day later. Cancel it to keep the undo data. Durable when it returns.
 * @throws ApplicationFailure `PLAN_INVALID` for a wrong start; cancellation.
 */
export async function retention(input: RetentionInput): Promise<RetentionResult> {
  if (typeof input?.migration !== 'string' || input.migration === '') throw failure('PLAN_INVALID', 'Start this workflow with {"migration": "name"}.');
  const { migration } = input;
  let forgotten = 0;
  for (;;) {
    let wait = DAY_MS;
    try {
      const expiry = await longControlActivities(controlQueue(undefined), 'undo data past its retention').forgetExpiredUndo({ migration });
      forgotten += expiry.forgotten;
      if (expiry.until === null) return { migration, forgotten };
      wait = Math.max(Date.parse(expiry.until) - Date.now(), SLEEP_MIN_MS);
      setCurrentDetails(`Undo data of ${migration} is kept until ${expiry.until} and then removed. Cancel this workflow to keep it; remove it now with \`npx caravan forget ${migration} --undo-data\`.`);
    } catch (error) {
      if (isCancellation(error) || !isExpected(error)) throw error;
      const { code, message } = describeFailure(error);
      if (code === 'PLAN_NOT_FOUND') return { migration, forgotten };
      setCurrentDetails(`Undo data of ${migration} could not be removed and is looked at again in a day. **${code}**: ${message}`);
    }
    await sleep(wait, { summary: 'retention of the undo data' });
  }
}

/** Sees to the undo data that a run leaves behind; nothing where it leaves none. One that waits already goes by the new end by itself. */
export async function awaitRetention(migration: string, closed: ClosedRun | undefined): Promise<void> {
  if (!closed?.undoUntil) return;
  try {
    await startChild<typeof retention>(WORKFLOWS.retention, {
      // Not on the run's own queue: nobody serves that one by then.
      workflowId: `retention-${migration}`, taskQueue: TASK_QUEUE, args: [{ migration }], staticSummary: `Undo data of ${migration}, until ${closed.undoUntil}`,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE, parentClosePolicy: ParentClosePolicy.ABANDON,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    log.info('the undo data of an earlier run is waited for already');
  }
}

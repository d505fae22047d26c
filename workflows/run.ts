import { ApplicationFailure, CancellationScope, allHandlersFinished, condition, isCancellation, log, setCurrentDetails, sleep, workflowInfo } from '@temporalio/workflow';
import type { AdmitInput, MigrationInput, Progress, RunStatus, RunView } from '../migration/protocol';
import { controlActivities, lastLookActivities } from './activity-proxies';
import { describeFailure, failure, isAmended, isExpected } from './failures';
import { awaitRetention } from './retention';
import { startReporting, type Reporting } from './reporting';
import type { RunControl } from './run-control';

/** An owner that cannot be asked counts as gone when its lease was silent for 45 s: waits for that twice over before a start is refused as busy. */
const BUSY_PATIENCE_MS = 120_000;

/**
 * Takes the lease of the migration and its orchestration view. Waits up to two minutes for a lease whose owner cannot be asked.
 * @throws the refusal itself, at once (LEASE_HELD, PLAN_INVALID, ...): nothing was admitted, so nothing can be resumed.
 */
export async function admit(run: RunControl, input: MigrationInput, purpose: AdmitInput['purpose']): Promise<RunView> {
  const { workflowId, firstExecutionRunId } = workflowInfo();
  const until = Date.now() + BUSY_PATIENCE_MS;
  for (;;) {
    try {
      const view = await controlActivities(run.queue, 'admission', 'few').admit({
        plan: input.plan, activityQueue: input.activityQueue, ...(input.dryRun ? { dryRun: true } : {}), workflowId, firstRunId: firstExecutionRunId, purpose,
      });
      run.admitted(view);
      return view;
    } catch (error) {
      if (isCancellation(error) || !isExpected(error)) throw error;
      const { code, message } = describeFailure(error);
      if (code !== 'SYSTEM_BUSY' || Date.now() >= until) {
        // Current details render links: the way to the owner of a held lease can be followed.
        setCurrentDetails(`## Refused\n\n**${code}**: ${message}`);
        throw failure(code, message);
      }
      run.note(`Waiting to be admitted: ${message}`);
      await sleep('10s', { summary: 'until the next admission' });
      run.note(null);
    }
  }
}

/**
 * Carries out the work of an admitted run, with its reporting, and closes it whatever happens. `tidyUp` runs, shielded from cancellation and under
 * the lease, when the run stops short; it must end by itself.
 * @returns null when a person aborted.
 * @throws cancellation, or the failure that ended the run.
 */
export async function conduct<R>(run: RunControl, work: () => Promise<R>, completed: (result: R) => string, tidyUp?: () => Promise<void>): Promise<R | null> {
  const reporting = startReporting(run);
  let result: R;
  try {
    result = await run.scope.run(work);
  } catch (error) {
    if (!isExpected(error)) throw error;
    await CancellationScope.nonCancellable(() => stopShort(run, reporting, error, tidyUp));
    return null;
  }
  await CancellationScope.nonCancellable(async () => {
    run.notices.push({ event: 'complete', message: completed(result) });
    run.finish('complete');
    await reporting.stop();
    const closed = await controlActivities(run.queue, 'close').closeRun({ ref: run.view.ref, outcome: 'complete', skipped: run.skipped });
    await awaitRetention(run.view.ref.migration, closed);
    await condition(allHandlersFinished);
  });
  return result;
}

/** Returns when a person aborted; throws why the run ended otherwise. */
async function stopShort(run: RunControl, reporting: Reporting, error: unknown, tidyUp?: () => Promise<void>): Promise<void> {
  const { code, message } = describeFailure(error);
  run.stop();
  if (run.lost || code === 'LEASE_LOST' || !(await tidied(tidyUp)) || run.lost) {
    run.loseLease();
    run.finish(run.takenBack ? 'rolling_back' : 'failed');
    await reporting.stop();
    throw failure('LEASE_LOST', `${run.takenBack ? `The rollback ${run.takenBack.workflowId}` : 'Another run'} has taken this migration over; this one stops without touching anything more.`);
  }
  const outcome: RunStatus = run.aborted ? 'aborted' : isCancellation(error) ? 'cancelled' : 'failed';
  if (run.aborted) {
    const { step, by, reason } = run.aborted;
    run.notices.push({ event: 'aborted', message: `Aborted at ${step}${by ? ` by ${by}` : ''}${reason ? `: ${reason}` : ''}.${run.notRestored.length > 0 ? ` In the target, ${run.notRestoredText}.` : ''}` });
  }
  run.finish(outcome);
  await reporting.stop();
  await closeOrLeave(run, outcome);
  await condition(allHandlersFinished);
  if (run.aborted) return;
  if (isCancellation(error)) throw error;
  throw ApplicationFailure.create({ type: code, message, nonRetryable: true });
}

/** @returns false when the lease turns out to be lost. */
async function tidied(tidyUp: (() => Promise<void>) | undefined): Promise<boolean> {
  try {
    await tidyUp?.();
    return true;
  } catch (error) {
    if (describeFailure(error).code === 'LEASE_LOST') return false;
    throw error;
  }
}

/** A lease that cannot be given back is taken over by the next run: this one has closed by then. */
async function closeOrLeave(run: RunControl, outcome: RunStatus): Promise<void> {
  try {
    await controlActivities(run.queue, 'close', 'few').closeRun({ ref: run.view.ref, outcome, skipped: run.skipped });
  } catch (error) {
    if (!isExpected(error)) throw error;
    log.warn('the lease could not be given back', { code: describeFailure(error).code });
  }
}

/** One look at the ledger as it is now; the last known one when it cannot be read within a minute. */
export async function finalProgress(run: RunControl): Promise<Progress | null> {
  try {
    const progress = await lastLookActivities(run.queue).watchProgress({ ref: run.view.ref, seen: null, maxWaitMs: 0 });
    run.takeProgress(progress);
    return progress;
  } catch (error) {
    // While phases run, a plan that was amended in the last moment is still carried out.
    if (isCancellation(error) || !isExpected(error) || (isAmended(error) && run.stopPhases)) throw error;
    return run.progress;
  }
}

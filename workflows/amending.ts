import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { RunView } from '../migration/protocol';
import { controlActivities } from './activity-proxies';
import { abortedBy, describeFailure, endsRun, isAmended, isExpected } from './failures';
import type { RunControl } from './run-control';

/**
 * Runs the phases of a run. When a person amends the plan meanwhile, they stop after the commits at hand and begin again under the new plan, with the
 * same lease: what is done is found done, and datasets that the amendment changed start a new generation.
 * @throws whatever ends `phases` otherwise.
 */
export async function underAmendments<R>(run: RunControl, phases: () => Promise<R>): Promise<R> {
  for (;;) {
    const scope = new CancellationScope();
    let amended = false;
    run.stopPhases = () => {
      amended = true;
      scope.cancel();
    };
    try {
      const result = await scope.run(phases);
      if (!amended) return result;
    } catch (error) {
      const stopped = isAmended(error) || (amended && isCancellation(error));
      if (!stopped || CancellationScope.current().consideredCancelled || run.lost || run.aborted) throw error;
    } finally {
      run.stopPhases = null;
    }
    run.phasesStopped();
    run.admitted(await amendedView(run));
    run.note('The plan was amended: the run goes on under the new one.');
  }
}

/** The view of the plan as it is now. What hinders it, such as a connection that no worker knows, blocks. */
async function amendedView(run: RunControl): Promise<RunView> {
  for (;;) {
    try {
      return await controlActivities(run.queue, 'amended plan').readmit({ ref: run.view.ref });
    } catch (error) {
      if ((isCancellation(error) && CancellationScope.current().consideredCancelled) || !isExpected(error) || endsRun(error)) throw error;
      const decision = await run.steps.block('amendment', describeFailure(error));
      if (decision.action === 'abort') throw abortedBy('amendment', decision.by);
    }
  }
}

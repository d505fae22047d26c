import { WorkflowExecutionAlreadyStartedError, type SearchAttributePair } from '@temporalio/common';
import {
  CancellationScope, ChildWorkflowCancellationType, ParentClosePolicy, WorkflowIdReusePolicy,
  condition, isCancellation, log, sleep, startChild, type ChildWorkflowHandle, type Workflow,
} from '@temporalio/workflow';
import { setPausedSignal } from './definitions';
import { failure } from './failures';
import type { Steps } from './blocked-step';

export interface ChildOptions<I> {
  workflowId: string;
  input: I;
  summary: string;
  attributes?: SearchAttributePair[];
}

/** A child of an earlier run may still be finishing its last commit: waits for it this often, 2 s and then 10 s apart. */
const PATIENCE = 30;

/**
 * Runs a child to its end and forwards pauses to it. Cancelling the caller cancels the child and waits until it has closed.
 * @throws INTERNAL when a workflow with the same id does not end.
 */
export async function runChild<I, R>(steps: Steps, type: string, options: ChildOptions<I>): Promise<R> {
  const handle = await startPatiently(type, options);
  const following = new CancellationScope();
  const follow = following.run(() => forwardPauses(steps, handle));
  try {
    return (await handle.result()) as R;
  } catch (error) {
    // Its blocks went with it, also those of its children.
    await CancellationScope.nonCancellable(() => steps.forget(options.workflowId));
    throw error;
  } finally {
    following.cancel();
    await follow;
  }
}

async function startPatiently<I>(type: string, { workflowId, input, summary, attributes }: ChildOptions<I>): Promise<ChildWorkflowHandle<Workflow>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startChild<(input: I) => Promise<unknown>>(type, {
        workflowId, args: [input], staticSummary: summary, typedSearchAttributes: attributes ?? [],
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      if (attempt === PATIENCE) throw failure('INTERNAL', `The workflow "${workflowId}" of an earlier run has not ended. Cancel or terminate it, then retry.`);
      await sleep(attempt < 5 ? '2s' : '10s', { summary: `${workflowId} of an earlier run is ending` });
    }
  }
}

/** Signals are sent in order, none waits for the one before: see `sendAll` in reporting.ts. */
async function forwardPauses(steps: Steps, handle: ChildWorkflowHandle<Workflow>): Promise<void> {
  let told = false;
  const tell = async (paused: boolean): Promise<void> => {
    try {
      await handle.signal(setPausedSignal, paused);
    } catch (error) {
      if (!isCancellation(error)) log.warn('a child did not hear of a pause: it has ended', { workflowId: handle.workflowId });
    }
  };
  try {
    for (;;) {
      await condition(() => steps.paused !== told);
      told = steps.paused;
      void tell(told);
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
}

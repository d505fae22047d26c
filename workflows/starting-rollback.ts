import { ChildWorkflowCancellationType, ParentClosePolicy, startChild, WorkflowIdReusePolicy, type ChildWorkflowHandle } from '@temporalio/workflow';
import { WORKFLOWS, type RollbackResult, type RollbackStart } from '../migration/protocol';
import { rollbackWorkflowId } from '../migration/rollback-steps';

type Rollback = (start: RollbackStart) => Promise<RollbackResult>;

/**
 * Starts a confirmed rollback that outlives its parent and is not cancelled with it. `why`: for the list of workflows.
 * @throws WorkflowExecutionAlreadyStartedError while one of this migration is at work.
 */
export function startRollback(start: RollbackStart, activityQueue: string | undefined, why: string): Promise<ChildWorkflowHandle<Rollback>> {
  const { migration, tier } = start;
  return startChild<Rollback>(WORKFLOWS.rollback, {
    workflowId: rollbackWorkflowId(migration), args: [{ ...start, confirm: migration, ...(activityQueue === undefined ? {} : { activityQueue }) }],
    staticSummary: `Rollback (${tier}) of ${migration}: ${why}`, workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    parentClosePolicy: ParentClosePolicy.ABANDON, cancellationType: ChildWorkflowCancellationType.ABANDON,
  });
}

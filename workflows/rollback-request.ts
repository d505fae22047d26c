import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { CancellationScope, condition, setHandler } from '@temporalio/workflow';
import type { ConflictPolicy, RollbackRequest, RollbackTier } from '../migration/protocol';
import { rollbackWorkflowId } from '../migration/rollback-steps';
import { rollbackUpdate } from './definitions';
import { describeFailure, isExpected } from './failures';
import { refuse } from './handlers';
import type { RunControl } from './run-control';
import { startRollback } from './starting-rollback';

const TIERS: readonly RollbackTier[] = ['immediate', 'partial', 'full'];
const POLICIES: readonly ConflictPolicy[] = ['keep_new', 'restore_old', 'stop'];
const EXAMPLE = '{"tier": "immediate", "by": "your name", "confirm": "name of the migration"}';

/**
 * The update `rollback` of a running migration. The rollback is a workflow of its own, which takes the lease straight from this run: until then the run
 * goes on, and a rollback that is refused has changed nothing; from then on nothing of the run is carried out any more, so that its open cutover is
 * taken back by one of the two only. Register it before the first await; it sends nothing unless it is used.
 */
export class RollbackRequests {
  private wanted: RollbackRequest | null = null;

  constructor(private readonly run: RunControl, private readonly activityQueue: string | undefined) {
    setHandler(rollbackUpdate, (request) => {
      this.wanted = request;
      return `a rollback (${request.tier}) begins as workflow ${rollbackWorkflowId(run.view.ref.migration)}; it takes this migration over`;
    }, {
      description: `Takes this migration back: ${EXAMPLE}. Tiers: immediate, partial (with "datasets", and "dependents": true to take along what leans on them), full. Optional: "reason", "policy". Once begun it cannot be cancelled; start the workflow rollback instead to see its forecast first.`,
      validator: (request: RollbackRequest) => refuse(this.judge(request)),
    });
  }

  /** Carries requests out while the run lasts, also while it is being cancelled. */
  follow(): void {
    void CancellationScope.nonCancellable(async () => {
      for (;;) {
        await condition(() => this.wanted !== null);
        if (this.wanted) await this.carryOut(this.wanted);
        this.wanted = null;
      }
    });
  }

  private judge(request: RollbackRequest | undefined): string | null {
    const { run } = this;
    if (!run.isAdmitted) return 'The run is not admitted yet: nothing was changed that could be taken back.';
    const { migration } = run.view.ref;
    if (run.ending) return `The run is ending. Start the workflow rollback with {"migration": "${migration}", "tier": "immediate"}, or: npx caravan rollback ${migration}`;
    if (this.wanted) return `A rollback was asked for already: follow the workflow ${rollbackWorkflowId(migration)}.`;
    if (typeof request !== 'object' || request === null) return `Say how: ${EXAMPLE}.`;
    const { tier, datasets, policy, by, confirm } = request;
    if (!TIERS.includes(tier)) return `Name a tier: ${TIERS.join(', ')}.`;
    if (datasets !== undefined && !(Array.isArray(datasets) && datasets.every((name) => typeof name === 'string'))) return 'Give "datasets" as a list of names.';
    if (tier === 'partial' && (datasets ?? []).length === 0) return 'A partial rollback needs "datasets": the names of what it takes back.';
    if (tier !== 'partial' && datasets !== undefined) return '"datasets" goes with the tier partial: the others take back everything.';
    if (policy !== undefined && !POLICIES.includes(policy)) return `Name a policy for rows that others changed: ${POLICIES.join(', ')}.`;
    if (typeof by !== 'string' || by.trim() === '') return 'Say who decides: "by".';
    return confirm === migration ? null : `Confirm it: "confirm" has to be the name of the migration, "${migration}".`;
  }

  /** Returns when the rollback is through, or did not come to it: then the run goes on, and may be asked again. */
  private async carryOut(request: RollbackRequest): Promise<void> {
    const { run, activityQueue } = this;
    const { migration } = run.view.ref;
    const { tier, by = '', reason } = request;
    const workflowId = rollbackWorkflowId(migration);
    try {
      const handle = await startRollback({ ...request, migration }, activityQueue, `asked for by ${by}`);
      run.takenBack = { workflowId, tier, by, ...(reason === undefined ? {} : { reason }) };
      run.note(`A rollback (${tier}) was asked for by ${by}${reason ? `: ${reason}` : ''}. The workflow ${workflowId} takes this migration over.`);
      const { status } = await handle.result();
      if (status === 'rolled_back') return run.loseLease();
      run.note('Nothing was migrated yet that could be taken back: the run goes on. To end it, cancel it.');
    } catch (error) {
      if (!isExpected(error) && !(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      run.note(error instanceof WorkflowExecutionAlreadyStartedError
        ? `Another rollback of this migration is at work already: follow the workflow ${workflowId}.`
        : `The rollback that ${by} asked for did not go through (${describeFailure(error).code}): ${describeFailure(error).message}`);
    }
    run.takenBack = null;
  }
}

import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { CUTOVER_STEPS } from '../migration/cutover-steps';
import type { CutoverView, ProbeWatch, StepEvidence } from '../migration/protocol';
import { watchProbesActivities } from './activity-proxies';
import type { CutoverStage } from './cutover-stage';
import { describeFailure, failure, isExpected } from './failures';
import { startRollback } from './starting-rollback';

/** One activity looks for this long; a history of a long window stays short. */
const WATCH_MS = 5 * 60_000;

type Monitor = NonNullable<CutoverView['monitor']>;

/**
 * The probes on the new side, until the window is over. Too many failed looks in a row block (a retry begins the window anew, a skip accepts it on the
 * record), or start an immediate rollback, which takes the migration over.
 * @throws `LEASE_LOST` once a rollback is through.
 */
export async function watchWindow(stage: CutoverStage, monitor: Monitor, baseline: StepEvidence): Promise<void> {
  const began = Date.now();
  const outcome = await stage.steps.run(`cutover: ${CUTOVER_STEPS.monitor}`, () => watched(stage, monitor, baseline), { skippable: true });
  await stage.record(CUTOVER_STEPS.monitor, outcome.state === 'done' ? outcome.value : { what: 'A person accepted the failed monitoring.' }, Date.now() - began);
}

async function watched(stage: CutoverStage, { forMs, everyMs, failures = 3, onFail }: Monitor, baseline: StepEvidence): Promise<StepEvidence> {
  const { input: { ref }, queue } = stage;
  const until = Date.now() + forMs;
  let seen: ProbeWatch = { looks: 0, failed: 0, inRow: 0, slowestMs: 0, newConnections: 0, legacyConnections: 0, failures: [] };
  for (;;) {
    const left = until - Date.now();
    seen = await watchProbesActivities(queue, WATCH_MS).watchProbes({ ref, baseline, forMs: Math.min(WATCH_MS, Math.max(0, left)), everyMs, failures, seen });
    if (seen.inRow >= failures) {
      const reason = `${seen.inRow} looks in a row failed on the new side: ${seen.failures.slice(0, 3).join('; ')}.`;
      if (onFail === 'rollback') await rollBack(stage, reason);
      throw failure('MONITORING_FAILED', reason);
    }
    if (until <= Date.now()) break;
  }
  const { looks, failed, slowestMs, newConnections, legacyConnections } = seen;
  return {
    what: `${looks} looks at the new side, ${failed} of them failed; slowest probe ${slowestMs} ms; ${newConnections} sessions on the new side, ${legacyConnections} on the old one at the end.`,
    looks, failed, slowest_ms: slowestMs, new_connections: newConnections, legacy_connections: legacyConnections,
  };
}

/** The rollback outlives this workflow and takes the lease; one that is refused leaves the decision to a person. @throws `LEASE_LOST` when it is through. */
async function rollBack({ input }: CutoverStage, reason: string): Promise<void> {
  const { migration } = input.ref;
  try {
    const handle = await startRollback({ migration, tier: 'immediate', by: 'caravan', reason }, input.activityQueue, 'monitoring failed');
    await handle.result();
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) throw failure('MONITORING_FAILED', `${reason} A rollback of this migration is under way already.`);
    if ((isCancellation(error) && CancellationScope.current().consideredCancelled) || !isExpected(error)) throw error;
    const { code, message } = describeFailure(error);
    throw failure('MONITORING_FAILED', `${reason} The rollback that was to follow did not go through (${code}): ${message}`);
  }
  throw failure('LEASE_LOST', `${reason} The migration was rolled back.`);
}

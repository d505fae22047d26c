import { CUTOVER_STEPS } from '../migration/cutover-steps';
import type { CutoverView, ProbeWatch, StepEvidence } from '../migration/protocol';
import { watchProbesActivities } from './activity-proxies';
import type { CutoverStage } from './cutover-stage';
import { failure } from './failures';

/** One activity looks for this long; a history of a long window stays short. */
const WATCH_MS = 5 * 60_000;

/**
 * The probes on the new side, until the window is over. Too many failed looks in a row block (a retry begins the window anew, a skip accepts it on the
 * record), or end with `MONITORING_FAILED` where the plan wants a rollback.
 */
export async function watchWindow(stage: CutoverStage, monitor: NonNullable<CutoverView['monitor']>, baseline: StepEvidence): Promise<void> {
  const outcome = await stage.steps.run(`cutover: ${CUTOVER_STEPS.monitor}`, () => watched(stage, monitor, baseline), { skippable: true });
  await stage.record(CUTOVER_STEPS.monitor, outcome.state === 'done' ? outcome.value : { what: 'A person accepted the failed monitoring.' });
}

async function watched({ input: { ref }, queue }: CutoverStage, { forMs, everyMs, failures = 3 }: NonNullable<CutoverView['monitor']>, baseline: StepEvidence): Promise<StepEvidence> {
  const until = Date.now() + forMs;
  let seen: ProbeWatch = { looks: 0, failed: 0, inRow: 0, slowestMs: 0, newConnections: 0, legacyConnections: 0, failures: [] };
  for (;;) {
    const left = until - Date.now();
    seen = await watchProbesActivities(queue, WATCH_MS).watchProbes({ ref, baseline, forMs: Math.min(WATCH_MS, Math.max(0, left)), everyMs, failures, seen });
    if (seen.inRow >= failures) throw failure('MONITORING_FAILED', `${seen.inRow} looks in a row failed on the new side: ${seen.failures.slice(0, 3).join('; ')}.`);
    if (until <= Date.now()) break;
  }
  const { looks, failed, slowestMs, newConnections, legacyConnections } = seen;
  return {
    what: `${looks} looks at the new side, ${failed} of them failed; slowest probe ${slowestMs} ms; ${newConnections} sessions on the new side, ${legacyConnections} on the old one at the end.`,
    looks, failed, slowest_ms: slowestMs, new_connections: newConnections, legacy_connections: legacyConnections,
  };
}

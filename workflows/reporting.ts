import { CancellationScope, condition, getExternalWorkflowHandle, isCancellation, log, sleep, upsertSearchAttributes } from '@temporalio/workflow';
import { reminderDelayMs, watchPauseMs, watchWaitMs } from '../migration/timing';
import { controlActivities, watchActivities } from './activity-proxies';
import { attributes, stepDecisionSignal } from './definitions';
import { describeFailure, isExpected } from './failures';
import type { RunControl } from './run-control';

const REMIND_EVERY_MS = 30 * 60_000;

/** The loops beside the work of a run. */
export interface Reporting {
  /** Waits until everything is recorded and sent, then ends the loops. Nothing writes to the control store after it. */
  stop(): Promise<void>;
}

/** Starts recording, notifying, watching and reminding; none of it is stopped by cancelling the run. The run must be admitted. */
export function startReporting(run: RunControl): Reporting {
  const state = { stopping: false };
  const shielded = new CancellationScope({ cancellable: false });
  const inward = new CancellationScope({ cancellable: true, parent: shielded });
  const outward = shielded.run(() => Promise.all([recordStatus(run, state), sendNotices(run, state), sendDecisions(run, state)]));
  void inward.run(() => Promise.all([watchProgress, remind, blockOnAlerts].map((loop) => untilCancelled(loop, run))));
  return {
    async stop() {
      inward.cancel();
      state.stopping = true;
      await shielded.run(() => outward);
    },
  };
}

async function untilCancelled(loop: (run: RunControl) => Promise<void>, run: RunControl): Promise<void> {
  try {
    await loop(run);
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
}

/** Writes status and blocked steps to the control store, and the search attributes, whenever they change. */
async function recordStatus(run: RunControl, state: { stopping: boolean }): Promise<void> {
  let recorded = '';
  for (;;) {
    await condition(() => state.stopping || run.statusVersion !== recorded);
    if (run.lost || (state.stopping && run.statusVersion === recorded)) return;
    recorded = run.statusVersion;
    const { phase, status, blocked } = run;
    if (phase === null) continue;
    if (run.view.searchAttributes) {
      upsertSearchAttributes([
        { key: attributes.migration, value: run.view.ref.migration }, { key: attributes.phase, value: phase }, { key: attributes.status, value: status },
      ]);
    }
    await tolerate(run, 'the status could not be recorded', () =>
      controlActivities(run.queue, `status: ${status}`).recordStatus({ ref: run.view.ref, phase, status, blocked, detail: run.detail }));
  }
}

async function sendNotices(run: RunControl, state: { stopping: boolean }): Promise<void> {
  for (;;) {
    await condition(() => state.stopping || run.notices.length > 0);
    const notice = run.notices.shift();
    if (run.lost || !notice) return;
    await tolerate(run, 'a notice could not be sent', () => controlActivities(run.queue, `notify: ${notice.event}`, 'few').notify({ ref: run.view.ref, blocked: run.blocked, ...notice }));
  }
}

async function sendDecisions(run: RunControl, state: { stopping: boolean }): Promise<void> {
  for (;;) {
    await condition(() => state.stopping || run.decisions.length > 0);
    const next = run.decisions.shift();
    if (!next) return;
    await tolerate(run, 'a decision did not reach its workflow', () => getExternalWorkflowHandle(next.workflowId).signal(stepDecisionSignal, next.decision));
  }
}

/** Looks at the ledger again and again: at once when there is news, rarely when there is none. */
async function watchProgress(run: RunControl): Promise<void> {
  let seen: string | null = null;
  let unchanged = 0;
  for (let looks = 1; ; looks++) {
    const maxWaitMs = watchWaitMs(unchanged);
    const answer = await tolerate(run, 'the progress could not be read', () => watchActivities(run.queue, maxWaitMs).watchProgress({ ref: run.view.ref, seen, maxWaitMs }));
    if (run.lost) return;
    const news = answer !== undefined && answer.version !== seen;
    unchanged = news ? 0 : unchanged + 1;
    if (answer) {
      seen = answer.version;
      run.takeProgress(answer);
    }
    // Without news the look itself has waited; the pause guards against one that did not.
    const pause = Math.max(watchPauseMs(looks), answer === undefined ? 60_000 : news ? 0 : 5_000);
    if (pause > 0) await sleep(pause, { summary: 'until the next look at the ledger' });
  }
}

async function remind(run: RunControl): Promise<void> {
  const every = run.view.settings.remindEveryMs ?? REMIND_EVERY_MS;
  for (;;) {
    await condition(() => run.needsPerson);
    for (let sent = 0; run.needsPerson; sent++) {
      if (await condition(() => !run.needsPerson, reminderDelayMs(every, sent), { summary: 'until the next reminder' })) break;
      run.notices.push({ event: 'reminder', message: `${run.view.ref.migration} still waits for a person: ${run.detail ?? run.blocked.map((step) => step.step).join(', ')}.` });
    }
  }
}

/** An alert that blocks pauses the work and asks. */
async function blockOnAlerts(run: RunControl): Promise<void> {
  for (;;) {
    await condition(() => run.blockingAlerts.length > 0);
    const alert = run.blockingAlerts.shift();
    if (!alert) continue;
    run.pause('alert');
    const code = alert.alert === 'error_rate' ? 'ERROR_RATE_EXCEEDED' : 'SPEED_TOO_LOW';
    const decision = await run.steps.block(`alert:${alert.alert}`, { code, kind: 'data', message: alert.message, transient: false }, { skippable: true });
    if (decision.action === 'skip') run.ignoreAlert(alert);
    run.resume('alert');
  }
}

/** What must not stop a run is noted instead; a lost lease ends it. */
async function tolerate<T>(run: RunControl, what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if ((isCancellation(error) && CancellationScope.current().consideredCancelled) || !isExpected(error)) throw error;
    const { code, message } = describeFailure(error);
    log.warn(what, { code });
    if (code === 'LEASE_LOST') run.loseLease();
    else run.note(`${what[0]?.toUpperCase() ?? ''}${what.slice(1)} (${code}): ${message}`);
    return undefined;
  }
}

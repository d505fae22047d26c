import { CancellationScope, condition, getExternalWorkflowHandle, isCancellation, log, sleep, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { failedLookPauseMs, reminderDelayMs, watchPauseMs, watchWaitMs } from '../migration/timing';
import { controlActivities, noticeActivities, watchActivities } from './activity-proxies';
import { attributes, stepDecisionSignal } from './definitions';
import { describeFailure, isExpected } from './failures';
import type { StepDecision } from '../migration/protocol';
import type { Notice, RunControl } from './run-control';

const REMIND_EVERY_MS = 30 * 60_000;
/** A run that ends waits no longer for a control store, or for people's systems, that are away. */
const STOP_LIMIT_MS = 20_000;
/** Messages without which nobody comes: tried for minutes. */
const CALLS: Notice['event'][] = ['blocked', 'waiting_for_approval'];

/** More turns of the microtask queue than any chain from a condition to its command takes. */
const SETTLING_TURNS = 100;

/** The loops beside the work of a run. */
export interface Reporting {
  /** Waits until everything is recorded and sent, at most 20 s, then ends the loops. The workflow asks for no more writes to the control store after it. */
  stop(): Promise<void>;
}

/** Starts recording, notifying, watching and reminding; none of it is stopped by cancelling the run. The run must be admitted. */
export function startReporting(run: RunControl): Reporting {
  const state = { stopping: false };
  const shielded = new CancellationScope({ cancellable: false });
  const inward = new CancellationScope({ cancellable: true, parent: shielded });
  const outward = new CancellationScope({ cancellable: true, parent: shielded });
  let sent = false;
  void outward.run(() => Promise.all([
    recordStatus(run, state),
    sendAll(run, state, run.unrecorded, recordDecision),
    sendAll(run, state, run.notices, sendNotice),
    sendAll(run, state, run.decisions, sendDecision),
  ].map((loop) => untilCancelled(() => loop)))).then(() => { sent = true; });
  void inward.run(() => Promise.all([watchProgress, remind, blockOnAlerts].map((loop) => untilCancelled(() => loop(run)))));
  return {
    async stop() {
      inward.cancel();
      state.stopping = true;
      await shielded.run(async () => {
        if (await condition(() => sent, STOP_LIMIT_MS, { summary: 'last records and messages' })) return;
        log.warn('not everything could be recorded and sent', {});
        outward.cancel();
        await condition(() => sent);
      });
    },
  };
}

async function untilCancelled(loop: () => Promise<void>): Promise<void> {
  try {
    await loop();
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
}

/**
 * Lets everything else that this activation set off go first. Status is written by one loop, which may still wait for its last write when an update
 * comes: its commands must be the last ones either way, or a replay that sees both in another order would not match the history.
 */
async function afterOtherCommands(): Promise<void> {
  for (let turn = 0; turn < SETTLING_TURNS; turn++) await Promise.resolve();
}

/** Writes status and blocked steps to the control store, and the search attributes, whenever they change. */
async function recordStatus(run: RunControl, state: { stopping: boolean }): Promise<void> {
  let recorded = '';
  for (;;) {
    await condition(() => state.stopping || run.statusVersion !== recorded);
    await afterOtherCommands();
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

/**
 * Sends what handlers put into `queue`, in order, at once: none waits for another that is under way or tried again. The commands of an update must
 * not depend on whether an activity that ended just before it is told first or after it: a replay may see the two the other way round.
 */
async function sendAll<T>(run: RunControl, state: { stopping: boolean }, queue: T[], send: (run: RunControl, item: T) => Promise<void>): Promise<void> {
  const underway = new Set<Promise<void>>();
  for (;;) {
    await condition(() => state.stopping || queue.length > 0);
    const item = queue.shift();
    if (run.lost || item === undefined) break;
    const sending = untilCancelled(() => send(run, item)).then(() => { underway.delete(sending); });
    underway.add(sending);
  }
  await Promise.all(underway);
}

async function sendNotice(run: RunControl, notice: Notice): Promise<void> {
  const { ref, notify: to } = run.view;
  const { workflowId } = workflowInfo();
  await tolerate(run, 'a notice could not be sent', () =>
    noticeActivities(run.queue, `notify: ${notice.event}`, CALLS.includes(notice.event)).notify({ ref, blocked: run.blocked, ...notice, to, workflowId }));
}

/** Puts a decision of a person into the control store. */
async function recordDecision(run: RunControl, decision: StepDecision): Promise<void> {
  await tolerate(run, 'a decision could not be recorded', () => controlActivities(run.queue, `decision: ${decision.action} ${decision.step}`).recordDecision({ ref: run.view.ref, decision }));
}

async function sendDecision(run: RunControl, next: { workflowId: string; decision: StepDecision }): Promise<void> {
  await tolerate(run, 'a decision did not reach its workflow', () => getExternalWorkflowHandle(next.workflowId).signal(stepDecisionSignal, next.decision));
}

/** Looks at the ledger again and again. Each look waits in its activity, which keeps the lease fresh meanwhile: news ends it, and rarely does when there were many. */
async function watchProgress(run: RunControl): Promise<void> {
  let seen: string | null = null;
  let unchanged = 0;
  let failures = 0;
  for (let looks = 1; ; looks++) {
    const minWaitMs = watchPauseMs(looks);
    const maxWaitMs = Math.max(watchWaitMs(unchanged), minWaitMs);
    const answer = await tolerate(run, 'the progress could not be read', () => watchActivities(run.queue, maxWaitMs).watchProgress({ ref: run.view.ref, seen, maxWaitMs, minWaitMs }));
    if (run.lost) return;
    if (!answer) {
      await sleep(failedLookPauseMs(++failures), { summary: 'until the next look at the ledger' });
      continue;
    }
    failures = 0;
    unchanged = answer.version === seen ? unchanged + 1 : 0;
    seen = answer.version;
    run.takeProgress(answer);
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
export async function tolerate<T>(run: RunControl, what: string, work: () => Promise<T>): Promise<T | undefined> {
  const { planHash } = run.view.ref;
  try {
    return await work();
  } catch (error) {
    if ((isCancellation(error) && CancellationScope.current().consideredCancelled) || !isExpected(error)) throw error;
    const { code, message } = describeFailure(error);
    log.warn(what, { code });
    if (code === 'LEASE_LOST') run.loseLease();
    else if (code === 'PLAN_AMENDED') run.planAmended(planHash);
    else run.note(`${what[0]?.toUpperCase() ?? ''}${what.slice(1)} (${code}): ${message}`);
    return undefined;
  }
}

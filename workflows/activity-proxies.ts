import { ActivityCancellationType, isCancellation, patched, proxyActivities, workflowInfo, type ActivityOptions } from '@temporalio/workflow';
import { COPY_TASK_QUEUE, sideTaskQueue, type ControlActivities, type CopyActivities, type DatasetView } from '../migration/protocol';
import { failure, isExpected, isUnserved } from './failures';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Work that nobody picks up is scheduled again after this long; when no worker asks for it, its step blocks and names the queue. */
const UNSERVED_MS = 5 * MINUTE;
/** A slice that overruns by more is lost: commits in progress end well before. */
const SLICE_MARGIN_MS = 5 * MINUTE;

/**
 * How often an activity is tried again after transient failures (the activities mark all others as non-retryable).
 * `few`: a handful within a minute. `patient`: until it works, at most a minute apart. `alive`: until it works, often enough to keep
 * the lease fresh, which counts as stale after 45 s.
 */
const RETRIES = {
  few: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '20s', maximumAttempts: 5 },
  patient: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m' },
  alive: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
} as const;

/** Queue of the cheap control work: the run's own, or the workflow's. */
export function controlQueue(activityQueue: string | undefined): string {
  return activityQueue ?? workflowInfo().taskQueue;
}

/**
 * Queue of copy work. `both`: needs a worker that reaches source and target (opening a dataset, fused copies, comparisons).
 * In staged mode source work and target work go to the queue of their side.
 */
export function copyQueue(activityQueue: string | undefined, view: DatasetView, reaches: 'both' | 'source' | 'target'): string {
  if (activityQueue !== undefined) return activityQueue;
  if (view.mode === 'fused' || reaches === 'both') return COPY_TASK_QUEUE;
  return sideTaskQueue(reaches === 'source' ? view.sourceSide : view.targetSide);
}

/**
 * Short control work: answers within a minute, without heartbeats; the workflow never waits for it to be cancelled.
 * `few` retries, and three minutes in all, where somebody waits for the answer.
 */
export function controlActivities(queue: string, summary: string, retry: keyof typeof RETRIES = 'patient'): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary, startToCloseTimeout: 2 * MINUTE, scheduleToCloseTimeout: retry === 'few' ? 3 * MINUTE : undefined,
    retry: RETRIES[retry], cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

/** Messages to people. `patient`: tried for ten minutes, where the run cannot go on before somebody has read it. */
export function noticeActivities(queue: string, summary: string, patient: boolean): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary, startToCloseTimeout: MINUTE, scheduleToCloseTimeout: patient ? 10 * MINUTE : 3 * MINUTE,
    retry: patient ? RETRIES.patient : RETRIES.few, cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

/** Control work that reads whole systems: up to a day, heartbeat 30 s. */
export function longControlActivities(queue: string, summary: string): ControlActivities {
  return proxyActivities<ControlActivities>({ taskQueue: queue, summary, startToCloseTimeout: DAY, heartbeatTimeout: '30s', retry: RETRIES.few });
}

/** One step of a cutover: up to an hour (a write block waits for transactions under way), heartbeat 20 s so that a lost worker costs little downtime. */
export function stepActivities(queue: string, summary: string): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary, startToCloseTimeout: 60 * MINUTE, heartbeatTimeout: '20s', retry: RETRIES.few, cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
}

/** Looks at the new side for `watchMs`. */
export function watchProbesActivities(queue: string, watchMs: number): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary: 'probes on the new side', startToCloseTimeout: watchMs + 10 * MINUTE, heartbeatTimeout: '30s', retry: RETRIES.few, cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

/** Steps of a rollback: up to 30 days each, kept alive by a heartbeat of 20 s, since for some of them neither side takes writes; on the queue of the control work, whose workers reach both sides. */
export function rollbackActivities(queue: string, summary: string): ControlActivities & CopyActivities {
  return proxyActivities<ControlActivities & CopyActivities>({ taskQueue: queue, summary, startToCloseTimeout: 30 * DAY, heartbeatTimeout: '20s', retry: RETRIES.few });
}

/** The look at the ledger: waits for news up to `maxWaitMs`; the workflow never waits for it to be cancelled. */
export function watchActivities(queue: string, maxWaitMs: number): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary: 'progress', startToCloseTimeout: maxWaitMs + 2 * MINUTE, heartbeatTimeout: '30s',
    retry: RETRIES.alive, cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

/** One look at the ledger that has to end: a minute in all. */
export function lastLookActivities(queue: string): ControlActivities {
  return proxyActivities<ControlActivities>({
    taskQueue: queue, summary: 'last look', startToCloseTimeout: MINUTE, scheduleToCloseTimeout: MINUTE, heartbeatTimeout: '30s',
    retry: RETRIES.few, cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

/** One slice of work. It is tried a few times; more is up to the lane, which counts slices without progress. */
export function sliceActivities(queue: string, summary: string, sliceMs: number): CopyActivities {
  return namingQueue(queue, copyProxies({ taskQueue: queue, summary, startToCloseTimeout: sliceMs + SLICE_MARGIN_MS, scheduleToStartTimeout: UNSERVED_MS }));
}

/** Long work on a dataset (a whole generation, index builds, comparisons): up to 30 days, kept alive by its heartbeat. */
export function longCopyActivities(queue: string, summary: string): CopyActivities {
  return namingQueue(queue, copyProxies({ taskQueue: queue, summary, startToCloseTimeout: 30 * DAY, scheduleToStartTimeout: UNSERVED_MS }));
}

/** Like `longCopyActivities`, for a run that wants to end: work that nobody picks up within five minutes is given up. */
export function closingCopyActivities(queue: string, summary: string): CopyActivities {
  return copyProxies({ taskQueue: queue, summary, startToCloseTimeout: 30 * DAY, scheduleToStartTimeout: UNSERVED_MS });
}

function copyProxies(options: ActivityOptions): CopyActivities {
  return proxyActivities<CopyActivities>({
    ...options, heartbeatTimeout: '30s', retry: RETRIES.few, cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
}

/**
 * Schedules again what nobody picked up. Workers whose slots are all taken will come to it; where none asks the queue for work (all may have been away
 * the first time), the failure says which queue it is.
 */
function namingQueue(queue: string, activities: CopyActivities): CopyActivities {
  return new Proxy(activities, {
    get(target, name) {
      const activity = Reflect.get(target, name) as (input: unknown) => Promise<unknown>;
      return async (input: unknown) => {
        for (let round = 1; ; round++) {
          try {
            return await activity(input);
          } catch (error) {
            if (!isUnserved(error)) throw error;
            if (round > 1 && !(await isServed(queue))) throw failure('QUEUE_UNSERVED', `No worker has asked the queue "${queue}" for work in the last ${(round * UNSERVED_MS) / MINUTE} minutes.`);
          }
        }
      };
    },
  });
}

/** A Temporal that cannot be asked counts as not served: a person is told. */
async function isServed(queue: string): Promise<boolean> {
  if (!patched('busy-queues')) return false;
  try {
    return await controlActivities(controlQueue(undefined), 'who serves the queue', 'few').isServed({ queue });
  } catch (error) {
    if (isCancellation(error) || !isExpected(error)) throw error;
    return false;
  }
}

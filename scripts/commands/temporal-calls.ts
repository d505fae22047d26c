import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGrpcServiceError, WorkflowFailedError, WorkflowNotFoundError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, type Client, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common';
import { MigrationError } from '../../migration/errors';
import { ERROR_CODES, type ErrorCode } from '../../migration/protocol';
import { UsageError } from './exit-codes';

const RETRY_EVERY_MS = 1_000;
/** A poller that was not heard of for this long is gone: one poll lasts up to a minute. */
const POLLER_FRESH_MS = 75_000;
/** gRPC: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE. */
const OUTAGE_CODES = [1, 2, 4, 8, 13, 14];
const WORKFLOW_QUEUE_TYPE = 1;
/** What has nothing left to do closes within seconds; nobody waits for ever for what does not. */
const CLOSING_MS = 60_000;
const CLOSING_LOOK_MS = 500;

/** Whether the call failed because Temporal was away, restarting or overloaded: the same call may be made again. */
export function isOutage(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  for (let one = error; one instanceof Error; one = one.cause) {
    if (isGrpcServiceError(one)) return OUTAGE_CODES.includes(one.code);
  }
  return false;
}

export interface OutageOptions {
  signal?: AbortSignal;
  /** Told once per outage, and with `null` when it is over. */
  onOutage?: (message: string | null) => void;
}

/** Makes the call until Temporal answers: an outage or restart of Temporal must not end a command. The call must be safe to repeat. */
export async function throughOutages<T>(call: () => Promise<T>, { signal, onOutage }: OutageOptions = {}): Promise<T> {
  let away = false;
  for (;;) {
    try {
      const answer = await call();
      if (away) onOutage?.(null);
      return answer;
    } catch (error) {
      if (!isOutage(error) || signal?.aborted) throw error;
      if (!away) onOutage?.('Temporal cannot be reached; this waits until it is back.');
      away = true;
      await new Promise((resolve) => setTimeout(resolve, RETRY_EVERY_MS));
    }
  }
}

/** How a workflow ended, as the MigrationError it failed with; null when it was cancelled or terminated. */
export function failureOf(error: unknown): MigrationError | null {
  if (!(error instanceof WorkflowFailedError) && !(error instanceof WorkflowUpdateFailedError)) return null;
  let cause: unknown = error.cause;
  while (cause instanceof Error) {
    if (cause instanceof CancelledFailure || cause instanceof TerminatedFailure) return null;
    if (cause instanceof ApplicationFailure && cause.type && Object.hasOwn(ERROR_CODES, cause.type)) {
      return new MigrationError(cause.type as ErrorCode, cause.message);
    }
    if (!(cause.cause instanceof Error)) break;
    cause = cause.cause;
  }
  return new MigrationError('INTERNAL', cause instanceof Error ? cause.message : 'the workflow failed');
}

export interface QueuePollers { queue: string; pollers: number }

/** Workers heard of lately on a workflow queue. */
export async function pollersOf(client: Client, queue: string): Promise<QueuePollers> {
  const answer = await client.workflowService.describeTaskQueue({ namespace: client.options.namespace, taskQueue: { name: queue }, taskQueueType: WORKFLOW_QUEUE_TYPE });
  const freshest = Date.now() - POLLER_FRESH_MS;
  const fresh = answer.pollers.filter((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000 > freshest);
  return { queue, pollers: new Set(fresh.map((poller) => poller.identity)).size };
}

export interface LiveRun { handle: WorkflowHandle; running: boolean; queue: string; firstRunId: string }

/** The latest run under a workflow id; null when Temporal knows none (never started, retention over, database deleted). */
export async function findRun(client: Client, workflowId: string): Promise<LiveRun | null> {
  const handle = client.workflow.getHandle(workflowId);
  try {
    const found = await handle.describe();
    return {
      handle,
      running: found.status.name === 'RUNNING' || found.status.name === 'PAUSED',
      queue: found.taskQueue,
      firstRunId: found.raw.workflowExecutionInfo?.firstRunId || found.runId,
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** Waits until these workflows have closed, those that are on other queues than `queues` left out; a minute at most, and not after `signal`. Never throws. */
export async function closedHere(client: Client, queues: readonly string[], workflowIds: readonly string[], signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CLOSING_MS)]);
  await Promise.all(workflowIds.map(async (workflowId) => {
    for (let open = true; open && !limit.aborted;) {
      const run = await throughOutages(() => findRun(client, workflowId), { signal: limit }).catch(() => null);
      open = run !== null && run.running && queues.includes(run.queue);
      if (open) await sleep(CLOSING_LOOK_MS, undefined, { signal: limit }).catch(() => undefined);
    }
  }));
}

/**
 * Sends an update and waits for its answer through outages. The same update is never carried out twice.
 * @throws UsageError with the workflow's own words when it refuses.
 */
export async function sendUpdate(handle: WorkflowHandle, name: string, argument: object, options: OutageOptions = {}): Promise<string> {
  const updateId = randomUUID();
  try {
    const answer = await throughOutages(() => handle.executeUpdate<string, [object]>(name, { args: [argument], updateId }), options);
    return typeof answer === 'string' ? answer : '';
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw new UsageError(error.cause?.message ?? error.message);
    throw error;
  }
}

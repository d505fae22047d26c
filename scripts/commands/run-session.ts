import type { WorkflowHandle } from '@temporalio/client';
import { MigrationError } from '../../migration/errors';
import { runTaskQueue, TASK_QUEUE, UPDATES, type StepOverrides } from '../../migration/protocol';
import type { Door, RunningWorker, TemporalDoor } from '../../workers/door';
import { findRun, pollersOf, sendUpdate, throughOutages, type LiveRun } from './temporal-calls';

/** A run that goes on, served by a worker in this process where no other serves it. */
export interface OpenedRun {
  handle: WorkflowHandle;
  workflowId: string;
  /** Tells this run's entries in the control store from those of earlier ones. */
  firstRunId: string;
  /** Null when other workers serve the queue that the run is on. */
  worker: RunningWorker | null;
  link: string | null;
}

export interface OpenRunRequest {
  door: Door;
  temporal: TemporalDoor;
  migration: string;
  /** What to start where nothing runs: workflow type, id, summary for the UI, and its input for a queue. */
  start: { type: string; workflowId: string; summary: string; input: (activityQueue: string | undefined) => object };
  /** Leave the work to the workers on the shared queue when there are any. */
  preferWorkers?: boolean;
  /** Settings of the steps that are tried again on attaching. */
  overrides?: StepOverrides;
  signal: AbortSignal;
  onNote: (line: string) => void;
  onAddress: (link: string | null) => void;
  /** Called before a new run is started, not when one is attached to. */
  beforeStart: () => Promise<void>;
  /** Called before a run that is under way is attached to. */
  beforeAttach?: () => Promise<void>;
}

/** The workflow id under which the command runs a migration. */
export function migrationWorkflowId(migration: string): string {
  return `migration-${migration}`;
}

/**
 * Attaches to the workflow of that id when it runs, or starts it; repeats are safe. Steps that were blocked before
 * are tried again: whoever starts the command again has repaired what they could.
 */
export async function openRun(request: OpenRunRequest): Promise<OpenedRun> {
  const { temporal, signal, onNote, start } = request;
  const { workflowId } = start;
  const outage = { signal, onOutage: (message: string | null) => onNote(message ?? 'Temporal is back.') };
  const link = temporal.workflowLink(workflowId);

  const before = await throughOutages(() => findRun(temporal.client, workflowId), outage);
  const attached = before?.running === true ? before : null;
  if (attached) await request.beforeAttach?.();
  else await request.beforeStart();
  request.onAddress(link);
  const { queue, worker } = await serve(request, attached);
  const handle = await throughOutages(() => temporal.client.workflow.start(start.type, {
    workflowId,
    taskQueue: queue,
    args: [start.input(queue === TASK_QUEUE ? undefined : queue)],
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: start.summary,
  }), outage);
  const found = await throughOutages(() => findRun(temporal.client, workflowId), outage);
  if (!found) throw new MigrationError('INTERNAL', `Temporal does not know the workflow ${workflowId} that was just started`);
  if (attached) {
    onNote('A run of this migration was under way: going on with it.');
    await retryBlocked(request, handle, found.firstRunId);
  }
  return { handle, workflowId, firstRunId: found.firstRunId, worker, link };
}

/** The queue for the run, and a worker for it unless others serve it. */
async function serve({ door, migration, temporal, preferWorkers, onNote }: OpenRunRequest, attached: LiveRun | null): Promise<{ queue: string; worker: RunningWorker | null }> {
  const own = runTaskQueue(migration);
  const queue = attached?.queue ?? (preferWorkers && (await pollersOf(temporal.client, TASK_QUEUE)).pollers > 0 ? TASK_QUEUE : own);
  if (queue === own) return { queue, worker: await door.startWorker({ migration }) };
  const { pollers } = await pollersOf(temporal.client, queue);
  if (pollers === 0) return { queue, worker: await door.startWorker({}) };
  if (attached) onNote(`This run is on queue ${queue}, which other workers serve; showing their work.`);
  return { queue, worker: null };
}

async function retryBlocked({ door, migration, overrides, signal, onNote }: OpenRunRequest, handle: WorkflowHandle, firstRunId: string): Promise<void> {
  const status = (await door.status(migration)).migrations.find((one) => one.migration === migration);
  if (status?.firstRunId !== firstRunId) return;
  for (const { step } of status.blocked) {
    // Refused when the step was decided on in between: nothing is left to do then.
    const done = await sendUpdate(handle, UPDATES.resolveStep, { action: 'retry', step, by: 'caravan', ...(overrides ? { overrides } : {}) }, { signal }).then(() => true, () => false);
    if (done) onNote(`Trying again: ${step}`);
  }
}

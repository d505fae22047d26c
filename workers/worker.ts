import path from 'node:path';
import { bundleWorkflowCode, DefaultLogger, Worker, type NativeConnection, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { createActivities } from '../activities';
import type { ActivityDependencies } from '../activities/dependencies';
import { COPY_TASK_QUEUE, runTaskQueue, sideTaskQueue, TASK_QUEUE } from '../migration/protocol';
import { errorsInterceptor } from './errors-interceptor';

const COPY_SLOTS = 16;
/** Cheap work, but every run keeps one slot for its look at the ledger. */
const CONTROL_SLOTS = 100;
const CACHED_WORKFLOWS_MAX = 200;

export interface WorkerOptions {
  connection: NativeConnection;
  namespace: string;
  deps: ActivityDependencies;
  /** Serve only the queue of this migration: workflows and all activities. */
  migration?: string;
  /** Sides to serve beside the shared queues. */
  sides?: readonly string[];
  copySlots?: number;
}

/** Workers that poll. `failed` rejects when one ends by itself; `stop` drains: slices end after their current commit. */
export interface StartedWorkers { queues: string[]; failed: Promise<never>; stop(): Promise<void> }

interface Queue { name: string; workflows: boolean; slots: number }

let bundle: Promise<WorkflowBundleWithSourceMap> | null = null;

/** The workflows as one bundle, built once per process (about a second or two). */
export function workflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  bundle ??= bundleWorkflowCode({ workflowsPath: path.join(__dirname, '..', 'workflows', 'index.ts'), logger: new DefaultLogger('ERROR') });
  bundle.catch(() => { bundle = null; });
  return bundle;
}

/** Starts one worker per queue on a shared connection. Returns when all poll. The caller closes connection and dependencies after `stop`. */
export async function startWorkers(options: WorkerOptions): Promise<StartedWorkers> {
  const workflows = await workflowBundle();
  const activities = createActivities(options.deps);
  const queues = queuesOf(options);
  const workers: Worker[] = [];
  for (const queue of queues) {
    workers.push(await Worker.create({
      connection: options.connection,
      namespace: options.namespace,
      taskQueue: queue.name,
      activities,
      ...(queue.workflows ? { workflowBundle: workflows, maxCachedWorkflows: CACHED_WORKFLOWS_MAX } : {}),
      maxConcurrentActivityTaskExecutions: queue.slots,
      maxHeartbeatThrottleInterval: '10s',
      // Activities hear of the shutdown at once and end after their commit; whatever hangs is left behind.
      shutdownGraceTime: '100ms',
      shutdownForceTime: '45s',
      interceptors: { activity: [errorsInterceptor(options.deps.log)] },
    }));
  }
  return superviseWorkers(workers, queues.map((queue) => queue.name));
}

function queuesOf({ migration, sides = [], copySlots = COPY_SLOTS }: WorkerOptions): Queue[] {
  if (migration !== undefined) return [{ name: runTaskQueue(migration), workflows: true, slots: copySlots + CONTROL_SLOTS }];
  return [
    { name: TASK_QUEUE, workflows: true, slots: CONTROL_SLOTS },
    { name: COPY_TASK_QUEUE, workflows: false, slots: copySlots },
    ...sides.map((side) => ({ name: sideTaskQueue(side), workflows: false, slots: copySlots })),
  ];
}

function superviseWorkers(workers: Worker[], queues: string[]): StartedWorkers {
  let stopping: Promise<void> | null = null;
  const runs = workers.map((worker) => worker.run());
  const settled = Promise.allSettled(runs);
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await settled;
    })();
    return stopping;
  };
  const failed = new Promise<never>((_resolve, reject) => {
    for (const run of runs) {
      run.then(() => { if (!stopping) reject(new Error('a worker ended by itself')); }, (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))));
    }
  });
  failed.catch(() => undefined);
  return { queues, failed, stop };
}

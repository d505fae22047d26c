import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import type { OwnerLookup } from '../activities/dependencies';
import { MigrationError } from '../migration/errors';

/** `temporal.api.enums.v1.TaskQueueType` */
const ACTIVITY_QUEUE_TYPE = 2;
/** A worker whose slots are all taken asks again only when one is free: a slice lasts up to two minutes. */
const POLLER_FRESH_MS = 4 * 60_000;

/** Asks Temporal whether the workflow that holds a lease still lives. A chain of continued runs counts as one workflow. */
export function ownersOf(client: Client, namespace: string, uiUrl: string | null): OwnerLookup {
  return {
    namespace,
    ...(uiUrl === null ? {} : { uiUrl }),
    async state(workflowId, firstRunId) {
      const latest = await describe(client, workflowId);
      if (latest && (latest.raw.workflowExecutionInfo?.firstRunId || latest.runId) === firstRunId) return aliveness(latest);
      // Another chain under the same id (the command gives every run of a migration the same one) says nothing about the owner:
      // it may live in another Temporal. Only a first run that this Temporal knows may be called closed.
      const first = await describe(client, workflowId, firstRunId);
      if (!first) return 'not_found';
      return first.status.name === 'RUNNING' ? 'running' : 'closed';
    },
    async serves(queue) {
      const { pollers } = await client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: queue }, taskQueueType: ACTIVITY_QUEUE_TYPE });
      const freshest = Date.now() - POLLER_FRESH_MS;
      return pollers.some((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000 > freshest);
    },
  };
}

function aliveness(execution: WorkflowExecutionDescription): 'running' | 'closed' {
  return ['RUNNING', 'CONTINUED_AS_NEW', 'PAUSED'].includes(execution.status.name) ? 'running' : 'closed';
}

async function describe(client: Client, workflowId: string, runId?: string): Promise<WorkflowExecutionDescription | null> {
  try {
    return await client.workflow.getHandle(workflowId, runId).describe();
  } catch (error) {
    // A run id that is no UUID cannot be one of this Temporal's.
    if (error instanceof WorkflowNotFoundError || (error instanceof Error && /invalid.*run ?id/i.test(error.message))) return null;
    throw new MigrationError('SYSTEM_UNREACHABLE', 'Temporal cannot be asked whether the workflow that holds the migration still runs; it is asked again');
  }
}

/** For what runs without Temporal: it knows no owner. */
export const noOwners: OwnerLookup = { namespace: 'default', state: () => Promise.resolve('not_found'), serves: () => Promise.resolve(false) };

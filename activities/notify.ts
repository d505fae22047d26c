import { Context } from '@temporalio/activity';
import type { NotifyInput, NotifyTargets } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { loadControl } from './run-context';
import { workflowLink } from './stores/lease';
import { readMigrations } from './stores/control-store';

/** Whom to tell, and which workflow the message is about. */
interface Addressee { to: NotifyTargets; namespace: string; workflowId: string | null }

/**
 * Tells the people whom the plan names, by webhook, command or both; without any, nothing happens. At least once: a repeat may arrive twice, with the same `id`.
 * With `to` in the input no store is asked: people hear even while the control store is what is away.
 * @throws MigrationError `NOTIFY_FAILED` (transient). How long it is tried is the workflow's to say: a broken webhook does not hold a run.
 */
export async function notify(deps: ActivityDependencies, input: NotifyInput): Promise<void> {
  const { to, namespace, workflowId } = input.to ? { to: input.to, namespace: deps.owners.namespace, workflowId: input.workflowId ?? null } : await addressee(deps, input);
  if (to.webhook === undefined && to.command === undefined) return;
  const { activityId } = Context.current().info;
  try {
    await deps.notifiers.send({ webhook: to.webhook, command: to.command }, {
      id: `${input.ref.migration}/${input.ref.lease}/${activityId}`,
      event: input.event,
      migration: input.ref.migration,
      project: to.project ?? null,
      message: input.message,
      workflow_id: workflowId,
      link: workflowId !== null && deps.owners.uiUrl ? workflowLink(deps.owners.uiUrl, namespace, workflowId) : null,
      blocked: input.blocked.map(({ step, dataset, code, message, remedies, since }) => ({ step, dataset: dataset ?? null, code, message, remedies, since })),
    });
  } catch (error) {
    deps.log.warn({ migration: input.ref.migration, event: input.event, reason: error instanceof Error ? error.message : 'unknown' }, 'a notification could not be delivered');
    throw error;
  }
}

/** As the control store knows it: for runs that were admitted before their view said whom to tell. */
async function addressee(deps: ActivityDependencies, input: NotifyInput): Promise<Addressee> {
  const run = await loadControl(deps, input.ref);
  const [row] = await readMigrations(run.control, input.ref.migration);
  return { to: { ...run.plan.alerts.notify, project: run.plan.project }, namespace: row?.namespace ?? deps.owners.namespace, workflowId: input.workflowId ?? row?.workflow_id ?? null };
}

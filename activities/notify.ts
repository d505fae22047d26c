import { Context } from '@temporalio/activity';
import type { NotifyInput } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { loadControl } from './run-context';
import { workflowLink } from './stores/lease';
import { readMigrations } from './stores/control-store';

/** After so many attempts the message is given up: a broken webhook must not hold a run. */
const ATTEMPTS_MAX = 4;

/**
 * Tells the people whom the plan names, by webhook, command or both; without any, nothing happens. At least once: a repeat may arrive twice, with the same `id`.
 * @throws MigrationError `NOTIFY_FAILED` (transient) on the first attempts; later failures are logged only.
 */
export async function notify(deps: ActivityDependencies, input: NotifyInput): Promise<void> {
  const run = await loadControl(deps, input.ref);
  const target = run.plan.alerts.notify;
  if (!target || (target.webhook === undefined && target.command === undefined)) return;
  const { attempt, activityId } = Context.current().info;
  try {
    const [row] = await readMigrations(run.control, input.ref.migration);
    await deps.notifiers.send({ webhook: target.webhook, command: target.command }, {
      id: `${input.ref.migration}/${input.ref.lease}/${activityId}`,
      event: input.event,
      migration: input.ref.migration,
      project: run.plan.project ?? null,
      message: input.message,
      workflow_id: row?.workflow_id ?? null,
      link: row && deps.owners.uiUrl ? workflowLink(deps.owners.uiUrl, row.namespace, row.workflow_id) : null,
      blocked: input.blocked.map(({ step, dataset, code, message, remedies, since }) => ({ step, dataset: dataset ?? null, code, message, remedies, since })),
    });
  } catch (error) {
    if (attempt < ATTEMPTS_MAX) throw error;
    deps.log.error({ migration: input.ref.migration, event: input.event, reason: error instanceof Error ? error.message : 'unknown' }, 'a notification could not be delivered and is given up');
  }
}

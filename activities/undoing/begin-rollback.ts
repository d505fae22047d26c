import type { PoolClient } from 'pg';
import { MigrationError } from '../../migration/errors';
import { latestRollback, newSideOpenSince, ROLLBACK_STEPS } from '../../migration/rollback-steps';
import type { Plan } from '../../migration/plan/schema';
import type { BeginRollbackInput, RollbackBegun, RunRef } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { viewOf } from '../admit';
import type { ActivityDependencies } from '../dependencies';
import { ledgerStates } from '../plan-edits';
import { findMigration } from '../status-reading';
import { audit, lockMigration } from '../stores/control-store';
import { workflowLink } from '../stores/lease';
import { readPlan } from '../stores/plan-store';
import { closeStep, nextAttempt, openStep, readSteps } from '../stores/step-store';
import { rollbackScope } from './rollback-scope';

/**
 * Takes the migration over from whoever runs it, and records what the rollback is: from here on nothing of the former run is carried out any more. A
 * rollback that was begun and not brought to its end goes on as what it was begun as. Durable when it returns; a repeat answers the same.
 * @throws MigrationError `LEASE_HELD` when another rollback is at work, `ROLLBACK_REFUSED`, `PLAN_NOT_FOUND`.
 */
export async function beginRollback(deps: ActivityDependencies, input: BeginRollbackInput): Promise<RollbackBegun> {
  const { row, control } = await findMigration(deps, input.migration);
  const plan = await readPlan(control, row.plan_hash);
  const known = latestRollback(await readSteps(control, input.migration));
  const scope = known && !known.complete ? null : await rollbackScope(deps, plan, input);
  const lease = await takeOver(deps, control, input);
  const ref: RunRef = { migration: input.migration, planHash: row.plan_hash, control: control.config.name, lease };
  const before = await readSteps(control, input.migration);
  const going = latestRollback(before);
  const attempt = going && !going.complete ? going.attempt : await nextAttempt(control, ref);
  const step = await openStep(control, ref, { attempt, step: ROLLBACK_STEPS.begin, undo: { do: 'none' } });
  if (step.state !== 'done') {
    const policy = input.policy ?? plan.rollback.changed_rows;
    await closeStep(control, ref, step, 'done', {
      what: `A rollback (${input.tier}) was begun${input.by ? ` by ${input.by}` : ''}${input.reason ? `: ${input.reason}` : ''}.`,
      tier: input.tier, datasets: (scope?.datasets ?? []).join('\n'), policy, in_use: newSideOpenSince(before) !== null, by: input.by ?? null, reason: input.reason ?? null,
    });
  }
  const begun = latestRollback(await readSteps(control, input.migration));
  if (!begun) throw new MigrationError('INTERNAL', `migration ${input.migration}: the control store did not keep the rollback`);
  return {
    view: await viewOf(deps, control, plan, ref, false), attempt: begun.attempt, tier: begun.tier, datasets: begun.datasets, policy: input.policy ?? begun.policy, inUse: begun.inUse,
    closedOthers: await closedDatasets(deps, plan, begun.datasets), cutover: plan.cutover !== undefined,
    applications: begun.tier === 'partial' ? [] : (plan.cutover?.switch ?? []).map(({ name }) => name),
  };
}

/** Datasets of the plan that are closed and stay so. */
async function closedDatasets(deps: ActivityDependencies, plan: Plan, leaving: readonly string[]): Promise<string[]> {
  const names = Object.keys(plan.datasets).filter((name) => !leaving.includes(name));
  if (names.length === 0) return [];
  const states = await ledgerStates(deps, plan.migration, plan, names);
  return names.filter((name) => states.get(name)?.state === 'closed');
}

/** The lease, from a run that may well be alive: its activities find theirs gone. Only from another rollback that lives it is not taken. */
async function takeOver(deps: ActivityDependencies, control: PostgresSystem, input: BeginRollbackInput): Promise<number> {
  const now = await control.transaction((client) => lockMigration(client, input.migration));
  const ours = now?.workflow_id === input.workflowId && now.first_run_id === input.firstRunId;
  if (now && !ours && now.phase === 'rollback' && now.finished_at === null && (await deps.owners.state(now.workflow_id, now.first_run_id)) === 'running') {
    const link = deps.owners.uiUrl ? ` (${workflowLink(deps.owners.uiUrl, now.namespace, now.workflow_id)})` : '';
    throw new MigrationError('LEASE_HELD', `migration ${input.migration} is already being rolled back by workflow ${now.workflow_id}${link}. Follow that one.`, { workflowId: now.workflow_id });
  }
  return control.transaction((client) => replaceOwner(client, deps, input));
}

async function replaceOwner(client: PoolClient, deps: ActivityDependencies, input: BeginRollbackInput): Promise<number> {
  const row = await lockMigration(client, input.migration);
  if (!row) throw new MigrationError('PLAN_NOT_FOUND', `migration ${input.migration} was removed from the control store a moment ago`);
  if (row.workflow_id === input.workflowId && row.first_run_id === input.firstRunId) return row.lease;
  await client.query(
    `UPDATE caravan.migration SET workflow_id = $2, first_run_id = $3, namespace = $4, lease = lease + 1, purpose = 'migrate', phase = 'rollback', status = 'rolling_back',
       status_before = status, finished_before = finished_at, finished_at = NULL, status_detail = NULL, blocked = '[]', status_since = clock_timestamp(), lease_seen_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE name = $1`, [input.migration, input.workflowId, input.firstRunId, input.namespace ?? deps.owners.namespace]);
  await audit(client, input.migration, input.by ?? input.workflowId, 'rollback_begun', { tier: input.tier, lease: row.lease + 1, from: row.workflow_id, status: row.status, ...(input.reason ? { reason: input.reason } : {}) });
  return row.lease + 1;
}

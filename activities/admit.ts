import type { ServerIdentity } from '../migration/connector';
import { isMigrationError, MigrationError } from '../migration/errors';
import { planView } from '../migration/plan/order';
import { boundedView } from '../migration/plan/work-pages';
import type { Plan } from '../migration/plan/schema';
import type { AdmitInput, NotifyTargets, Problem, RunRef, RunView } from '../migration/protocol';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { refuseDataEdits } from './plan-edits';
import { controlConnection, readPlanInput } from './plan-reading';
import { planConnections } from './run-context';
import { planOfRun, settledBefore } from './run-plan';
import { findMigration } from './status-reading';
import { removedDatasets, storeAmendments } from './stores/amendments';
import { audit, identitiesOf, installControlSchema, leaseLost, readApprovals, readMigrations, storeIdentity, type MigrationRow } from './stores/control-store';
import { sameIdentity } from './stores/identity';
import { takeLease } from './stores/lease';
import { findPlan, planHash, readPlan, storePlan } from './stores/plan-store';

/**
 * Admits a workflow as the one owner of the plan's migration: plan checked and stored with its defaults, connections reached and their identities
 * recorded, lease taken. Durable when it returns; the same workflow asking again gets the same lease.
 * @throws MigrationError `PLAN_NOT_FOUND`, `PLAN_INVALID` (every problem), `APPROACH_NOT_BUILT`, `CONNECTION_UNKNOWN`, `CONNECTION_REFUSED`,
 * `SYSTEM_UNREACHABLE` (transient), `SYSTEM_CHANGED`, `LEASE_HELD` (links to the owner), `SYSTEM_BUSY` (transient: an owner that cannot be
 * looked up was heard of a moment ago), `PLAN_CHANGED` (data edits after rows were copied).
 */
export async function admit(deps: ActivityDependencies, input: AdmitInput): Promise<RunView> {
  const { plan, warnings } = await planOf(deps, input);
  const controlName = controlConnection(plan);
  const control = asPostgres(deps.systems.open(controlName));
  const identities = await reach(deps, plan, controlName);
  await installControlSchema(control);

  const hash = planHash(plan);
  const purpose = input.purpose ?? 'migrate';
  const owner = { workflowId: input.workflowId, firstRunId: input.firstRunId, purpose };
  const { lease, complete } = await takeLease(control, deps.owners, plan.migration, owner, hash, async (client, before) => {
    await compareIdentities(client, plan.migration, identities);
    const former = before && before.plan_hash !== hash ? await findPlan(client, before.plan_hash) : null;
    const opened = former ? await refuseDataEdits(deps, control, former, plan, typeof input.plan === 'string' ? input.plan : undefined) : [];
    await storePlan(client, plan);
    await storeAmendments(client, { migration: plan.migration, planHash: hash, formerHash: before?.plan_hash ?? hash, by: input.workflowId }, opened.map((dataset) => ({ dataset, kind: 'changed' })));
    for (const [connection, identity] of Object.entries(identities)) await storeIdentity(client, plan.migration, connection, identity);
    await audit(client, plan.migration, input.workflowId, admissionEvent(before, former !== null), {
      plan: hash, purpose, run: input.firstRunId,
      ...(before ? { before: { workflow: before.workflow_id, plan: before.plan_hash, status: before.status } } : {}),
      ...(warnings.length > 0 ? { warnings: warnings.length } : {}),
    });
  });
  const settled = plan.cutover && (purpose === 'migrate' || input.dryRun) ? await settledBefore(control, plan.migration) : {};
  return viewOf(deps, control, plan, { migration: plan.migration, planHash: hash, control: controlName, lease, ...settled }, complete);
}

/**
 * The view of the plan as it was amended while this run was under way; the lease stays. Connections that are new are compared as at admission.
 * @throws MigrationError `LEASE_LOST`, and those of the connections.
 */
export async function readmit(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<RunView> {
  const control = asPostgres(deps.systems.open(ref.control));
  const [row] = await readMigrations(control, ref.migration);
  if (row?.lease !== ref.lease) throw leaseLost(ref);
  const plan = await readPlan(control, row.plan_hash);
  await control.use((client) => reach(deps, plan, ref.control).then((identities) => compareIdentities(client, ref.migration, identities)));
  return viewOf(deps, control, plan, { ...ref, planHash: row.plan_hash }, false);
}

/** The orchestration view of an admitted plan. */
export async function viewOf(deps: ActivityDependencies, control: PostgresSystem, whole: Plan, ref: RunRef, complete: boolean): Promise<RunView> {
  const plan = await planOfRun(control, ref, whole);
  const approved = (await readApprovals(control, plan.migration)).map((approval) => approval.gate);
  const removed = (await removedDatasets(control, plan.migration)).filter(({ name }) => !Object.hasOwn(whole.datasets, name));
  return { ...boundedView(planView(plan, ref, complete)), searchAttributes: deps.searchAttributes ?? false, approved, notify: notifyTargets(plan), ...(removed.length > 0 ? { removed } : {}) };
}

function notifyTargets({ alerts, project }: Plan): NotifyTargets {
  const { webhook, command } = alerts.notify ?? {};
  return { ...(webhook === undefined ? {} : { webhook }), ...(command === undefined ? {} : { command }), ...(project === undefined ? {} : { project }) };
}

function admissionEvent(before: MigrationRow | null, edited: boolean): string {
  if (!before) return 'admitted';
  return edited ? 'admitted_with_edits' : 'admitted_again';
}

/** Connects to everything the plan names and answers who they are. Names that this worker does not know are all told at once. */
export async function reach(deps: ActivityDependencies, plan: Plan, control: string): Promise<Record<string, ServerIdentity>> {
  const names = [...new Set([...planConnections(plan), control])];
  const systems = names.map((connection) => deps.systems.open(connection));
  const found = await Promise.all(systems.map(async (system) => [system.config.name, await system.identity()] as const));
  return Object.fromEntries(found);
}

export async function compareIdentities(client: Parameters<Parameters<PostgresSystem['use']>[0]>[0], migration: string, identities: Record<string, ServerIdentity>): Promise<void> {
  const admitted = await identitiesOf(client, migration);
  for (const [connection, now] of Object.entries(identities)) {
    const then = admitted[connection];
    if (!then || sameIdentity(then, now)) continue;
    throw new MigrationError('SYSTEM_CHANGED', `connection ${connection} leads to another database than the one migration ${migration} was started with. Point it back, or use a new migration name for the other database.`, { connection });
  }
}

/** A validation names a migration: what it holds was copied by the plan that the control store keeps, whatever a file of that name says by now. */
async function planOf(deps: ActivityDependencies, { plan: input, purpose, dryRun }: AdmitInput): Promise<{ plan: Plan; warnings: Problem[] }> {
  if (purpose !== 'validate' || dryRun || typeof input !== 'string') return readPlanInput(deps, input);
  const admitted = await admittedPlan(deps, input);
  if (admitted) return { plan: admitted, warnings: [] };
  const read = await readPlanInput(deps, input);
  if (read.plan.migration === input) return read;
  throw new MigrationError('PLAN_NOT_FOUND', `no control store knows a migration ${input}, and the plan ${input} is that of migration ${read.plan.migration}. To validate that one, name it: {"migration": "${read.plan.migration}"}.`);
}

async function admittedPlan(deps: ActivityDependencies, migration: string): Promise<Plan | null> {
  try {
    const { row, control } = await findMigration(deps, migration);
    return await readPlan(control, row.plan_hash);
  } catch (error) {
    if (isMigrationError(error) && error.code === 'PLAN_NOT_FOUND') return null;
    throw error;
  }
}

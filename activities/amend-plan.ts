import { MigrationError } from '../migration/errors';
import type { AmendedDataset, PlanAmendment } from '../migration/plan/amendment';
import { isEdited, planEdits, type PlanEdits } from '../migration/plan/edits';
import { datasetView } from '../migration/plan/order';
import { datasetSchema, type DatasetPlan, type Plan } from '../migration/plan/schema';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import { compareIdentities, reach } from './admit';
import { refusalsAfterCutover } from './after-cutover';
import type { ActivityDependencies } from './dependencies';
import { approachChanged, ledgerStates, type LedgerState } from './plan-edits';
import { controlConnection } from './plan-reading';
import { targetTable } from './run-context';
import { findMigration } from './status-reading';
import { storeAmendments, type NewAmendment } from './stores/amendments';
import { audit, installControlSchema, lockMigration, storeIdentity, type MigrationRow } from './stores/control-store';
import { installLedger } from './stores/ledger';
import { planHash, readPlan, storePlan } from './stores/plan-store';

/** The owner of a validation counts as alive for this long after it was last heard of. */
const ALIVE_SECONDS = 45;
const FENCE_WAIT = '3s';

interface Found { row: MigrationRow; control: PostgresSystem; former: Plan; edits: PlanEdits; ledger: Map<string, LedgerState>; afterCutover: string[] }

/** Compares a plan with the one that its migration is admitted with, and with the ledgers. Changes nothing. @throws MigrationError `PLAN_NOT_FOUND` when the migration was never admitted. */
export async function proposeAmendment(deps: ActivityDependencies, plan: Plan, again: readonly string[] = []): Promise<PlanAmendment> {
  return proposalOf(plan, await findAmended(deps, plan, again));
}

/** `again`: datasets to copy again though the plan says nothing new of them. @throws MigrationError `PLAN_INVALID` when the plan has no such dataset. */
async function findAmended(deps: ActivityDependencies, plan: Plan, again: readonly string[]): Promise<Found> {
  const unknown = again.filter((name) => !Object.hasOwn(plan.datasets, name));
  if (unknown.length > 0) throw new MigrationError('PLAN_INVALID', `the plan has no dataset ${unknown.join(', ')}`);
  const { row, control } = await findMigration(deps, plan.migration);
  const stored = await readPlan(control, row.plan_hash);
  const former = { ...stored, datasets: Object.fromEntries(Object.entries(stored.datasets).map(([name, dataset]) => [name, withDefaults(dataset)])) };
  const edits = planEdits(former, plan);
  for (const dataset of new Set(again)) if (!edits.added.includes(dataset) && !edits.changed.some((one) => one.dataset === dataset)) edits.changed.push({ dataset, fields: [] });
  const names = [...new Set([...Object.keys(former.datasets), ...edits.added])];
  const ledger = await ledgerStates(deps, plan.migration, { ...plan, datasets: { ...plan.datasets, ...former.datasets } }, names);
  return { row, control, former, edits, ledger, afterCutover: await refusalsAfterCutover(control, plan.migration, edits) };
}

/** Keys that a later version of Caravan added, with their defaults, are no edit of the person's. */
function withDefaults(stored: DatasetPlan): DatasetPlan {
  const parsed = datasetSchema.safeParse(stored);
  return parsed.success ? parsed.data : stored;
}

function proposalOf(plan: Plan, found: Found): PlanAmendment {
  const { row, edits, ledger } = found;
  const told = (dataset: string, kind: AmendedDataset['kind'], fields: string[]): AmendedDataset => ({ dataset, kind, fields, rows: ledger.get(dataset)?.rows ?? 0, state: ledger.get(dataset)?.state ?? 'waiting' });
  return {
    migration: plan.migration, formerHash: row.plan_hash, planHash: planHash(plan), status: row.status, finished: row.finished_at !== null,
    datasets: [
      ...edits.changed.map(({ dataset, fields }) => told(dataset, 'changed', fields)),
      ...edits.added.map((dataset) => told(dataset, 'added', [])),
      ...edits.removed.map((dataset) => told(dataset, 'removed', [])),
    ],
    operational: edits.operational,
    refusals: isEdited(edits) ? refusalsOf(plan, found) : [],
    edited: isEdited(edits),
  };
}

function refusalsOf(plan: Plan, { row, former, edits, ledger, afterCutover }: Found): string[] {
  const refusals: string[] = [...afterCutover];
  const begun = Object.keys(former.datasets).filter((name) => ledger.get(name)?.begun);
  if (former.approach !== plan.approach && begun.length > 0) refusals.push(approachChanged(former, plan, begun).message);
  if (controlConnection(former) !== controlConnection(plan)) refusals.push('the control store cannot move while a migration is known to it: name the same connection as `control`');
  if (row.finished_at === null && row.purpose === 'validate' && row.seen_seconds < ALIVE_SECONDS) refusals.push('the migration is being validated: amend it when that has ended');
  for (const { dataset: name } of edits.changed) {
    const known = ledger.get(name);
    const [before, after] = [former.datasets[name], plan.datasets[name]];
    if (!known || !before || !after) continue;
    const [from, to] = [targetTable(name, before), targetTable(name, after)];
    if (before.target.connection !== after.target.connection || from.schema !== to.schema || from.table !== to.table) {
      refusals.push(`datasets.${name}.target: its rows are in ${from.schema}.${from.table} on ${before.target.connection}. Give the dataset another name: then it is removed (its rows stay) and the new one is copied.`);
    } else if (known.base === 'foreign' && known.begun) {
      refusals.push(`datasets.${name}: its rows were written among rows of others and cannot be told apart, so they cannot be taken back. Undo the edit, or copy into another table under another dataset name.`);
    }
  }
  return refusals;
}

export interface AmendRequest { by: string; reason?: string; /** Datasets to copy again though the plan says nothing new of them. */ again?: readonly string[]; /** The plan that the person compared with. */ formerHash: string }

/**
 * Makes the plan that of its migration: stored with who and when, audited, and with what each dataset has to follow, in one transaction. A run that is
 * under way meets it at its next step and goes on under it; without one, the next start does. Copies of changed datasets are fenced off at once.
 * @throws MigrationError `PLAN_CHANGED` when the plan cannot be amended so, or is another by now; those of the connections.
 */
export async function amendPlan(deps: ActivityDependencies, plan: Plan, { by, reason, again = [], formerHash }: AmendRequest): Promise<PlanAmendment> {
  const found = await findAmended(deps, plan, again);
  const proposal = proposalOf(plan, found);
  if (proposal.refusals.length > 0) throw new MigrationError('PLAN_CHANGED', proposal.refusals.join('; '));
  if (!proposal.edited) return proposal;
  const { migration } = plan;
  const { control } = found;
  const identities = await reach(deps, plan, controlConnection(plan));
  await installControlSchema(control);
  await control.transaction(async (client) => {
    const row = await lockMigration(client, migration);
    if (row?.plan_hash !== formerHash) throw new MigrationError('PLAN_CHANGED', `migration ${migration}: its plan was changed by somebody else in the meantime; look again with: npx caravan amend PLAN`);
    await compareIdentities(client, migration, identities);
    await storePlan(client, plan);
    for (const [connection, identity] of Object.entries(identities)) await storeIdentity(client, migration, connection, identity);
    await storeAmendments(client, { migration, planHash: proposal.planHash, formerHash, by }, amendmentsOf(found, proposal));
    await client.query('UPDATE caravan.migration SET plan_hash = $2, updated_at = clock_timestamp() WHERE name = $1', [migration, proposal.planHash]);
    const named = (kind: AmendedDataset['kind']): string[] => proposal.datasets.filter((one) => one.kind === kind).map(({ dataset }) => dataset);
    await audit(client, migration, by, 'amended', {
      plan: proposal.planHash, before: formerHash, changed: named('changed'), added: named('added'), removed: named('removed'), operational: proposal.operational, ...(reason ? { reason } : {}),
    });
  });
  await fenceOff(deps, found, proposal);
  return proposal;
}

/** What the ledger must follow. A dataset that is not in it yet has nothing to take back. */
function amendmentsOf({ former, ledger }: Found, { datasets }: PlanAmendment): NewAmendment[] {
  return datasets.map(({ dataset, kind }): NewAmendment => {
    const before = former.datasets[dataset];
    if (kind === 'removed' && before) return { dataset, kind, view: datasetView(dataset, before, null) };
    return { dataset, kind: ledger.has(dataset) ? 'changed' : 'added' };
  });
}

/** Copies under way lose their epoch: their next commit changes nothing. What is missed here is fenced when the new generation begins. */
async function fenceOff(deps: ActivityDependencies, { former }: Found, { migration, datasets }: PlanAmendment): Promise<void> {
  const byTarget = new Map<string, string[]>();
  for (const { dataset, state } of datasets) {
    const connection = former.datasets[dataset]?.target.connection;
    if (connection !== undefined && state === 'open') byTarget.set(connection, [...(byTarget.get(connection) ?? []), dataset]);
  }
  for (const [connection, names] of byTarget) {
    try {
      const target = asPostgres(deps.systems.open(connection));
      await installLedger(target);
      await target.transaction(async (client) => {
        // A commit that hangs must not hold the person up: the run itself ends it.
        await client.query(`SET LOCAL lock_timeout = '${FENCE_WAIT}'`);
        await client.query(`UPDATE caravan.dataset SET epoch = epoch + 1 WHERE migration = $1 AND dataset = ANY ($2::text[]) AND state = 'open'`, [migration, names]);
      });
    } catch (error) {
      deps.log.warn({ migration, connection, reason: error instanceof MigrationError ? error.code : 'unknown' }, 'copies under the former plan could not be fenced off at once');
    }
  }
}

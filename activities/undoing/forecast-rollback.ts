import { MigrationError } from '../../migration/errors';
import { latestRollback, newSideOpenSince } from '../../migration/rollback-steps';
import type { Plan } from '../../migration/plan/schema';
import type { RollbackDatasetForecast, RollbackForecast, RollbackStart } from '../../migration/protocol';
import { ownRowsOf } from '../connectors/postgres/catalog';
import { isMigrationError } from '../../migration/errors';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { targetTable } from '../run-context';
import { findMigration } from '../status-reading';
import { hasTable } from '../stores/control-store';
import { datasetCounts, loadDatasetRow } from '../stores/ledger';
import { readPlan } from '../stores/plan-store';
import { readSteps } from '../stores/step-store';
import { reverseProblems } from './reverse-dataset';
import { rollbackScope } from './rollback-scope';
import { writtenByCopy } from './row-origin';

/** Rows a second, by which a forecast reckons: measured on one core, on the careful side. */
const REMOVED_PER_SECOND = 150_000;
const COMPARED_PER_SECOND = 60_000;
const STEP_SECONDS = 2;
const COUNT_MS = 20_000;

/**
 * What a rollback would do: rows to remove, rows that others touched so far, applications, time and loss. Changes nothing, takes no lease.
 * @throws MigrationError `PLAN_NOT_FOUND`, `ROLLBACK_REFUSED` with what to do instead.
 */
export function forecastRollback(deps: ActivityDependencies, start: RollbackStart): Promise<RollbackForecast> {
  return whileAlive(async () => {
    if (!['immediate', 'partial', 'full'].includes(start.tier)) throw new MigrationError('ROLLBACK_REFUSED', 'say which rollback: "tier": "immediate", "partial" or "full". Nothing was changed.');
    const { row, control } = await findMigration(deps, start.migration);
    const plan = await readPlan(control, row.plan_hash);
    const steps = await readSteps(control, start.migration);
    const before = latestRollback(steps);
    const halfWay = before !== null && !before.complete;
    if (halfWay && before.tier !== start.tier) throw new MigrationError('ROLLBACK_REFUSED', `migration ${start.migration}: a rollback (${before.tier}) is half way. Bring that one to its end first: start it again with "tier": "${before.tier}".`);
    if (before?.complete && row.status === 'rolled_back' && before.tier !== 'partial' && before.tier !== start.tier) {
      throw new MigrationError('ROLLBACK_REFUSED', `migration ${start.migration} was rolled back (${before.tier}) already. A rollback cannot be rolled back: to migrate again, start the plan; it begins a new generation.`);
    }
    const scope = halfWay ? { datasets: before.datasets, others: Object.keys(plan.datasets).filter((name) => !before.datasets.includes(name)) } : await rollbackScope(deps, plan, start);
    const inUseSince = halfWay ? (before.inUse ? newSideOpenSince(steps) ?? row.started_at : null) : newSideOpenSince(steps);
    const datasets: RollbackDatasetForecast[] = [];
    for (const name of scope.datasets) datasets.push(await datasetForecast(deps, plan, name));
    const nothingToDo = !halfWay && inUseSince === null && datasets.every(({ state }) => state === 'undone' || state === 'never opened') && row.status !== 'running';
    if (start.tier === 'full' && inUseSince !== null && !halfWay) await refuseUnreversible(deps, plan, scope.datasets);
    return describe(start, plan, { datasets, scope, inUseSince, nothingToDo, halfWay, owner: { workflowId: row.workflow_id, status: row.status } });
  });
}

async function refuseUnreversible(deps: ActivityDependencies, plan: Plan, datasets: readonly string[]): Promise<void> {
  const problems = (await Promise.all(datasets.map((name) => reverseProblems(deps, plan, name)))).flat();
  if (problems.length === 0) return;
  throw new MigrationError('ROLLBACK_REFUSED', `a full rollback cannot bring everything home: ${problems.slice(0, 8).join('; ')}${problems.length > 8 ? `; and ${problems.length - 8} more` : ''}. Nothing was changed. An immediate rollback is possible: it lists what the new side wrote in caravan.exported_row and leaves out nothing.`);
}

async function datasetForecast(deps: ActivityDependencies, plan: Plan, name: string): Promise<RollbackDatasetForecast> {
  const dataset = plan.datasets[name];
  if (!dataset) return { dataset: name, state: 'never opened', rows: 0, strangers: 0 };
  const target = asPostgres(deps.systems.open(dataset.target.connection));
  return target.use(async (client) => {
    const ledger = (await hasTable(client, 'dataset')) ? await loadDatasetRow(client, plan.migration, name) : null;
    if (!ledger || ledger.state === 'undone') return { dataset: name, state: ledger ? 'undone' : 'never opened', rows: 0, strangers: 0 };
    const id = { migration: plan.migration, dataset: name, generation: ledger.generation };
    const rows = (await datasetCounts(client, id)).written;
    const { schema, table } = targetTable(name, dataset);
    if (ledger.base !== 'empty') return { dataset: name, state: ledger.state, rows, strangers: null };
    try {
      await client.query(`SET statement_timeout = ${COUNT_MS}`);
      const { rows: [found] } = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ${await ownRowsOf(client, { schema, name: table })} t WHERE NOT (${writtenByCopy(id)})`);
      return { dataset: name, state: ledger.state, rows, strangers: Number(found?.rows ?? 0) };
    } catch {
      return { dataset: name, state: ledger.state, rows, strangers: null };
    } finally {
      await client.query('SET statement_timeout = 0').catch(() => undefined);
    }
  }).catch((error: unknown) => {
    if (isMigrationError(error) && error.kind === 'transient') return { dataset: name, state: `not reached (${error.code})`, rows: 0, strangers: null };
    throw error;
  });
}

type Looked = Pick<RollbackForecast, 'datasets' | 'inUseSince' | 'nothingToDo' | 'halfWay' | 'owner'> & { scope: { others: string[] } };

function describe(start: RollbackStart, plan: Plan, looked: Looked): RollbackForecast {
  const { datasets, inUseSince, scope } = looked;
  const applications = start.tier === 'partial' ? [] : (plan.cutover?.switch ?? []).map(({ name }) => name);
  const rows = datasets.reduce((sum, one) => sum + one.rows, 0);
  const strangers = datasets.some((one) => one.strangers === null) ? null : datasets.reduce((sum, one) => sum + (one.strangers ?? 0), 0);
  const compared = inUseSince !== null || strangers === null || strangers > 0 ? rows : 0;
  const passes = start.tier === 'full' && inUseSince !== null ? 4 : 1;
  const seconds = Math.ceil(STEP_SECONDS * (4 + applications.length + 2 * datasets.length) + (compared * passes) / COMPARED_PER_SECOND + rows / REMOVED_PER_SECOND);
  const policy = start.policy ?? plan.rollback.changed_rows;
  const loss: string[] = [];
  if (inUseSince !== null && start.tier !== 'full') loss.push(`The new side accepts writes since ${inUseSince}. What was written there does not come home: it is listed, whole rows, in caravan.exported_row of the target.`);
  if (inUseSince !== null && start.tier === 'full') loss.push('Columns that only the new side has do not come home; columns that the mapping dropped keep what the old side has.');
  if (strangers === null || strangers > 0) loss.push(`${strangers === null ? 'Rows' : `${strangers} rows`} of the target may have been changed or brought by others; those that were: ${POLICY_WORDS[policy]}.`);
  return { migration: start.migration, tier: start.tier, ...looked, others: scope.others, rows, strangers, applications, seconds, loss, policy };
}

const POLICY_WORDS = { keep_new: 'they stay as they are and are listed', restore_old: 'changed ones go back to what they were, brought ones stay; all are listed', stop: 'the rollback of their dataset blocks and asks' } as const;

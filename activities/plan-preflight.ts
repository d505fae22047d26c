import type { Client } from 'pg';
import { isMigrationError } from '../migration/errors';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import type { Problem } from '../migration/protocol';
import { toMigrationError } from './connectors/postgres/errors';
import { checkLedgerRights, checkServer, checkSource, checkSql, checkTarget } from './connectors/postgres/preflight';
import { grantStatements, readGrantFacts, type GrantRequest } from './connectors/postgres/privileges';
import { parseTableName, type TableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import { analyzePlan } from './analyze-schema';
import { objectProblems } from './carry-objects';
import type { ActivityDependencies } from './dependencies';
import { controlConnection } from './plan-reading';
import { planConnections, sourceSelection, targetTable } from './run-context';
import { createsTable } from './schema-requests';

/** Connections beside those of the copy lanes: control, watching, checks. */
const SPARE_CONNECTIONS = 4;

/** Compares a plan with the live systems: servers, tables, columns, types, keys, rights and SQL. Changes nothing. What cannot be reached is a problem, too. */
export async function checkPlanLive(deps: ActivityDependencies, plan: Plan): Promise<Problem[]> {
  const problems: Problem[] = [];
  const reachable = new Set<string>();
  const sound: Plan['datasets'] = {};
  const control = controlConnection(plan);
  const targets = new Set(Object.values(plan.datasets).map((dataset) => dataset.target.connection));
  const needed = plan.batch.parallel_datasets * plan.batch.parallel_workers + SPARE_CONNECTIONS;
  for (const connection of new Set([...planConnections(plan), control])) {
    const role = targets.has(connection) || connection === control ? 'target' : 'source';
    await collect(problems, `connection ${connection}`, needed, async () => {
      problems.push(...(await onClient(deps, connection, (client) => checkServer(client, role, `connection ${connection}`, needed))));
      if (role === 'target') problems.push(...(await onClient(deps, connection, (client) => checkLedgerRights(client, `connection ${connection}`))));
      reachable.add(connection);
    });
  }
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (!reachable.has(dataset.source.connection) || !reachable.has(dataset.target.connection)) continue;
    const found = await checkDataset(deps, plan, name, dataset);
    problems.push(...found);
    // What is missing or cannot be read cannot be mapped either: one problem is told once.
    if (!found.some((problem) => problem.severity === 'error')) sound[name] = dataset;
  }
  await collect(problems, 'datasets', null, async () => { problems.push(...(await analyzePlan(deps, { ...plan, datasets: sound })).problems); });
  await collect(problems, 'schema_objects', null, async () => { problems.push(...(await objectProblems(deps, { ...plan, datasets: sound }))); });
  for (const kind of ['integrity', 'business_rules'] as const) {
    for (const [name, check] of Object.entries(plan.checks[kind])) {
      for (const side of ['source', 'target'] as const) {
        const connection = check[`${side}_connection`];
        const sql = check[side];
        if (sql === undefined || connection === undefined || !reachable.has(connection) || (side === 'target' && plan.schema === 'create')) continue;
        const place = `checks.${kind}.${name}.${side}`;
        await collect(problems, place, null, async () => { problems.push(...(await onClient(deps, connection, (client) => checkSql(client, sql, place, { one: true })))); });
      }
    }
  }
  return problems;
}

async function checkDataset(deps: ActivityDependencies, plan: Plan, name: string, dataset: DatasetPlan): Promise<Problem[]> {
  const problems: Problem[] = [];
  const { schema, table } = targetTable(name, dataset);
  await collect(problems, `datasets.${name}.source`, null, async () => {
    problems.push(...(await onClient(deps, dataset.source.connection, (client) => checkSource(client, sourceSelection(name, dataset), `datasets.${name}.source`))));
  });
  await collect(problems, `datasets.${name}.target`, null, async () => {
    const { key, on_conflict: onConflict, on_existing: onExisting } = dataset.target;
    const needs = { create: createsTable(plan, dataset), truncate: onExisting === 'replace', ...(onConflict === 'update' && key && { arbiter: key }) };
    problems.push(...(await onClient(deps, dataset.target.connection, (client) => checkTarget(client, { schema, name: table }, needs, `datasets.${name}.target`))));
  });
  return problems;
}

/** On a connection of its own: what a check leaves behind (settings, a broken transaction) ends with it. */
async function onClient<T>(deps: ActivityDependencies, connection: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await asPostgres(deps.systems.open(connection)).connect();
  try {
    return await work(client);
  } catch (error) {
    throw toMigrationError(error, `connection ${connection}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function collect(problems: Problem[], place: string, needed: number | null, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isMigrationError(error)) throw error;
    const full = needed !== null && error.details['sqlstate'] === '53300' ? ` The plan needs ${needed} at most (batch.parallel_workers, batch.parallel_datasets).` : '';
    problems.push({ severity: 'error', place, message: error.message + full, code: error.code });
  }
}

/**
 * Least-privilege SQL per connection of the plan, for its administrators. Who owns what is looked up where the connection works already. Tables inside queries and checks are not known and
 * must be added by hand.
 */
export async function planGrants(deps: ActivityDependencies, plan: Plan): Promise<{ connection: string; sql: string }[]> {
  const control = controlConnection(plan);
  const grants: { connection: string; sql: string }[] = [];
  for (const connection of new Set([...planConnections(plan), control])) {
    const system = asPostgres(deps.systems.open(connection));
    const tables = tablesOf(plan, connection);
    const found = await onClient(deps, connection, (client) => readGrantFacts(client, tables)).catch((error: unknown) => (isMigrationError(error) ? undefined : Promise.reject(error as Error)));
    grants.push({ connection, sql: grantStatements({ ...roleOf(system), ...tables, ledger: connection === control || isTarget(plan, connection), ...(found && { found }) }) });
  }
  return grants;
}

const isTarget = (plan: Plan, connection: string): boolean => Object.values(plan.datasets).some((dataset) => dataset.target.connection === connection);

/** Who the connection logs in as, by its address alone: grants are often asked for before the first login works. */
function roleOf(system: PostgresSystem): Pick<GrantRequest, 'role' | 'database'> {
  const url = new URL(system.config.url);
  const role = decodeURIComponent(url.username) || (url.searchParams.get('user') ?? 'caravan');
  return { role, database: decodeURIComponent(url.pathname.slice(1)) || role };
}

function tablesOf(plan: Plan, connection: string): Pick<GrantRequest, 'reads' | 'writes' | 'creates'> {
  const reads: TableName[] = [];
  const writes: TableName[] = [];
  const creates: TableName[] = [];
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (dataset.source.connection === connection && dataset.source.query === undefined) reads.push(parseTableName(dataset.source.table ?? name));
    if (dataset.target.connection !== connection) continue;
    const { schema, table } = targetTable(name, dataset);
    (createsTable(plan, dataset) ? creates : writes).push({ schema, name: table });
  }
  return { reads, writes, creates };
}

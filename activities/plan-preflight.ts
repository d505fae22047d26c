import { isMigrationError } from '../migration/errors';
import { connectionsNeeded } from '../migration/plan/connections-needed';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { relationsOfStatement } from '../migration/plan/sql-text';
import type { Problem } from '../migration/protocol';
import { checkLedgerRights, checkServer, checkSource, checkSql, checkTarget } from './connectors/postgres/preflight';
import { grantStatements, readGrantFacts, type GrantRequest } from './connectors/postgres/privileges';
import { parseTableName, type TableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import { analyzePlan } from './analyze-schema';
import { CheckClients } from './check-clients';
import type { ActivityDependencies } from './dependencies';
import { checkCutover, cutoverGrants, cutoverWrites } from './cutover/check-rights';
import { controlConnection } from './plan-reading';
import { planConnections, sourceSelection, targetTable } from './run-context';
import { createsTable, describeSource } from './schema-requests';
import { trySchema } from './try-schema';

/** Compares a plan with the live systems: servers, tables, columns, types, keys, rights and SQL. Changes nothing. What cannot be reached is a problem, too. */
export async function checkPlanLive(deps: ActivityDependencies, plan: Plan): Promise<Problem[]> {
  const live = new CheckClients(deps);
  try {
    return await checkAll({ deps, live, described: rememberingDescriptions() }, plan);
  } finally {
    await live.close();
  }
}

interface LiveCheck { deps: ActivityDependencies; live: CheckClients; described: typeof describeSource }

/** Each source is described once, whoever asks. */
function rememberingDescriptions(): typeof describeSource {
  const known = new Map<DatasetPlan, ReturnType<typeof describeSource>>();
  return (deps, name, dataset) => {
    const found = known.get(dataset) ?? describeSource(deps, name, dataset);
    known.set(dataset, found);
    return found;
  };
}

async function checkAll(check: LiveCheck, plan: Plan): Promise<Problem[]> {
  const { deps, live, described } = check;
  const problems: Problem[] = [];
  const reachable = new Set<string>();
  const sound: Plan['datasets'] = {};
  const control = controlConnection(plan);
  const targets = new Set(Object.values(plan.datasets).map((dataset) => dataset.target.connection));
  const needed = connectionsNeeded(plan.batch);
  for (const connection of new Set([...planConnections(plan), control])) {
    const role = targets.has(connection) || connection === control ? 'target' : 'source';
    await collect(problems, `connection ${connection}`, needed, async () => {
      problems.push(...(await live.on(connection, (client) => checkServer(client, role, `connection ${connection}`, needed))));
      if (role === 'target') problems.push(...(await live.on(connection, (client) => checkLedgerRights(client, `connection ${connection}`))));
      reachable.add(connection);
    });
  }
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (!reachable.has(dataset.source.connection) || !reachable.has(dataset.target.connection)) continue;
    const found = await checkDataset(check, plan, name, dataset);
    problems.push(...found);
    // What is missing or cannot be read cannot be mapped either: one problem is told once.
    if (!found.some((problem) => problem.severity === 'error')) sound[name] = dataset;
  }
  await collect(problems, 'cutover', null, async () => { problems.push(...(await checkCutover(deps, plan, reachable))); });
  await collect(problems, 'datasets', null, async () => { problems.push(...(await analyzePlan(deps, { ...plan, datasets: sound }, described)).problems); });
  // With an error somewhere the plan cannot run, and what a trial of the rest leaves out says little.
  if (!problems.some((problem) => problem.severity === 'error')) {
    await collect(problems, 'schema_objects', null, async () => { problems.push(...(await trySchema(deps, plan, described, (connection, work) => live.on(connection, work)))); });
  }
  for (const kind of ['integrity', 'business_rules'] as const) {
    for (const [name, check] of Object.entries(plan.checks[kind])) {
      for (const side of ['source', 'target'] as const) {
        const connection = check[`${side}_connection`];
        const sql = check[side];
        if (sql === undefined || connection === undefined || !reachable.has(connection) || (side === 'target' && plan.schema === 'create')) continue;
        const place = `checks.${kind}.${name}.${side}`;
        await collect(problems, place, null, async () => { problems.push(...(await live.on(connection, (client) => checkSql(client, sql, place, { one: true })))); });
      }
    }
  }
  return problems;
}

async function checkDataset({ deps, live, described }: LiveCheck, plan: Plan, name: string, dataset: DatasetPlan): Promise<Problem[]> {
  const problems: Problem[] = [];
  const { schema, table } = targetTable(name, dataset);
  await collect(problems, `datasets.${name}.source`, null, async () => {
    problems.push(...(await live.on(dataset.source.connection, (client) => checkSource(client, sourceSelection(name, dataset), `datasets.${name}.source`, () => described(deps, name, dataset)))));
  });
  await collect(problems, `datasets.${name}.target`, null, async () => {
    const { key, on_conflict: onConflict, on_existing: onExisting } = dataset.target;
    const needs = { create: createsTable(plan, dataset), truncate: onExisting === 'replace', ...(onConflict === 'update' && key && { arbiter: key }) };
    problems.push(...(await live.on(dataset.target.connection, (client) => checkTarget(client, { schema, name: table }, needs, `datasets.${name}.target`))));
  });
  return problems;
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
 * Least-privilege SQL per connection of the plan, for its administrators. Who owns what is looked up where the connection works already. Tables of checks,
 * and of queries as far as their text does not tell, must be added by hand.
 */
export async function planGrants(deps: ActivityDependencies, plan: Plan): Promise<{ connection: string; sql: string }[]> {
  const control = controlConnection(plan);
  const live = new CheckClients(deps);
  const grants: { connection: string; sql: string }[] = [];
  for (const connection of new Set([...planConnections(plan), control])) {
    const system = asPostgres(deps.systems.open(connection));
    const tables = tablesOf(plan, connection);
    const found = await live.on(connection, (client) => readGrantFacts(client, tables)).catch((error: unknown) => (isMigrationError(error) ? undefined : Promise.reject(error as Error)));
    const ledger = connection === control || isTarget(plan, connection);
    const sql = grantStatements({ ...roleOf(system), ...tables, ledger, switches: cutoverWrites(plan, connection, system), ...(found && { found }) });
    grants.push({ connection, sql: joined(sql, await cutoverGrants(deps, plan, connection)) });
  }
  await live.close();
  return grants;
}

/** What the cutover needs beside it; no statement twice. */
function joined(sql: string, more: string[]): string {
  const known = sql.split('\n');
  return more.length === 0 ? sql : `${sql}${more.filter((line, at) => !known.includes(line) && more.indexOf(line) === at).join('\n')}\n`;
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
    else if (dataset.source.connection === connection) reads.push(...relationsOfStatement(dataset.source.query ?? ''));
    if (dataset.target.connection !== connection) continue;
    const { schema, table } = targetTable(name, dataset);
    (createsTable(plan, dataset) ? creates : writes).push({ schema, name: table });
  }
  return { reads, writes, creates };
}

import { isMigrationError } from '../../migration/errors';
import type { Plan } from '../../migration/plan/schema';
import { relationsOfStatement } from '../../migration/plan/sql-text';
import type { Problem } from '../../migration/protocol';
import { withAdmin } from '../connectors/postgres/admin-session';
import { checkSql } from '../connectors/postgres/preflight';
import { sqlState } from '../connectors/postgres/errors';
import { oneStatement, parseTableName, qualified, quoteIdent, type TableName } from '../connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from '../connectors/postgres/system';
import { blockNeeds, type BlockNeed } from '../connectors/postgres/write-block-rights';
import type { BlockTable } from '../connectors/postgres/write-block-schema';
import type { ActivityDependencies } from '../dependencies';
import { controlConnection } from '../plan-reading';
import { targetTable } from '../run-context';
import { switchBySql } from '../switching/by-sql';
import { sideTables } from './side-tables';

const REMEDY = 'Give the connection an admin_url whose user owns these tables or is a member of their owners: `caravan check PLAN --grants` prints the statements.';

/** What hinders the plan's cutover for want of rights: its write block on both sides, asked as the admin users, and its switches by SQL. Changes nothing. */
export async function checkCutover(deps: ActivityDependencies, plan: Plan, reachable: ReadonlySet<string>): Promise<Problem[]> {
  if (!plan.cutover) return [];
  const problems: Problem[] = [];
  for (const connection of blockedConnections(plan).filter((one) => reachable.has(one))) {
    try {
      const { role, lacks } = await blockLacks(deps, plan, connection);
      problems.push(...lacks.map((lack): Problem => ({ severity: 'error', place: 'cutover', message: `connection ${connection}: the write block needs more than its admin user has: ${role} ${lack}`, remedy: REMEDY })));
    } catch (error) {
      if (!isMigrationError(error)) throw error;
      problems.push({ severity: 'error', place: 'cutover', message: `the write block cannot be looked at as the admin user: ${error.message}`, code: error.code, remedy: REMEDY });
    }
  }
  for (const { name, sql } of plan.cutover.switch) if (sql && reachable.has(sql.connection)) problems.push(...(await checkSwitch(asPostgres(deps.systems.open(sql.connection)), name, sql)));
  return problems;
}

/** What the admin user of a connection lacks for the write block, in words. @throws MigrationError when it cannot log in, or the tables of a query cannot be found. */
export async function blockLacks(deps: ActivityDependencies, plan: Plan, connection: string): Promise<{ role: string; lacks: string[] }> {
  const lacks = (await askNeeds(deps, plan, connection)).flatMap(({ lack }) => (lack === null ? [] : [lack]));
  return { role: adminRole(asPostgres(deps.systems.open(connection))), lacks };
}

/** SQL that gives the cutover its rights on a connection, a line each; none where the plan needs nothing of it. */
export async function cutoverGrants(deps: ActivityDependencies, plan: Plan, connection: string): Promise<string[]> {
  if (!plan.cutover) return [];
  const system = asPostgres(deps.systems.open(connection));
  const lines = switchGrants(plan, connection, userOf(system.config.url));
  if (!blockedConnections(plan).includes(connection)) return lines;
  const role = adminRole(system);
  const found = await askNeeds(deps, plan, connection).catch((error: unknown) => (isMigrationError(error) ? null : Promise.reject(error as Error)));
  const database = decodeURIComponent(new URL(system.config.adminUrl ?? system.config.url).pathname.slice(1));
  const block = found?.flatMap(({ sql }) => (sql === null ? [] : sql.split('\n'))) ?? [
    `GRANT CONNECT, TEMPORARY ON DATABASE ${quoteIdent(database || role)} TO ${quoteIdent(role)};`,
    `-- The admin user could not ask yet. Run this, then print the grants again. It needs USAGE on the tables' schemas and: GRANT table_owner TO ${quoteIdent(role)};`,
  ];
  return [...lines, `-- The cutover's write block is set as the admin user of this connection, ${role}:`, ...block];
}

/** A connection whose user has to write at the cutover may not be read-only by default. */
export function cutoverWrites(plan: Plan, connection: string, system: PostgresSystem): boolean {
  if (!plan.cutover) return false;
  return plan.cutover.switch.some(({ sql }) => sql?.connection === connection) || (blockedConnections(plan).includes(connection) && adminRole(system) === userOf(system.config.url));
}

/** First the tables that the plan names; once nothing is lacking there, also those that the server finds in queries, which takes rights of its own. */
async function askNeeds(deps: ActivityDependencies, plan: Plan, connection: string): Promise<BlockNeed[]> {
  const system = asPostgres(deps.systems.open(connection));
  const { named, makes, queries, ledger } = namedTables(plan, connection);
  const request = { migration: plan.migration, makes, maker: ledger ? userOf(system.config.url) : null, queries };
  const ask = (tables: BlockTable[]): Promise<BlockNeed[]> => withAdmin(system, undefined, (client) => blockNeeds(client, { ...request, tables: [...tables, ...makes] }));
  const needs = await ask(named);
  if (named.length === 0 || needs.some(({ lack }) => lack !== null)) return needs;
  return ask((await sideTables(deps, plan, 'source')).filter((one) => one.connection === connection).flatMap(({ tables }) => tables));
}

/** What the plan's text tells of a connection: tables that are blocked there, also those that queries name, and those of targets. */
function namedTables(plan: Plan, connection: string): { named: BlockTable[]; makes: BlockTable[]; queries: boolean; ledger: boolean } {
  const datasets = Object.entries(plan.datasets);
  const sources = datasets.filter(([, { source }]) => source.connection === connection);
  const targets = datasets.filter(([, { target }]) => target.connection === connection);
  const block = ({ schema, name }: TableName): BlockTable => ({ schema, table: name });
  const named = sources.flatMap(([name, { source }]) => (source.query === undefined ? [parseTableName(source.table ?? name)] : relationsOfStatement(source.query)));
  if (sources.length > 0) named.push(...(plan.cutover?.also_block ?? []).map((table) => parseTableName(table)));
  return { named: named.map(block), makes: targets.map(([name, dataset]) => targetTable(name, dataset)), queries: sources.some(([, { source }]) => source.query !== undefined), ledger: targets.length > 0 || connection === controlConnection(plan) };
}

const blockedConnections = ({ datasets }: Plan): string[] => [...new Set(Object.values(datasets).flatMap(({ source, target }) => [source.connection, target.connection]))];
const adminRole = ({ config }: PostgresSystem): string => userOf(config.adminUrl ?? config.url);

function userOf(address: string): string {
  const url = new URL(address);
  return decodeURIComponent(url.username) || (url.searchParams.get('user') ?? 'caravan');
}

type SqlSwitch = NonNullable<NonNullable<Plan['cutover']>['switch'][number]['sql']>;

/** Its read-back is asked; its statements are planned only, which names what is missing and changes nothing. What the server cannot plan (several statements, commands) is left to the cutover. */
async function checkSwitch(system: PostgresSystem, name: string, sql: SqlSwitch): Promise<Problem[]> {
  const place = `cutover.switch.${name}`;
  const remedy = `Grant the user of connection ${sql.connection} what the statements of this switch need: \`caravan check PLAN --grants\` prints what can be told from them.`;
  return system.use(async (client) => {
    const problems: Problem[] = await checkSql(client, sql.read_back, `${place}.read_back`, { one: true });
    for (const statement of ['to_new', 'to_legacy'] as const) {
      const refused = await client.query(oneStatement(`EXPLAIN ${sql[statement]}`)).then(() => null, (error: unknown) => error);
      if (refused === null || sqlState(refused) === '42601') continue;
      if (sqlState(refused) === null) throw refused;
      problems.push({ severity: 'error', place: `${place}.${statement}`, message: (refused as Error).message });
    }
    const { rows: [session] } = await client.query<{ readonly: boolean }>(`SELECT current_setting('default_transaction_read_only')::boolean AS readonly`);
    if (session?.readonly) problems.push({ severity: 'error', place, message: `the user of connection ${sql.connection} is read-only by default_transaction_read_only, so it can switch nothing` });
    const asked = problems.length > 0 ? problems.map((problem) => ({ remedy, ...problem })) : null;
    return asked ?? (await switchBySql(system, sql).read() === 'unclear' ? [{ severity: 'error', place: `${place}.read_back`, message: 'it answers neither "new" nor "legacy", so nothing would prove the switch' }] : []);
  });
}

/** As far as the text of a switch's statements tells what they touch. */
function switchGrants(plan: Plan, connection: string, user: string): string[] {
  return (plan.cutover?.switch ?? []).flatMap(({ name, sql }) => {
    if (sql?.connection !== connection) return [];
    const touched = [sql.to_new, sql.to_legacy, sql.read_back].flatMap(relationsOfStatement);
    const role = quoteIdent(user);
    const schemas = [...new Set(touched.map(({ schema }) => schema))].map((schema) => `GRANT USAGE ON SCHEMA ${quoteIdent(schema)} TO ${role};`);
    const tables = [...new Set(touched.map(({ schema, name: table, rights }) => `GRANT ${rights.join(', ')} ON TABLE ${qualified({ schema, name: table })} TO ${role};`))];
    return [`-- Switch ${name} by SQL, as far as its statements tell what they touch:`, ...schemas, ...tables];
  });
}

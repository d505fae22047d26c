import type { Client, ClientBase } from 'pg';
import type { DatasetDescription, Selection } from '../../../migration/connector';
import { isMigrationError } from '../../../migration/errors';
import type { Problem } from '../../../migration/protocol';
import { findRelation, readRows, requireRelation, serverMajor, type Relation } from './catalog';
import { describe } from './describe';
import { sqlState, toMigrationError } from './errors';
import { findArbiter, writingRules } from './merge';
import { displayName, embedded, oneStatement, parseTableName, qualified, type TableName } from './sql';
import { NOT_WRITE_BLOCK } from './write-block-schema';

const OLDEST = 13;
const NEWEST = 18;
const SQL_LIMIT_SECONDS = 30;
const GRANT = 'Grant it: `caravan check PLAN --grants` prints the statements.';
const BYPASS = 'Use a user with BYPASSRLS: `caravan check PLAN --grants` prints the statement. The owner passes too, unless the table has FORCE ROW LEVEL SECURITY.';

/** Version, encoding, read-only state and free connections of one server. Changes nothing. */
export async function checkServer(client: Client, role: 'source' | 'target', place: string, connections: number): Promise<Problem[]> {
  const problems: Problem[] = [];
  const major = await serverMajor(client);
  const [state] = await readRows<{ encoding: string; recovery: boolean; readonly: boolean; free: number }>(
    client,
    `SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS recovery, current_setting('default_transaction_read_only')::boolean AS readonly,
       least(
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
         (SELECT CASE WHEN datconnlimit >= 0 THEN datconnlimit - (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname = d.datname) END FROM pg_catalog.pg_database d WHERE d.datname = current_database()),
         (SELECT CASE WHEN rolconnlimit >= 0 THEN rolconnlimit - (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usename = current_user) END FROM pg_catalog.pg_roles WHERE rolname = current_user)
       )::int AS free`,
  );
  if (await isPooled(client)) problems.push(warning(place, 'a connection pooler (such as PgBouncer) stands before the server. With transaction or statement pooling settings, snapshots and temporary tables get lost between statements', 'Connect to the server itself, or to a pool with pool_mode = session.'));
  if (major < OLDEST) problems.push(error(place, `the server is PostgreSQL ${major}; Caravan works with ${OLDEST} to ${NEWEST}`, 'Upgrade the server first.'));
  if (major > NEWEST) problems.push(warning(place, `the server is PostgreSQL ${major}; Caravan is tested with ${OLDEST} to ${NEWEST}`));
  if (!state) return problems;
  if (!['UTF8', 'SQL_ASCII'].includes(state.encoding)) problems.push(warning(place, `the database is encoded in ${state.encoding}; texts travel as UTF8, and what has no place in ${state.encoding} is refused`));
  if (state.encoding === 'SQL_ASCII') problems.push(warning(place, 'the database is encoded in SQL_ASCII: texts that are not UTF8 go to quarantine'));
  if (role === 'target' && state.recovery) problems.push(error(place, 'the target is a standby and takes no writes', 'Connect to the primary.'));
  else if (role === 'target' && state.readonly) problems.push(error(place, 'the target is read-only by default_transaction_read_only', 'Set it off for this user or database.'));
  if (role === 'source' && state.recovery) problems.push(warning(place, 'the source is a standby: rows written to the primary arrive later, and long reads may be cancelled', 'Read from the primary, or set hot_standby_feedback.'));
  if (state.free < connections) problems.push(error(place, `${state.free} connections are free, and ${connections} are needed`, 'Lower batch.parallel_workers or batch.parallel_datasets, or free connections.'));
  return problems;
}

/** The process that greeted us is not the one that answers: poolers give out process numbers of their own. */
async function isPooled(client: Client): Promise<boolean> {
  const { processID } = client as unknown as { processID: number | null };
  const [answering] = await readRows<{ pid: number }>(client, 'SELECT pg_catalog.pg_backend_pid() AS pid');
  return processID !== null && answering !== undefined && answering.pid !== processID;
}

/** Table or query exists, can be read in full, and has a key. */
export async function checkSource(client: ClientBase, selection: Selection, place: string, described: () => Promise<DatasetDescription> = () => describe(client, selection, place)): Promise<Problem[]> {
  return collect(place, async (problems) => {
    if (selection.query !== undefined) problems.push(...(await checkSql(client, selection.query, place, { one: false })));
    if (problems.length > 0) return;
    if (selection.table !== undefined) {
      const relation = await requireRelation(client, parseTableName(selection.table), place);
      problems.push(...readingProblems(relation, place));
      if (!relation.readable) return;
      problems.push(...(await sequenceProblems(client, relation, ['SELECT'], place)));
    }
    const { key } = await described();
    if (key === null) problems.push(warning(place, 'there is no usable key: the dataset is copied in one piece and starts again when interrupted', 'Add a primary key to the table, or declare key in the plan.'));
  });
}

function readingProblems(relation: Relation, place: string): Problem[] {
  const problems: Problem[] = [];
  if (!relation.readable) problems.push(error(place, `${displayName(relation)} cannot be read by this user`, GRANT));
  if (relation.rowsHidden) problems.push(error(place, `row security of ${displayName(relation)} hides rows from this user`, BYPASS));
  if (relation.hasChildren) problems.push(warning(place, `${displayName(relation)} has inheriting tables: only its own rows are read`, 'Make a dataset of each child that should move.'));
  return problems;
}

export interface TargetNeeds {
  /** The plan creates the table when it is missing. */
  create: boolean;
  truncate: boolean;
  /** Rows that are there are updated by these columns. */
  arbiter?: readonly string[];
}

/** Target table exists (or may be created) and may be written. */
export async function checkTarget(client: ClientBase, table: TableName, needs: TargetNeeds, place: string): Promise<Problem[]> {
  return collect(place, async (problems) => {
    const relation = needs.create ? await findRelation(client, table) : await requireRelation(client, table, place);
    if (!relation) {
      const [found] = await readRows<{ schema: boolean; create: boolean; database: boolean }>(
        client,
        `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS schema,
           coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = $1), false) AS create, has_database_privilege(current_database(), 'CREATE') AS database`,
        [table.schema],
      );
      if (found && !(found.schema ? found.create : found.database)) {
        problems.push(error(place, `this user may not create ${displayName(table)}: CREATE on ${found.schema ? `schema ${table.schema}` : 'the database'} is missing`, GRANT));
      }
      return;
    }
    if (relation.kind !== 'table' && relation.kind !== 'partitioned') {
      problems.push(error(place, `${displayName(table)} is a ${relation.kind.replace('_', ' ')}; rows can be written to tables only`, 'Name the table itself.'));
      return;
    }
    if (relation.rowsHidden) problems.push(error(place, `row security of ${displayName(table)} hides rows from this user`, BYPASS));
    // Locks and the way to quarantine take UPDATE and DELETE, whatever the plan says.
    const wanted = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', ...(needs.truncate ? ['TRUNCATE'] : [])];
    const reach = await schemaProblem(client, relation, place);
    if (reach) return void problems.push(reach);
    const missing = await readRows<{ right: string }>(
      client, `SELECT p.name AS right FROM unnest($2::text[]) WITH ORDINALITY p(name, ordinal) WHERE NOT has_table_privilege($1::oid, p.name) ORDER BY p.ordinal`, [relation.oid, wanted]);
    if (missing.length > 0) problems.push(error(place, `this user lacks ${missing.map((one) => one.right).join(', ')} on ${displayName(table)}`, GRANT));
    if (needs.arbiter && !(await findArbiter(client, table, needs.arbiter))) {
      problems.push(error(place, `no unique index covers exactly (${needs.arbiter.join(', ')}), so rows cannot be updated by it`, 'Create one (complete, not deferrable, without expressions), or name other columns under target.key.'));
    }
    const rules = await writingRules(client, table);
    if (rules.length > 0) problems.push(warning(place, `${displayName(table)} has rules (${rules.join(', ')}): rows that are loaded pass them by, and a merge with rows of others is refused`, `Take them off for the migration: ALTER TABLE ${qualified(table)} DISABLE RULE ...`));
    problems.push(...(await sequenceProblems(client, relation, ['SELECT', 'UPDATE'], place)));
    problems.push(...(await ownershipProblems(client, relation, place)));
  });
}

/** Rights on a table are worth nothing where its schema is closed. */
async function schemaProblem(client: ClientBase, table: TableName, place: string): Promise<Problem | null> {
  const [found] = await readRows<{ usable: boolean }>(client, `SELECT has_schema_privilege(oid, 'USAGE') AS usable FROM pg_catalog.pg_namespace WHERE nspname = $1`, [table.schema]);
  return found?.usable === false ? error(place, `this user lacks USAGE on schema ${table.schema}`, GRANT) : null;
}

/** The sequences of the table's columns are set after the load; those of the source are read for it. */
async function sequenceProblems(client: ClientBase, relation: Relation, rights: ('SELECT' | 'UPDATE')[], place: string): Promise<Problem[]> {
  const closed = await readRows<{ name: string; missing: string }>(
    client,
    `SELECT n.nspname || '.' || c.relname AS name, (SELECT string_agg(p.name, ', ' ORDER BY p.ordinal) FROM unnest($2::text[]) WITH ORDINALITY p(name, ordinal) WHERE NOT has_sequence_privilege(c.oid, p.name)) AS missing
     FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjid = $1::oid
     ORDER BY 1`, [relation.oid, rights]);
  return closed.filter((sequence) => sequence.missing !== null).map((sequence) => (rights.includes('UPDATE')
    ? error(place, `this user lacks ${sequence.missing} on sequence ${sequence.name}, which is set after the load`, GRANT)
    : warning(place, `this user lacks ${sequence.missing} on sequence ${sequence.name}: its state is not carried over, only the highest value of the column counts`, GRANT)));
}

/** Indexes, foreign keys and triggers can be taken off for the load only by the owner. */
async function ownershipProblems(client: ClientBase, relation: Relation, place: string): Promise<Problem[]> {
  const [found] = await readRows<{ owned: boolean; triggers: string[] | null }>(
    client,
    `SELECT pg_has_role(c.relowner, 'USAGE') AS owned, (SELECT json_agg(DISTINCT g.tgname) FROM pg_catalog.pg_trigger g WHERE (g.tgrelid = c.oid OR c.relkind = 'p' AND g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid))) AND NOT g.tgisinternal AND ${NOT_WRITE_BLOCK} AND g.tgenabled IN ('O', 'A')) AS triggers
     FROM pg_catalog.pg_class c WHERE c.oid = $1`, [relation.oid]);
  if (!found || found.owned) return [];
  const remedy = 'Use a user that owns the table or is a member of its owner: `caravan check PLAN --grants` prints the statement.';
  if (found.triggers) return [error(place, `${displayName(relation)} has triggers (${found.triggers.join(', ')}) that must be off during the load, and only its owner may turn them off`, remedy)];
  return [warning(place, `this user does not own ${displayName(relation)}: indexes and foreign keys stay during the load, which is slower`, remedy)];
}

/** Schema `caravan` is there and usable, or can be made; temporary tables, too. */
export async function checkLedgerRights(client: ClientBase, place: string): Promise<Problem[]> {
  const [found] = await readRows<{ there: boolean; usable: boolean; database: boolean; temporary: boolean; strangers: string | null }>(
    client,
    `SELECT to_regnamespace('caravan') IS NOT NULL AS there, coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') FROM pg_catalog.pg_namespace n WHERE n.nspname = 'caravan'), false) AS usable,
       has_database_privilege(current_database(), 'CREATE') AS database, has_database_privilege(current_database(), 'TEMPORARY') AS temporary,
       (SELECT min(pg_catalog.pg_get_userbyid(c.relowner)) FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace('caravan') AND c.relkind = 'r' AND c.relname <> 'write_block' AND NOT pg_has_role(c.relowner, 'USAGE')) AS strangers`);
  if (!found) return [];
  const problems: Problem[] = [];
  if (!found.temporary) problems.push(error(place, 'this user may not make temporary tables in the database', GRANT));
  if (!(found.there ? found.usable : found.database)) problems.push(error(place, found.there ? 'this user may not use and create in schema caravan' : 'this user may not create schema caravan, where progress is kept', GRANT));
  else if (found.strangers !== null) problems.push(error(place, `tables of schema caravan belong to ${found.strangers}, and this user is not a member of that role`, GRANT));
  return problems;
}

/**
 * The SQL parses, names things that exist, and runs: EXPLAIN first, then, for one-number checks, a run of at most 30 s. Always READ ONLY, always rolled back.
 * A run that takes longer is a warning.
 */
export async function checkSql(client: ClientBase, sql: string, place: string, options: { one: boolean }): Promise<Problem[]> {
  return collect(place, async (problems) => {
    await client.query('BEGIN READ ONLY');
    try {
      await client.query(`SET LOCAL statement_timeout = '${SQL_LIMIT_SECONDS}s'`);
      await client.query(oneStatement(`EXPLAIN SELECT * FROM (${embedded(sql)}) caravan_check`));
      if (!options.one) return;
      const { rows, fields } = await client.query(oneStatement(`SELECT * FROM (${embedded(sql)}) caravan_check LIMIT 2`));
      if (rows.length !== 1 || fields.length !== 1) problems.push(error(place, `a check gives one value, but this one gives ${rows.length > 1 ? 'several' : rows.length} rows of ${fields.length} columns`, 'Use an aggregate such as count(*) or sum(...).'));
    } catch (failure) {
      if (sqlState(failure) !== '57014') throw failure;
      problems.push(warning(place, `the SQL did not end within ${SQL_LIMIT_SECONDS} s; it is run with a longer limit in the migration`));
    } finally {
      await client.query('ROLLBACK').catch(() => undefined);
    }
  });
}

/** What a check throws becomes a problem; what makes the system unreachable stays an error. */
async function collect(place: string, check: (problems: Problem[]) => Promise<void>): Promise<Problem[]> {
  const problems: Problem[] = [];
  try {
    await check(problems);
  } catch (failure) {
    const known = isMigrationError(failure) ? failure : toMigrationError(failure, place);
    if (known.kind === 'transient' || known.kind === 'internal' || known.code === 'CONNECTION_REFUSED') throw known;
    problems.push(error(place, known.message.startsWith(`${place}: `) ? known.message.slice(place.length + 2) : known.message));
  }
  return problems;
}

function error(place: string, message: string, remedy?: string): Problem {
  return { severity: 'error', place, message, ...(remedy !== undefined && { remedy }) };
}

function warning(place: string, message: string, remedy?: string): Problem {
  return { severity: 'warning', place, message, ...(remedy !== undefined && { remedy }) };
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import type { SystemFinding } from '../../../migration/preparation/findings';
import { readRows } from './catalog';
import { displayName, qualified, quoteIdent, type TableName } from './sql';

export type ServerFacts = Pick<SystemFinding, 'version' | 'user' | 'encryption' | 'limits'>;

/** Who answers, whether the way there is encrypted (as the server sees this very session), and what the server has. Changes nothing. */
export async function readServerFacts(client: ClientBase): Promise<ServerFacts> {
  const [facts] = await readRows<ServerFacts['limits'] & { version: string; user: string; ssl: boolean | null; protocol: string | null; cipher: string | null; local: boolean }>(
    client,
    `SELECT current_setting('server_version') AS version, current_user AS user, s.ssl, s.version AS protocol, s.cipher,
       inet_server_addr() IS NULL OR host(inet_client_addr()) = host(inet_server_addr()) OR inet_client_addr() <<= inet '127.0.0.0/8' OR inet_client_addr() = inet '::1' AS local,
       current_setting('max_connections')::int AS "maxConnections", current_setting('superuser_reserved_connections')::int AS reserved,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS "inUse",
       ${bytesOf('shared_buffers')} AS "sharedBuffersBytes", ${bytesOf('work_mem')} AS "workMemBytes", ${bytesOf('maintenance_work_mem')} AS "maintenanceWorkMemBytes",
       ${bytesOf('max_wal_size')} AS "maxWalBytes", pg_catalog.pg_database_size(current_database()) AS "databaseBytes"
     FROM (SELECT) one LEFT JOIN pg_catalog.pg_stat_ssl s ON s.pid = pg_catalog.pg_backend_pid()`,
  );
  if (!facts) throw new MigrationError('INTERNAL', 'the server did not tell about itself');
  const { version, user, ssl, protocol, cipher, local, ...limits } = facts;
  return { version, user, limits, encryption: { state: ssl ? 'encrypted' : local ? 'local' : 'plain', version: ssl ? protocol : null, cipher: ssl ? cipher : null } };
}

const bytesOf = (setting: string): string => `pg_catalog.pg_size_bytes(current_setting('${setting}'))`;

/** What the migration does with a connection. */
export interface RightsUse { reads: readonly TableName[]; writes: readonly TableName[]; ledger: boolean }

interface RoleFacts { user: string; superuser: boolean; createrole: boolean; createdb: boolean; replication: boolean; bypassrls: boolean; writeAll: boolean; program: boolean; files: boolean; database: boolean; databaseName: string }

/** Rights of the session's user that this use does not need, each with the statement that takes it away. */
export async function surplusRights(client: ClientBase, use: RightsUse): Promise<SystemFinding['surplus']> {
  const [role] = await readRows<RoleFacts>(
    client,
    `SELECT current_user AS user, r.rolsuper AS superuser, r.rolcreaterole AS createrole, r.rolcreatedb AS createdb, r.rolreplication AS replication, r.rolbypassrls AS bypassrls,
       ${memberOf('pg_write_all_data')} AS "writeAll", ${memberOf('pg_execute_server_program')} AS program, ${memberOf('pg_write_server_files')} AS files,
       has_database_privilege(current_database(), 'CREATE') AS database, current_database() AS "databaseName"
     FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`,
  );
  if (!role) return [];
  const user = quoteIdent(role.user);
  // A superuser passes every other test: naming each would say nothing more.
  if (role.superuser) return [{ right: 'superuser', remedy: 'Use a role of its own with the rights that `caravan check PLAN --grants` prints.' }];
  const surplus: SystemFinding['surplus'] = [];
  const take = (held: boolean, right: string, remedy: string) => { if (held) surplus.push({ right, remedy }); };
  take(role.createrole, 'may create roles (CREATEROLE)', `ALTER ROLE ${user} NOCREATEROLE;`);
  take(role.createdb, 'may create databases (CREATEDB)', `ALTER ROLE ${user} NOCREATEDB;`);
  take(role.replication, 'may replicate (REPLICATION)', `ALTER ROLE ${user} NOREPLICATION;`);
  take(role.program, 'may run programs on the server', `REVOKE pg_execute_server_program FROM ${user};`);
  take(role.files, 'may write files on the server', `REVOKE pg_write_server_files FROM ${user};`);
  take(role.writeAll, 'may write to every table (pg_write_all_data)', `REVOKE pg_write_all_data FROM ${user};`);
  if (role.bypassrls && !(await hasRowSecurity(client, [...use.reads, ...use.writes]))) take(true, 'passes row security (BYPASSRLS), and no table of the plan has any', `ALTER ROLE ${user} NOBYPASSRLS;`);
  if (use.writes.length > 0 || use.ledger) return surplus;
  take(role.database, 'may create schemas in the database, which is only read', `REVOKE CREATE ON DATABASE ${quoteIdent(role.databaseName)} FROM ${user};`);
  if (!role.writeAll) for (const { table, rights } of await writableTables(client, use.reads)) take(true, `may ${rights} on ${displayName(table)}, which is only read`, `REVOKE ${rights} ON ${qualified(table)} FROM ${user};`);
  return surplus;
}

const memberOf = (role: string): string => `coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') FROM pg_catalog.pg_roles WHERE rolname = '${role}'), false)`;

async function hasRowSecurity(client: ClientBase, tables: readonly TableName[]): Promise<boolean> {
  const [found] = await readRows<{ found: boolean }>(client, `SELECT coalesce(bool_or(c.relrowsecurity), false) AS found ${NAMED}`, namesOf(tables));
  return found?.found ?? false;
}

async function writableTables(client: ClientBase, tables: readonly TableName[]): Promise<{ table: TableName; rights: string }[]> {
  const rows = await readRows<{ schema: string; name: string; rights: string }>(
    client,
    `SELECT n.nspname AS schema, c.relname AS name, (SELECT string_agg(p.name, ', ' ORDER BY p.ordinal) FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY p(name, ordinal) WHERE has_table_privilege(c.oid, p.name)) AS rights
     ${NAMED} AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1, 2`, namesOf(tables));
  return rows.map(({ schema, name, rights }) => ({ table: { schema, name }, rights }));
}

const NAMED = `FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))`;
const namesOf = (tables: readonly TableName[]): [string[], string[]] => [tables.map(({ schema }) => schema), tables.map(({ name }) => name)];

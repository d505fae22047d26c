import type { ClientBase } from 'pg';
import { listed } from './admin-session';
import { readRows } from './catalog';
import { qualified, quoteIdent, type TableName } from './sql';
import { relationsToBlock, type BlockedRelation, type BlockTable } from './write-block-schema';

/** One right that a write block takes. `lack`: what is missing, in words; null when the user has it. `sql`: what gives it; null when no grant can, or none is needed. */
export interface BlockNeed { lack: string | null; sql: string | null }

export interface BlockRightsRequest {
  migration: string;
  tables: readonly BlockTable[];
  /** Those of them that the migration makes where they are not there yet. */
  makes: readonly BlockTable[];
  /** Role that makes them, and schema `caravan` where the ledger or control store is in this database; null when the migration makes nothing here. */
  maker: string | null;
  /** Sources that are queries: the server is asked which tables they read. */
  queries: boolean;
}

/**
 * Every right that `blockWrites`, `allowWrites` and their proofs need of the user of this session (the connection's admin user), held or not. Tables
 * that are not there are passed over. Changes nothing.
 */
export async function blockNeeds(client: ClientBase, request: BlockRightsRequest): Promise<BlockNeed[]> {
  const relations = await relationsToBlock(client, request.migration, request.tables, 'ignored');
  const session = await readSession(client, request.maker);
  const role = quoteIdent(session.role);
  return [
    ...sessionNeeds(session, role, request.queries),
    ...(await schemaNeeds(client, [...relations, ...request.tables], role)),
    ...(await ownerNeeds(client, relations, session, request)),
    ...(await rowNeeds(client, relations, role)),
    ...(await ledgerNeeds(client, session, request.maker)),
  ];
}

interface Session { role: string; database: string; superuser: boolean; standby: boolean; readOnly: boolean; temporary: boolean; creates: boolean; actsAsMaker: boolean }

async function readSession(client: ClientBase, maker: string | null): Promise<Session> {
  const [session] = await readRows<Session>(
    client,
    `SELECT current_user::text AS role, current_database()::text AS database, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::boolean AS "readOnly",
       has_database_privilege(current_database(), 'TEMPORARY') AS temporary, has_database_privilege(current_database(), 'CREATE') AS creates,
       coalesce((SELECT pg_has_role(oid, 'USAGE') FROM pg_catalog.pg_roles WHERE rolname = $1), false) AS "actsAsMaker"`, [maker]);
  if (!session) throw new Error('a SELECT without FROM gives one row');
  return session;
}

function sessionNeeds({ database, standby, readOnly, temporary }: Session, role: string, queries: boolean): BlockNeed[] {
  return [
    { lack: queries && !temporary ? 'may not make temporary views, by which the tables of a query are found' : null, sql: `GRANT CONNECT${queries ? ', TEMPORARY' : ''} ON DATABASE ${quoteIdent(database)} TO ${role};` },
    ...(readOnly ? [{ lack: 'is read-only by default_transaction_read_only', sql: `ALTER ROLE ${role} IN DATABASE ${quoteIdent(database)} SET default_transaction_read_only = off;` }] : []),
    ...(standby ? [{ lack: 'is on a standby, which takes no triggers: connect admin_url to the primary', sql: null }] : []),
  ];
}

async function schemaNeeds(client: ClientBase, relations: readonly { schema: string }[], role: string): Promise<BlockNeed[]> {
  const schemas = await readRows<{ name: string; usable: boolean }>(
    client, `SELECT nspname AS name, has_schema_privilege(oid, 'USAGE') AS usable FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1::text[]) ORDER BY 1`, [relations.map(({ schema }) => schema)]);
  return schemas.map(({ name, usable }) => ({ lack: usable ? null : `lacks USAGE on schema ${name}`, sql: `GRANT USAGE ON SCHEMA ${quoteIdent(name)} TO ${role};` }));
}

/** Only an owner may make a trigger fire always. Tables that the migration makes will belong to the role that makes them. */
async function ownerNeeds(client: ClientBase, relations: readonly BlockedRelation[], session: Session, { makes, maker }: BlockRightsRequest): Promise<BlockNeed[]> {
  const owned = await readRows<TableName & { owner: string; ofSuperuser: boolean; held: boolean }>(
    client,
    `SELECT n.nspname AS schema, c.relname AS name, r.rolname AS owner, r.rolsuper AS "ofSuperuser", pg_has_role(c.relowner, 'USAGE') AS held
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE c.oid = ANY ($1::oid[]) ORDER BY 3, 1, 2`, [relations.map(({ oid }) => oid)]);
  const role = quoteIdent(session.role);
  const needs = [...new Set(owned.map(({ owner }) => owner))].filter((owner) => owner !== session.role).map((owner): BlockNeed => {
    const theirs = owned.filter((one) => one.owner === owner);
    const lack = theirs.some(({ held }) => !held) ? `does not own ${listed(theirs)} and is no member of the owner ${owner}` : null;
    if (session.superuser) return { lack: null, sql: null };
    if (!theirs.some(({ ofSuperuser }) => ofSuperuser)) return { lack, sql: `GRANT ${quoteIdent(owner)} TO ${role};` };
    return { lack, sql: `-- ${listed(theirs)}: the owner is a superuser, whose rights nobody should inherit. Give the table to a role of its own (ALTER TABLE ... OWNER TO ...) and grant that one, or let admin_url log in as a superuser.` };
  });
  const made = makes.filter(({ schema, table }) => !relations.some((one) => one.schema === schema && one.name === table));
  if (maker === null || maker === session.role || made.length === 0 || owned.some(({ owner }) => owner === maker)) return needs;
  const names = listed(made.map(({ schema, table }) => ({ schema, name: table })));
  return [...needs, { lack: session.actsAsMaker ? null : `will not own ${names}, which ${maker} makes, and is no member of that role`, sql: `GRANT ${quoteIdent(maker)} TO ${role};` }];
}

/** What even an owner may lack: rights that were taken from it, and row security that is forced on it. A write is tried as a delete of no row. */
async function rowNeeds(client: ClientBase, relations: readonly BlockedRelation[], role: string): Promise<BlockNeed[]> {
  const found = await readRows<TableName & { missing: string | null; hidden: boolean }>(
    client,
    `SELECT n.nspname AS schema, c.relname AS name, row_security_active(c.oid) AS hidden,
       (SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM unnest('{DELETE,TRIGGER}'::text[]) p(name) WHERE NOT has_table_privilege(c.oid, p.name)) AS missing
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[]) AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2`, [relations.map(({ oid }) => oid)]);
  const hidden = found.filter((one) => one.hidden);
  return [
    ...found.filter(({ missing }) => missing !== null).map((one): BlockNeed => ({ lack: `lacks ${one.missing ?? ''} on ${listed([one])}`, sql: `GRANT ${one.missing ?? ''} ON TABLE ${qualified(one)} TO ${role};` })),
    ...(hidden.length > 0 ? [{ lack: `is bound by the row security of ${listed(hidden)}, so no write can be tried there`, sql: `ALTER ROLE ${role} BYPASSRLS;` }] : []),
  ];
}

interface LedgerRights { there: boolean; usable: boolean; block: boolean; state: string | null; function: boolean }

/** Schema `caravan`, where the block keeps its state, and what an earlier block left in it. */
async function ledgerNeeds(client: ClientBase, session: Session, maker: string | null): Promise<BlockNeed[]> {
  const [found] = await readRows<LedgerRights>(
    client,
    `WITH parts AS (SELECT n.oid AS schema, (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = n.oid AND relname = 'write_block') AS state, (SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = n.oid AND proname = 'refuse_write') AS function
       FROM pg_catalog.pg_namespace n WHERE n.nspname = 'caravan')
     SELECT count(*) = 1 AS there, coalesce(bool_and(has_schema_privilege(schema, 'USAGE') AND has_schema_privilege(schema, 'CREATE')), false) AS usable,
       (SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM unnest('{INSERT,SELECT,UPDATE}'::text[]) p(name), parts WHERE state IS NOT NULL AND NOT has_table_privilege(state, p.name)) AS state,
       coalesce(bool_and(has_function_privilege(function, 'EXECUTE')), true) AS function FROM parts`);
  if (!found || session.superuser) return [];
  const role = quoteIdent(session.role);
  const others = maker !== null && maker !== session.role;
  const open = found.there ? found.usable : others ? session.actsAsMaker : session.creates;
  const lack = open ? null : found.there ? 'lacks USAGE, CREATE on schema caravan, where the write block keeps its state' : `may not create schema caravan, where the write block keeps its state${others ? `, and will not reach it once ${maker} has made it` : ''}`;
  return [
    { lack, sql: `CREATE SCHEMA IF NOT EXISTS caravan AUTHORIZATION ${others ? quoteIdent(maker) : role};\nGRANT USAGE, CREATE ON SCHEMA caravan TO ${role};` },
    ...(found.state === null ? [] : [{ lack: `lacks ${found.state} on caravan.write_block, which an earlier write block made`, sql: `GRANT ${found.state} ON TABLE caravan.write_block TO ${role};` }]),
    ...(found.function ? [] : [{ lack: 'lacks EXECUTE on caravan.refuse_write(), which an earlier write block made', sql: `GRANT EXECUTE ON FUNCTION caravan.refuse_write() TO ${role};` }]),
  ];
}

import type { ClientBase } from 'pg';
import { readRows } from './catalog';
import { quoteIdent, qualified, sameTable, type TableName } from './sql';
import { NOT_WRITE_BLOCK } from './write-block-schema';

export interface GrantRequest {
  /** Role that the connection logs in as. */
  role: string;
  database: string;
  /** Read by datasets (tables of queries and checks included, as far as they are known). */
  reads: TableName[];
  /** Written by datasets. */
  writes: TableName[];
  /** Made by `schema: create`: they need not exist, only their schema. */
  creates: TableName[];
  /** Schema `caravan` (ledger or control store) lives here. */
  ledger: boolean;
  /** The role writes at the cutover, by the statements of a switch or as its own admin user: it may not be read-only. */
  switches?: boolean;
  /** What the live system says, where it could be asked. */
  found?: GrantFacts;
}

/** Rights that depend on what the tables are like. */
export interface GrantFacts {
  /** Owners, not superusers, of tables with triggers that must sleep during the load, and of the tables of schema `caravan`. */
  owners: string[];
  /** Tables with such triggers that a superuser owns: membership would give away everything. */
  ofSuperusers: string[];
  /** Row security hides rows of these tables from the role. */
  hidden: boolean;
}

/** As the role itself sees it. */
export async function readGrantFacts(client: ClientBase, { reads, writes }: Pick<GrantRequest, 'reads' | 'writes'>): Promise<GrantFacts> {
  const owned = await readRows<{ owner: string; super: boolean; name: string }>(
    client,
    `SELECT DISTINCT pg_catalog.pg_get_userbyid(c.relowner) AS owner, r.rolsuper AS super, n.nspname || '.' || c.relname AS name
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
     WHERE NOT pg_has_role(c.relowner, 'USAGE') AND (
       (EXISTS (SELECT FROM unnest($1::text[], $2::text[]) u(s, t) JOIN pg_catalog.pg_class w ON w.oid = pg_catalog.to_regclass(format('%I.%I', s, t))
           WHERE w.oid = c.oid OR w.relkind = 'p' AND c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(w.oid)))
         AND EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND ${NOT_WRITE_BLOCK} AND g.tgenabled IN ('O', 'A')))
       OR (n.nspname = 'caravan' AND c.relkind = 'r' AND c.relname <> 'write_block'))`, [writes.map((table) => table.schema), writes.map((table) => table.name)]);
  const all = [...reads, ...writes];
  const [hidden] = await readRows<{ found: boolean }>(
    client,
    `SELECT coalesce(bool_or(row_security_active(c.oid)), false) AS found FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN unnest($1::text[], $2::text[]) u(s, t) ON n.nspname = u.s AND c.relname = u.t`, [all.map((table) => table.schema), all.map((table) => table.name)]);
  return {
    owners: [...new Set(owned.filter((table) => !table.super).map((table) => table.owner))].sort(),
    ofSuperusers: owned.filter((table) => table.super).map((table) => table.name).sort(),
    hidden: hidden?.found ?? false,
  };
}

/** Least-privilege SQL for one connection, for its administrator to read and run. One statement or comment per line. */
export function grantStatements(request: GrantRequest): string {
  const role = quoteIdent(request.role);
  const target = request.writes.length + request.creates.length > 0 || request.ledger;
  const lines = [`GRANT CONNECT${target ? ', TEMPORARY' : ''} ON DATABASE ${quoteIdent(request.database)} TO ${role};`];
  const create = new Set(request.creates.map((table) => table.schema));
  for (const schema of schemasOf([...request.reads, ...request.writes, ...request.creates])) {
    lines.push(`GRANT USAGE${create.has(schema) ? ', CREATE' : ''} ON SCHEMA ${quoteIdent(schema)} TO ${role};`);
  }
  for (const table of distinct(request.reads)) lines.push(`GRANT SELECT ON TABLE ${qualified(table)} TO ${role};`);
  for (const table of distinct(request.writes)) {
    if (request.creates.some((created) => sameTable(created, table))) continue;
    lines.push(`GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE ${qualified(table)} TO ${role};`);
  }
  if (request.reads.length > 0) {
    lines.push('-- Sequences of these tables are read to carry their state over:');
    for (const schema of schemasOf(request.reads)) lines.push(`GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${quoteIdent(schema)} TO ${role};`);
  }
  if (request.writes.some((table) => !request.creates.some((created) => sameTable(created, table)))) {
    lines.push('-- Indexes, foreign keys and triggers can be off during the load only if the role is a member of the tables\' owner:');
    if (!request.found) lines.push(`-- GRANT table_owner TO ${role};`);
    for (const schema of schemasOf(request.writes)) lines.push(`GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ${quoteIdent(schema)} TO ${role};`);
  }
  for (const owner of request.found?.owners ?? []) lines.push(`GRANT ${quoteIdent(owner)} TO ${role};`);
  for (const table of request.found?.ofSuperusers ?? []) lines.push(`-- ${table} belongs to a superuser, whose rights nobody should inherit: give it to a role of its own (ALTER TABLE ... OWNER TO ...) and grant that one.`);
  if (request.ledger) {
    lines.push('-- Progress, evidence and quarantine live in a schema that only this role reaches:');
    lines.push(`CREATE SCHEMA IF NOT EXISTS caravan AUTHORIZATION ${role};`, `GRANT USAGE, CREATE ON SCHEMA caravan TO ${role};`);
  }
  if (request.writes.length === 0 && !request.ledger && !request.switches) lines.push(`ALTER ROLE ${role} IN DATABASE ${quoteIdent(request.database)} SET default_transaction_read_only = on;`);
  if (!request.found) lines.push(`-- If a table has row security: ALTER ROLE ${role} BYPASSRLS;`);
  else if (request.found.hidden) lines.push(`ALTER ROLE ${role} BYPASSRLS;`);
  return `${lines.join('\n')}\n`;
}

function schemasOf(tables: TableName[]): string[] {
  return [...new Set(tables.map((table) => table.schema))].sort();
}

function distinct(tables: TableName[]): TableName[] {
  return tables.filter((table, at) => tables.findIndex((other) => sameTable(other, table)) === at);
}

import { quoteIdent, qualified, sameTable, type TableName } from './sql';

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
}

/** Least-privilege SQL for one connection, for its administrator to read and run. One statement or comment per line. */
export function grantStatements(request: GrantRequest): string {
  const role = quoteIdent(request.role);
  const lines = [`GRANT CONNECT ON DATABASE ${quoteIdent(request.database)} TO ${role};`];
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
    lines.push(`-- GRANT table_owner TO ${role};`);
    for (const schema of schemasOf(request.writes)) lines.push(`GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ${quoteIdent(schema)} TO ${role};`);
  }
  if (request.ledger) {
    lines.push('-- Progress, evidence and quarantine live in a schema that only this role reaches:');
    lines.push(`CREATE SCHEMA IF NOT EXISTS caravan AUTHORIZATION ${role};`);
  }
  if (request.writes.length === 0 && !request.ledger) lines.push(`ALTER ROLE ${role} IN DATABASE ${quoteIdent(request.database)} SET default_transaction_read_only = on;`);
  lines.push(`-- If a table has row security: ALTER ROLE ${role} BYPASSRLS;`);
  return `${lines.join('\n')}\n`;
}

function schemasOf(tables: TableName[]): string[] {
  return [...new Set(tables.map((table) => table.schema))].sort();
}

function distinct(tables: TableName[]): TableName[] {
  return tables.filter((table, at) => tables.findIndex((other) => sameTable(other, table)) === at);
}

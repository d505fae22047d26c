import type { Plan } from '../../migration/plan/schema';
import { MigrationError } from '../../migration/errors';
import type { Side } from '../../migration/protocol';
import { inTransaction, withAdmin } from '../connectors/postgres/admin-session';
import { readRows } from '../connectors/postgres/catalog';
import { embedded, parseTableName } from '../connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from '../connectors/postgres/system';
import type { BlockTable } from '../connectors/postgres/write-block';
import type { ActivityDependencies } from '../dependencies';
import { sourceSelection, targetTable } from '../run-context';

/** One database of a side, and its tables that a cutover blocks and opens. */
export interface SideTables { connection: string; system: PostgresSystem; tables: BlockTable[] }

/**
 * The tables of the plan's datasets on one side, by connection: what a query reads counts as its tables, and `cutover.also_block` belongs to the source.
 * @throws MigrationError `OBJECT_MISSING`, `SQL_INVALID`, `PRIVILEGE_MISSING` (a query is looked through as the admin user).
 */
export async function sideTables(deps: ActivityDependencies, plan: Plan, side: Side): Promise<SideTables[]> {
  const byConnection = new Map<string, BlockTable[]>();
  const add = (connection: string, tables: BlockTable[]): void => {
    const known = byConnection.get(connection) ?? [];
    byConnection.set(connection, [...known, ...tables.filter((one) => !known.some((other) => other.schema === one.schema && other.table === one.table))]);
  };
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (side === 'target') {
      add(dataset.target.connection, [targetTable(name, dataset)]);
      continue;
    }
    const { table, query } = sourceSelection(name, dataset);
    const { connection } = dataset.source;
    add(connection, query === undefined ? [named(table ?? name)] : await tablesOfQuery(asPostgres(deps.systems.open(connection)), query, name));
  }
  if (side === 'source') for (const table of plan.cutover?.also_block ?? []) for (const connection of await holdersOf(deps, [...byConnection.keys()], table)) add(connection, [named(table)]);
  return [...byConnection].map(([connection, tables]) => ({ connection, system: asPostgres(deps.systems.open(connection)), tables }));
}

function named(table: string): BlockTable {
  const { schema, name } = parseTableName(table);
  return { schema, table: name };
}

/** The sources that have this table. */
async function holdersOf(deps: ActivityDependencies, connections: string[], table: string): Promise<string[]> {
  const { schema, table: name } = named(table);
  const found: string[] = [];
  for (const connection of connections) {
    const [there] = await withAdmin(asPostgres(deps.systems.open(connection)), undefined, (client) =>
      readRows<{ there: boolean }>(client, `SELECT pg_catalog.to_regclass(format('%I.%I', $1::text, $2::text)) IS NOT NULL AS there`, [schema, name]));
    if (there?.there) found.push(connection);
  }
  if (found.length === 0) throw new MigrationError('OBJECT_MISSING', `cutover.also_block names ${table}, which no source of the plan has. Correct its name.`);
  return found;
}

/** The server says what a query reads: as the definition of a view that is made and taken back. Tables that only functions read stay unseen. */
function tablesOfQuery(system: PostgresSystem, query: string, dataset: string): Promise<BlockTable[]> {
  return withAdmin(system, undefined, async (client) => {
    let tables: BlockTable[] = [];
    await inTransaction(client, async () => {
      await client.query(`CREATE TEMPORARY VIEW caravan_read_tables AS ${embedded(query)}`);
      tables = await readRows<BlockTable>(
        client,
        `SELECT DISTINCT n.nspname AS schema, c.relname AS "table" FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
         JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_catalog.pg_class'::regclass AND c.oid = d.refobjid AND c.oid <> w.ev_class AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE w.ev_class = 'pg_temp.caravan_read_tables'::regclass ORDER BY 1, 2`);
      await client.query('DROP VIEW pg_temp.caravan_read_tables');
    });
    if (tables.length === 0) throw new MigrationError('WRITES_NOT_BLOCKED', `dataset ${dataset}: the server does not tell which tables its query reads, so their writes cannot be blocked. Name them under cutover.also_block, or read tables instead.`);
    return tables;
  });
}

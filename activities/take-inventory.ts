import { firstNames } from '../migration/name-list';
import type { InventorySummary, Problem, RunRef } from '../migration/protocol';
import { inventory, type InventoryTable } from './connectors/postgres/inventory';
import { displayName, parseTableName, sameTable } from './connectors/postgres/sql';
import { asPostgres } from './connectors/postgres/system';
import { objectProblems } from './carry-objects';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { loadRun } from './run-context';
import { updateUnderLease } from './stores/control-store';

/** Tables left out of the plan that one message names. */
const NAMED_MAX = 10;
/** Objects not carried that one message names: the report names all. */
const OBJECTS_NAMED_MAX = 50;

/**
 * Takes stock of every source connection and keeps it in the control store, one row per connection; a later one replaces it.
 * The summary counts the tables that the plan moves; its problems are theirs, and which tables of the source are in no dataset.
 * @throws MigrationError as `loadRun`.
 */
export function takeInventory(deps: ActivityDependencies, ref: RunRef): Promise<InventorySummary> {
  return withHeartbeat({ step: 'inventory' }, () => takeStock(deps, ref));
}

async function takeStock(deps: ActivityDependencies, ref: RunRef): Promise<InventorySummary> {
  const { plan, control } = await loadRun(deps, ref);
  const summary: InventorySummary = { tables: 0, rows: 0, bytes: 0, problems: [] };
  const connections = new Set(Object.values(plan.datasets).map((dataset) => dataset.source.connection));
  for (const connection of connections) {
    const tables = await asPostgres(deps.systems.open(connection)).use((client) => inventory(client));
    await control.transaction(async (client) => {
      await updateUnderLease(client, ref, '');
      await client.query(
        `INSERT INTO caravan.inventory (migration, connection, body) VALUES ($1, $2, $3::jsonb)
         ON CONFLICT (migration, connection) DO UPDATE SET body = EXCLUDED.body, taken_at = clock_timestamp()`,
        [ref.migration, connection, JSON.stringify(tables)]);
    });
    const moved = new Set<InventoryTable>();
    let queries = false;
    for (const [name, dataset] of Object.entries(plan.datasets)) {
      if (dataset.source.connection !== connection) continue;
      if (dataset.source.query !== undefined) queries = true;
      else for (const table of tables) if (sameTable(table, parseTableName(dataset.source.table ?? name))) {
        if (!moved.has(table)) addTable(summary, table);
        moved.add(table);
        for (const message of table.problems) summary.problems.push({ severity: 'warning', place: `datasets.${name}.source`, message: `${displayName(table)} ${message}` });
      }
    }
    summary.problems.push(...leftBehind(connection, tables.filter((table) => !moved.has(table)), queries));
  }
  summary.problems.push(...(await objectProblems(deps, plan, OBJECTS_NAMED_MAX)));
  return summary;
}

function addTable(summary: InventorySummary, table: InventoryTable): void {
  summary.tables += 1;
  summary.rows += table.rowsEstimate;
  summary.bytes += table.bytes;
}

function leftBehind(connection: string, tables: InventoryTable[], queries: boolean): Problem[] {
  const stored = tables.filter((table) => table.kind === 'table' || table.kind === 'partitioned').map(displayName);
  if (stored.length === 0) return [];
  return [{
    severity: 'warning', place: `connections.${connection}`,
    message: `${stored.length === 1 ? 'one table is' : `${stored.length} tables are`} in no dataset${queries ? ' by name' : ''} and stay behind: ${firstNames(stored, NAMED_MAX)}`,
    remedy: 'Add a dataset for each that should move.',
  }];
}

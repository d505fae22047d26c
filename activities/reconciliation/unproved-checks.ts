import type { ClientBase } from 'pg';
import { readRows } from '../connectors/postgres/catalog';
import type { TableName } from '../connectors/postgres/sql';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { DatasetFence } from './dataset-fence';
import { readDropped, rebuildDropped } from './dropped-objects';

/**
 * Puts back the checks of the target that the source has not proved (NOT VALID), once all rows are there that could break them: those of the table,
 * and of its children, to which a check goes down. `isLoading`: rows of that table are still to come. Fenced, repeatable.
 */
export async function restoreUnprovedChecks(system: PostgresSystem, held: DatasetFence, isLoading: (table: TableName) => boolean, signal: AbortSignal): Promise<void> {
  const waiting = (await system.use((client) => readDropped(client, held.migration, ['check']))).filter(({ state }) => state === 'dropped');
  for (const stored of waiting) {
    signal.throwIfAborted();
    const below = await system.use((client) => withDescendants(client, { schema: stored.object.schema, name: stored.object.table }));
    if (!below.some(isLoading)) await rebuildDropped(system, held, stored);
  }
}

/** The table, the root of a partition, and all that inherit from it. */
function withDescendants(client: ClientBase, table: TableName): Promise<TableName[]> {
  return readRows<TableName>(
    client,
    `WITH RECURSIVE tree(oid) AS (
       SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
       UNION SELECT CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid ELSE c.oid END FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2
       UNION SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid
     )
     SELECT n.nspname AS schema, c.relname AS name FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`,
    [table.schema, table.name],
  );
}

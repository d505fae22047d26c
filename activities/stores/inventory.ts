import type { PoolClient } from 'pg';
import type { DatasetSize } from '../../migration/plan/work-pages';
import type { Plan } from '../../migration/plan/schema';
import { parseTableName } from '../connectors/postgres/sql';
import { hasTable } from './control-store';

const CACHED_MAX = 16;

interface StoredTable { schema: string; name: string; rows: string | null; bytes: string | null }
type Sizes = Map<string, DatasetSize>;

/** By migration, connection and moment: an inventory never changes, and those of thousands of tables are asked for at every look. */
const cached = new Map<string, Sizes>();

/** Sizes of the plan's datasets as the last inventory found them. Queries, and tables that it did not see, have none. */
export async function inventorySizes(client: PoolClient, plan: Plan): Promise<Map<string, DatasetSize>> {
  const sizes = new Map<string, DatasetSize>();
  if (!(await hasTable(client, 'inventory'))) return sizes;
  const { rows } = await client.query<{ connection: string; taken: string }>('SELECT connection, taken_at::text AS taken FROM caravan.inventory WHERE migration = $1', [plan.migration]);
  const byConnection = new Map<string, Sizes>();
  for (const { connection, taken } of rows) byConnection.set(connection, await tableSizes(client, plan.migration, connection, taken));
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (dataset.source.query !== undefined) continue;
    const table = parseTableName(dataset.source.table ?? name);
    const size = byConnection.get(dataset.source.connection)?.get(JSON.stringify([table.schema, table.name]));
    if (size) sizes.set(name, size);
  }
  return sizes;
}

async function tableSizes(client: PoolClient, migration: string, connection: string, taken: string): Promise<Sizes> {
  const key = JSON.stringify([migration, connection, taken]);
  const known = cached.get(key);
  if (known) return known;
  const { rows } = await client.query<StoredTable>(
    `SELECT found ->> 'schema' AS schema, found ->> 'name' AS name, found ->> 'rowsEstimate' AS rows, found ->> 'bytes' AS bytes
     FROM caravan.inventory, jsonb_array_elements(body) found WHERE migration = $1 AND connection = $2`, [migration, connection]);
  const sizes: Sizes = new Map(rows.map((table) => [JSON.stringify([table.schema, table.name]), { rows: Math.max(0, Number(table.rows ?? 0)), bytes: Number(table.bytes ?? 0) }]));
  cached.set(key, sizes);
  for (const oldest of cached.keys()) if (cached.size > CACHED_MAX) cached.delete(oldest);
  return sizes;
}

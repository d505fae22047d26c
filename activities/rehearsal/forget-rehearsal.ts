import type { ClientBase } from 'pg';
import { quoteIdent } from '../connectors/postgres/sql';
import { readRows } from '../connectors/postgres/catalog';

/** Records of the migration as a whole stay: those of a control store that is in the same database. */
const KEPT = ['migration', 'plan', 'audit', 'audit_head', 'approval', 'step', 'rehearsal', 'backup', 'preparation', 'connection_identity', 'dataset_shape', 'check_result', 'inventory', 'amendment'];

/** Takes all that the ledger of this database holds of a rehearsal. In the caller's transaction. */
export async function forgetLedger(client: ClientBase, rehearsal: string): Promise<void> {
  const tables = await readRows<{ name: string }>(
    client,
    `SELECT c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'migration' AND NOT a.attisdropped
     WHERE c.relnamespace = pg_catalog.to_regnamespace('caravan') AND c.relkind = 'r' AND NOT c.relname = ANY ($1::text[]) ORDER BY c.oid DESC`, [KEPT]);
  for (const { name } of tables) await client.query(`DELETE FROM caravan.${quoteIdent(name)} WHERE migration = $1`, [rehearsal]);
}

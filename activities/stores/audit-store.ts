import type { PoolClient } from 'pg';
import type { AuditEntry, AuditTrail } from '../../migration/audit-trail';
import { hasTable } from './control-store';

/** The whole trail of a migration in its order, with what the store holds to be its end. */
export async function readTrail(client: PoolClient, migration: string): Promise<AuditTrail> {
  if (!(await hasTable(client, 'audit_head'))) return { migration, entries: [], head: null, unchained: await countAll(client, migration) };
  const entries = await client.query<AuditEntry>(
    `SELECT seq::int AS seq, prev, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, actor, event, body::text AS body, hash
     FROM caravan.audit WHERE migration = $1 AND seq IS NOT NULL ORDER BY seq`, [migration]);
  const head = await client.query<{ seq: number; hash: string }>('SELECT seq::int AS seq, hash FROM caravan.audit_head WHERE migration = $1', [migration]);
  const unchained = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM caravan.audit WHERE migration = $1 AND seq IS NULL', [migration]);
  return { migration, entries: entries.rows, head: head.rows[0] ?? null, unchained: unchained.rows[0]?.n ?? 0 };
}

/** Of a control store that an earlier version made, and no run of this one has seen yet. */
async function countAll(client: PoolClient, migration: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM caravan.audit WHERE migration = $1', [migration]);
  return rows[0]?.n ?? 0;
}

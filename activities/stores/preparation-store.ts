import type { Findings } from '../../migration/preparation/findings';
import type { RunRef } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { hasTable, updateUnderLease } from './control-store';

/** Keeps parts in place of what was found before. Durable when it returns. @throws MigrationError `LEASE_LOST`. */
export async function storeFindings(control: PostgresSystem, ref: RunRef, parts: Partial<Findings>): Promise<void> {
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    for (const [part, body] of Object.entries(parts)) {
      await client.query(
        `INSERT INTO caravan.preparation (migration, part, body) VALUES ($1, $2, $3::jsonb)
         ON CONFLICT (migration, part) DO UPDATE SET body = excluded.body, at = clock_timestamp()`, [ref.migration, part, JSON.stringify(body)]);
    }
  });
}

/** What the last preparation found; no part where there was none. `at`: the oldest part's instant, as ISO text. */
export async function readFindings(control: PostgresSystem, migration: string): Promise<{ findings: Partial<Findings>; at: string | null }> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'preparation'))) return { findings: {}, at: null };
    const { rows } = await client.query<{ part: string; body: unknown; at: string }>(
      `SELECT part, body, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at FROM caravan.preparation WHERE migration = $1 ORDER BY at`, [migration]);
    return { findings: Object.fromEntries(rows.map(({ part, body }) => [part, body])), at: rows[0]?.at ?? null };
  });
}

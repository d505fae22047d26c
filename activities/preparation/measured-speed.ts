import type { Speed } from '../../migration/preparation/findings';
import { ASSUMED_SPEED } from '../../migration/preparation/forecast';
import type { PostgresSystem } from '../connectors/postgres/system';
import { hasTable } from '../stores/control-store';

/** Shorter copies say more about opening and closing than about speed. */
const SECONDS_MIN = 2;
const ROWS_MIN = 10_000;

/**
 * Speed of one lane as the ledger of this target saw it in copies of any migration; what is assumed without such. `bytesPerRow`: of the plan's own tables,
 * for the ledger counts rows.
 */
export async function measuredSpeed(target: PostgresSystem, bytesPerRow: number): Promise<Speed> {
  const measured = await target.use(async (client) => {
    if (!(await hasTable(client, 'commit'))) return null;
    const { rows } = await client.query<{ rows: string; seconds: number }>(
      `SELECT coalesce(sum(read), 0)::text AS rows, coalesce(sum(seconds), 0)::float8 AS seconds FROM (
         SELECT sum(read_rows) AS read, extract(epoch FROM max(committed_at) - min(committed_at)) AS seconds
         FROM caravan.commit GROUP BY migration, dataset, generation, ordinal HAVING count(*) > 2
       ) lanes WHERE seconds >= $1`, [SECONDS_MIN]);
    return rows[0] ?? null;
  });
  if (!measured || Number(measured.rows) < ROWS_MIN) return ASSUMED_SPEED;
  const rowsPerSecond = Number(measured.rows) / measured.seconds;
  return { rowsPerSecond, bytesPerSecond: Math.max(1, rowsPerSecond * Math.max(1, bytesPerRow)), from: 'former runs' };
}

import type { StatusInput } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { audit, updateUnderLease } from './stores/control-store';

/**
 * Makes phase, status and blocked steps visible in the control store, for `status` without Temporal. Durable when it returns; repeats change nothing.
 * @throws MigrationError `LEASE_LOST`.
 */
export async function recordStatus(deps: ActivityDependencies, input: StatusInput): Promise<void> {
  const { ref, phase, status, blocked, detail } = input;
  await asPostgres(deps.systems.open(ref.control)).transaction(async (client) => {
    const { rows } = await client.query<{ status: string }>('SELECT status FROM caravan.migration WHERE name = $1 AND lease = $2 FOR UPDATE', [ref.migration, ref.lease]);
    await updateUnderLease(client, ref,
      'phase = $3, status_since = CASE WHEN status = $4 THEN status_since ELSE clock_timestamp() END, status = $4, blocked = $5, status_detail = $6',
      [phase, status, JSON.stringify(blocked), detail ?? null]);
    if (rows[0]?.status !== status) {
      await audit(client, ref.migration, 'caravan', 'status', { phase, status, ...(blocked.length > 0 ? { blocked: blocked.map(({ step, code }) => ({ step, code })) } : {}) });
    }
  });
}

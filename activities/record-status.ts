import type { Phase, RunStatus, StatusInput } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { audit, updateUnderLease } from './stores/control-store';

const FINAL: ReadonlySet<RunStatus> = new Set(['complete', 'failed', 'cancelled', 'aborted', 'rolled_back']);

/**
 * Makes phase, status and blocked steps visible in the control store, for `status` without Temporal. Durable when it returns; repeats change nothing.
 * A closed run that works again (a workflow that was reset) is open again: nobody else gets its lease. What was complete at admission stays so.
 * @throws MigrationError `LEASE_LOST`.
 */
export async function recordStatus(deps: ActivityDependencies, input: StatusInput): Promise<void> {
  const { ref, phase, status, blocked, detail } = input;
  await asPostgres(deps.systems.open(ref.control)).transaction(async (client) => {
    // `finished_before` is copied from `finished_at` at admission: a lease on a complete migration leaves both equal.
    const { rows } = await client.query<{ phase: Phase; status: string; complete: boolean; reopens: boolean }>(
      `SELECT phase, status, purpose = 'migrate' AND finished_at IS NOT NULL AND finished_at IS NOT DISTINCT FROM finished_before AS complete, finished_at IS NOT NULL AS reopens
       FROM caravan.migration WHERE name = $1 AND lease = $2 FOR UPDATE`, [ref.migration, ref.lease]);
    const row = rows[0];
    const final = FINAL.has(status);
    if (row?.complete && !final) return updateUnderLease(client, ref, '');
    await updateUnderLease(client, ref,
      `phase = $3, status_since = CASE WHEN status = $4 THEN status_since ELSE clock_timestamp() END, status = $4, blocked = $5, status_detail = $6, finished_at = CASE WHEN $7 THEN finished_at END`,
      [phase, status, JSON.stringify(blocked), detail ?? null, final]);
    if (row && row.phase !== phase) await audit(client, ref.migration, 'caravan', 'phase_entered', { phase, from: row.phase });
    if (row && row.status !== status) {
      await audit(client, ref.migration, 'caravan', 'status', {
        phase, status, ...(row.reopens && !final ? { reopened: true } : {}), ...(blocked.length > 0 ? { blocked: blocked.map(({ step, code }) => ({ step, code })) } : {}),
      });
    }
  });
}

import type { RunRef, RunStatus, SkippedStep } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { audit, updateUnderLease } from './stores/control-store';

/**
 * Ends the lease with its outcome, and keeps what a person skipped. Durable when it returns; repeats change nothing. A lease that was taken to validate
 * gives the migration back as it was: what it skipped is in the audit only.
 * @throws MigrationError `LEASE_LOST` when another run has it by now: there is nothing left to close.
 */
export async function closeRun(deps: ActivityDependencies, input: { ref: RunRef; outcome: RunStatus; skipped?: (string | SkippedStep)[] }): Promise<void> {
  const { ref, outcome } = input;
  const skipped = (input.skipped ?? []).map((one): SkippedStep => (typeof one === 'string' ? { step: one } : one));
  await asPostgres(deps.systems.open(ref.control)).transaction(async (client) => {
    const { rows } = await client.query<{ purpose: string; finished: boolean }>(
      'SELECT purpose, finished_at IS NOT NULL AS finished FROM caravan.migration WHERE name = $1 AND lease = $2 FOR UPDATE', [ref.migration, ref.lease]);
    const row = rows[0];
    // Closed before, or complete when this run was admitted: that stays.
    if (row?.finished) return;
    if (row?.purpose === 'validate') {
      // Without a status before, the migration was only ever validated: it must not look complete.
      await updateUnderLease(client, ref,
        `status = coalesce(status_before, 'cancelled'), finished_at = CASE WHEN status_before IS NULL THEN clock_timestamp() ELSE finished_before END, status_since = clock_timestamp(), blocked = '[]', status_detail = $3`,
        [`validated: ${outcome}`]);
    } else {
      await updateUnderLease(client, ref,
        `status = $3, finished_at = coalesce(finished_at, clock_timestamp()), status_since = clock_timestamp(), blocked = '[]', skipped = $4`,
        [outcome, JSON.stringify(skipped)]);
    }
    await audit(client, ref.migration, 'caravan', 'closed', { outcome, purpose: row?.purpose ?? 'migrate', ...(skipped.length > 0 ? { skipped } : {}) });
  });
}

import { isMigrationError } from '../migration/errors';
import type { ClosedRun, RunRef, RunStatus, SkippedStep } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { undoUntil } from './forgetting/forget-undo';
import { audit, updateUnderLease } from './stores/control-store';

/**
 * Ends the lease with its outcome, and keeps what a person skipped. Durable when it returns; repeats change nothing. A lease that was taken to validate
 * gives the migration back as it was: what it skipped is in the audit only. Answers how long undo data is kept from here on.
 * @throws MigrationError `LEASE_LOST` when another run has it by now: there is nothing left to close.
 */
export async function closeRun(deps: ActivityDependencies, input: { ref: RunRef; outcome: RunStatus; skipped?: (string | SkippedStep)[] }): Promise<ClosedRun> {
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
  return { undoUntil: await keptUntil(deps, ref.migration) };
}

/** The run has ended, whether or not its target can be asked now: then the undo data is looked at when its retention would be over. */
async function keptUntil(deps: ActivityDependencies, migration: string): Promise<string | null> {
  try {
    return await undoUntil(deps, migration);
  } catch (error) {
    if (isMigrationError(error)) return new Date().toISOString();
    throw error;
  }
}

import type { RunRef, StepDecision } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { audit, updateUnderLease } from './stores/control-store';

/** Puts what a person decided about a blocked step into the audit. Durable when it returns; a repeat adds nothing. @throws MigrationError `LEASE_LOST`. */
export async function recordDecision(deps: ActivityDependencies, input: { ref: RunRef; decision: StepDecision }): Promise<void> {
  const { ref, decision: { action, step, occurrence, by, reason, overrides } } = input;
  const actor = by ?? 'unnamed';
  const body = { lease: ref.lease, action, step, occurrence, by: by ?? null, reason: reason ?? null, ...(overrides ? { overrides } : {}) };
  await asPostgres(deps.systems.open(ref.control)).transaction(async (client) => {
    // Locks the migration: of two repeats at the same moment, the second sees the first.
    await updateUnderLease(client, ref, '');
    const { rowCount } = await client.query(
      `SELECT 1 FROM caravan.audit WHERE migration = $1 AND event = 'step_decided' AND actor = $2 AND body = $3::jsonb LIMIT 1`, [ref.migration, actor, JSON.stringify(body)]);
    if (rowCount === 0) await audit(client, ref.migration, actor, 'step_decided', body);
  });
}

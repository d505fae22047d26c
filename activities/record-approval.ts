import type { Approval, RunRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { asPostgres } from './connectors/postgres/system';
import { audit, updateUnderLease } from './stores/control-store';

/** Keeps who approved a gate. The first approval of a gate stands; later ones are only audited. @throws MigrationError `LEASE_LOST`. */
export async function recordApproval(deps: ActivityDependencies, input: { ref: RunRef; approval: Approval }): Promise<void> {
  const { ref, approval } = input;
  await asPostgres(deps.systems.open(ref.control)).transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    const { rowCount } = await client.query(
      `INSERT INTO caravan.approval (migration, gate, approved_by, role, reason) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration, gate) DO NOTHING`,
      [ref.migration, approval.gate, approval.by, approval.role ?? null, approval.reason ?? null]);
    await audit(client, ref.migration, approval.by, rowCount === 1 ? 'gate_approved' : 'gate_approved_again', { gate: approval.gate, role: approval.role ?? null });
  });
}

import { createPublicKey, verify } from 'node:crypto';
import { approvalText } from '../migration/approval-text';
import { gateViews } from '../migration/plan/life-view';
import type { Plan } from '../migration/plan/schema';
import type { Approval, ApprovalAnswer, RunRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { loadControl } from './run-context';
import { audit, updateUnderLease } from './stores/control-store';

/**
 * Keeps who approved a gate, in which role, why, and on what evidence. The first approval of a gate stands; later ones are only audited. An identity is
 * recorded as claimed unless a signature over `approvalText` fits the role's key. One that does not count is audited and answered as `refused`.
 * Durable when it returns.
 * @throws MigrationError `LEASE_LOST`.
 */
export async function recordApproval(deps: ActivityDependencies, input: { ref: RunRef; approval: Approval }): Promise<ApprovalAnswer> {
  const { ref, approval } = input;
  const { plan, control } = await loadControl(deps, ref);
  const judged = judge(plan, ref, approval);
  const role = approval.role ?? null;
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    if ('refused' in judged) return audit(client, ref.migration, approval.by, 'approval_refused', { gate: approval.gate, role, why: judged.refused });
    const { rowCount } = await client.query(
      `INSERT INTO caravan.approval (migration, gate, approved_by, role, reason, evidence, identity, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (migration, gate) DO NOTHING`,
      [ref.migration, approval.gate, approval.by, role, approval.reason ?? null, approval.evidence ?? null, judged.identity, approval.signature ?? null]);
    await audit(client, ref.migration, approval.by, rowCount === 1 ? 'gate_approved' : 'gate_approved_again', {
      gate: approval.gate, role, identity: judged.identity, reason: approval.reason ?? null, evidence: approval.evidence ?? null,
    });
  });
  return 'refused' in judged ? { refused: judged.refused } : {};
}

function judge(plan: Plan, ref: RunRef, approval: Approval): { identity: 'claimed' | 'signed' } | { refused: string } {
  const gate = gateViews(plan).find((one) => one.gate === approval.gate);
  const role = gate?.role ?? approval.role;
  const { people = [], key } = (role !== undefined && Object.hasOwn(plan.roles, role) ? plan.roles[role] : undefined) ?? {};
  if (gate?.role !== undefined && approval.role !== gate.role) return { refused: `${approval.gate} is given by the role ${gate.role}` };
  if (people.length > 0 && !people.includes(approval.by)) return { refused: `${approval.by} does not hold the role ${role ?? ''}` };
  if (approval.signature === undefined) return key === undefined ? { identity: 'claimed' } : { refused: `the role ${role ?? ''} signs its approvals, and this one has no signature` };
  if (key === undefined) return { identity: 'claimed' };
  return isSigned(key, approvalText(ref.migration, ref.planHash, approval), approval.signature) ? { identity: 'signed' } : { refused: `the signature is not one of the role ${role ?? ''} over this approval of this plan` };
}

function isSigned(key: string, text: string, signature: string): boolean {
  try {
    return verify(null, Buffer.from(text), createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' }), Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

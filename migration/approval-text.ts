import type { Approval } from './protocol';

/**
 * What a signed approval signs: UTF-8, one field a line, in this order. It names the plan, so that an approval of one plan opens nothing under another.
 * Ed25519 over these bytes; the signature is given in base64.
 */
export function approvalText(migration: string, planHash: string, { gate, by, role }: Pick<Approval, 'gate' | 'by' | 'role'>): string {
  return ['caravan approval', `migration: ${migration}`, `plan: ${planHash}`, `gate: ${gate}`, `by: ${by}`, `role: ${role ?? ''}`, ''].join('\n');
}

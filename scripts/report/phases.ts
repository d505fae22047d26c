import type { AuditTrail } from '../../migration/audit-trail';
import type { Phase } from '../../migration/protocol';

/** When a phase began and ended. Null while it goes on. A phase that was entered several times has one entry each time. */
export interface PhaseTimes { phase: Phase; startedAt: string; endedAt: string | null; durationMs: number | null }

const BEGINS = ['admitted', 'admitted_again', 'admitted_with_edits', 'reopened'];
const ENDS = ['closed'];

/** The phases of a migration in the order they were entered, read from its audit trail. */
export function phaseTimes({ entries }: AuditTrail): PhaseTimes[] {
  const phases: PhaseTimes[] = [];
  const end = (at: string): void => {
    const last = phases.at(-1);
    if (last?.endedAt === null) Object.assign(last, { endedAt: at, durationMs: Date.parse(at) - Date.parse(last.startedAt) });
  };
  for (const { event, at, body } of entries) {
    if (!ENDS.includes(event) && !BEGINS.includes(event) && event !== 'phase_entered') continue;
    end(at);
    if (ENDS.includes(event)) continue;
    const named = event === 'phase_entered' ? (JSON.parse(body) as { phase: Phase }).phase : 'preparation';
    phases.push({ phase: named, startedAt: at, endedAt: null, durationMs: null });
  }
  return phases;
}

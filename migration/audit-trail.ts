/** The audit trail as a chain: what it looks like and how anybody can check it, also from a report alone. */
import { sha256, toHex } from './transform/sha';

/** One entry as it was written. `at`: UTC with microseconds. `body`: the JSON as the control store writes it. `prev`: the hash of the entry before, empty for the first. */
export interface AuditEntry { seq: number; prev: string; at: string; actor: string; event: string; body: string; hash: string }
/** `head`: what the control store says is the last entry. `unchained`: entries that an earlier version wrote, before the trail was chained. */
export interface AuditTrail { migration: string; entries: AuditEntry[]; head: { seq: number; hash: string } | null; unchained: number }
export interface TrailFault { seq: number; what: string }

const utf8 = new TextEncoder();

/** The hash of an entry, as the trigger of the control store computes it (`control-schema.ts`): SHA-256, hexadecimal. Lengths are bytes of UTF-8. */
export function entryHash(migration: string, { seq, prev, at, actor, event, body }: AuditEntry): string {
  const text = [prev, seq, migration, at, utf8.encode(actor).length, actor, utf8.encode(event).length, event, body].join('\n');
  return toHex(sha256(utf8.encode(text)));
}

/** What is wrong with a trail: entries that were changed, removed or reordered, and an end that was cut off. Empty for a sound one. */
export function trailFaults({ migration, entries, head }: AuditTrail): TrailFault[] {
  const faults: TrailFault[] = [];
  let before: AuditEntry | null = null;
  for (const entry of entries) {
    const expected: number = before ? before.seq + 1 : 1;
    if (entry.seq > expected) faults.push({ seq: expected, what: entry.seq === expected + 1 ? `entry ${expected} is missing` : `entries ${expected} to ${entry.seq - 1} are missing` });
    else if (entry.seq < expected) faults.push({ seq: entry.seq, what: `entry ${entry.seq} stands in the wrong place` });
    else if (entry.prev !== (before?.hash ?? '')) faults.push({ seq: entry.seq, what: `entry ${entry.seq} does not follow from the one before it` });
    if (entry.hash !== entryHash(migration, entry)) faults.push({ seq: entry.seq, what: `entry ${entry.seq} was changed` });
    before = entry;
  }
  if (head && (before?.seq ?? 0) < head.seq) faults.push({ seq: head.seq, what: `the trail ends at entry ${before?.seq ?? 0}, but was written up to ${head.seq}` });
  else if (before && head?.hash !== before.hash) faults.push({ seq: before.seq, what: `entry ${before.seq} is not the one that was written last` });
  return faults;
}

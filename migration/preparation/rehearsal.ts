/** What a test migration proved, and whether it still opens production. */
import type { Speed } from './findings';

/** One stage of the copy as the rehearsal measured it, alone. */
export interface StageSpeed { stage: 'read' | 'transform' | 'validate' | 'write'; rowsPerSecond: number; bytesPerSecond: number; milliseconds: number }

/** Names, counts and times. No row values. */
export interface RehearsalEvidence {
  rows: number;
  /** Rows by dataset: drawn by the sample, and brought along because others refer to them. */
  datasets: { dataset: string; drawn: number; brought: number }[];
  /** Every row of the scratch tables before the copy, counted and digested. */
  before?: { dataset: string; rows: number; digest: string }[];
  /** Why it did not pass; empty when it did. */
  failures: string[];
  stages?: StageSpeed[];
  bottleneck?: { stage: StageSpeed['stage']; advice: string };
  speed?: Speed;
  /** What the rollback of the sample brought back, and how long it took. */
  rollback?: { rows: number; milliseconds: number; equal: boolean };
  milliseconds?: number;
  waivedBy?: string;
  reason?: string;
}

/** A rehearsal, or a waiver, as the control store has it. */
export interface StoredRehearsal {
  id: number; planHash: string; schemaDigest: string; state: 'open' | 'passed' | 'failed' | 'waived';
  evidence: RehearsalEvidence; openedAt: string; closedAt: string | null;
  /** Milliseconds since it was closed, by the server's clock. */
  ageMs: number | null;
}

/** What of a rehearsal decides whether it is fresh. */
export interface RehearsalFacts { planHash: string; schemaDigest: string; state: string; ageMs: number | null }

/** Null when it opens production, else why it does not, in words. */
export function staleBecause(last: RehearsalFacts | undefined, now: { planHash: string; schemaDigest: string; maxAgeMs: number }): string | null {
  if (!last) return 'there was no rehearsal yet';
  if (last.state === 'failed') return 'the last rehearsal failed';
  if (last.state !== 'passed' && last.state !== 'waived') return 'the last rehearsal did not come to its end';
  if (last.planHash !== now.planHash) return 'the plan has changed since the last rehearsal';
  if (last.schemaDigest !== now.schemaDigest) return 'the schema of the source has changed since the last rehearsal';
  if (last.ageMs === null || last.ageMs > now.maxAgeMs) return `the last rehearsal is ${days(last.ageMs ?? 0)} old, and rehearsal.max_age is ${days(now.maxAgeMs)}`;
  return null;
}

function days(milliseconds: number): string {
  const hours = milliseconds / 3_600_000;
  return hours >= 48 ? `${Math.floor(hours / 24)} days` : hours >= 2 ? `${Math.floor(hours)} hours` : hours * 60 >= 2 ? `${Math.floor(hours * 60)} minutes` : `${Math.ceil(hours * 3600)} seconds`;
}

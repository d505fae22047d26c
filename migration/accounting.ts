import { MigrationError } from './errors';

/**
 * What became of source rows. The accounting identity `read = written + unchanged + quarantined + filtered`
 * is asserted at every commit, by a constraint in the ledger, and on every load of a checkpoint.
 */
export interface Counts {
  read: number;
  /** Rows that the target itself says it inserted or updated. */
  written: number;
  /** Rows already present and equal. */
  unchanged: number;
  quarantined: number;
  /** Rows that the plan leaves out. */
  filtered: number;
}

export function noCounts(): Counts {
  return { read: 0, written: 0, unchanged: 0, quarantined: 0, filtered: 0 };
}

export function addCounts(a: Counts, b: Counts): Counts {
  return {
    read: a.read + b.read,
    written: a.written + b.written,
    unchanged: a.unchanged + b.unchanged,
    quarantined: a.quarantined + b.quarantined,
    filtered: a.filtered + b.filtered,
  };
}

/** @throws MigrationError `ACCOUNTING_BROKEN` (internal) when rows are unaccounted for. `where` names the split or commit. */
export function assertAccounted(counts: Counts, where: string): void {
  const accounted = counts.written + counts.unchanged + counts.quarantined + counts.filtered;
  if (counts.read !== accounted) {
    throw new MigrationError('ACCOUNTING_BROKEN', `${where}: ${counts.read} rows read but ${accounted} accounted for. Nothing of this commit was kept; please report it.`);
  }
}

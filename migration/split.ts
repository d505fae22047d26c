/** The values of a key, in key order, as text exactly as the source database gave them. */
export type KeyText = string[];

/**
 * A disjoint slice of a dataset: `after < key <= upTo` in the source's own order, open-ended where a bound is null.
 * All splits of a dataset together cover it exactly once. Bounds are frozen in the ledger once per generation and addressed by ordinal (from 0).
 */
export interface SplitBounds {
  after: KeyText | null;
  upTo: KeyText | null;
}

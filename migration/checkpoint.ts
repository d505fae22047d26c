import type { Counts } from './accounting';
import type { KeyText } from './split';

/** Durable progress of one split: stored with the rows, never newer than they are, never moving back. */
export interface Checkpoint {
  /** Last key that is accounted for; null at the split's start. */
  cursor: KeyText | null;
  /** Number of the last commit; 0 before the first. */
  commitNo: number;
  counts: Counts;
  done: boolean;
}

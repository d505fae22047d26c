import type { RunStatus } from '../protocol';

/** One dataset that an amendment touches. */
export interface AmendedDataset {
  dataset: string;
  kind: 'changed' | 'added' | 'removed';
  /** Keys of the dataset that changed. */
  fields: string[];
  /** Source rows that its copy has accounted for so far: read again where the dataset changed, kept where it was removed. */
  rows: number;
  state: 'waiting' | 'open' | 'copied' | 'closed';
}

/** What an edited plan would do, or did, to a migration that was admitted before. */
export interface PlanAmendment {
  migration: string;
  formerHash: string;
  planHash: string;
  /** `complete`: what comes again needs another start. */
  status: RunStatus;
  /** Its last run has ended: the amended plan needs another start. */
  finished: boolean;
  datasets: AmendedDataset[];
  /** Other keys that changed, such as `batch.batch_size`: they take hold at the next slice. */
  operational: string[];
  /** Why the plan cannot be amended so; empty when it can. */
  refusals: string[];
  /** False: the plan is the one that the migration has. */
  edited: boolean;
}

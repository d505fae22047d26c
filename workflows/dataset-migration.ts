import type { DatasetInput, DatasetOutcome } from '../migration/protocol';
import { childSteps } from './blocked-step';
import { moveBundle } from './move-bundle';
import { moveDataset } from './move-dataset';

/**
 * One dataset, or a bundle of tiny ones, from opening to closing. Safe to repeat: the ledger knows what is done.
 * Blocks by itself; continues as new between slices when its history has grown.
 */
export function datasetMigration(input: DatasetInput): Promise<DatasetOutcome> {
  const steps = childSteps(input.root, input.carried?.paused);
  return input.bundle ? moveBundle(input, input.bundle, steps) : moveDataset(input, steps);
}

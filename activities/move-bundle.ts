import { Context } from '@temporalio/activity';
import type { BundleInput, BundleResult, DatasetRef } from '../migration/protocol';
import { eachInBundle } from './bundle';
import { closeDataset } from './close-dataset';
import { copyGeneration } from './copy-generation';
import { copySplit } from './copy-split';
import type { ActivityDependencies } from './dependencies';
import { openDataset } from './open-dataset';
import { takeAgain } from './take-again';

/**
 * Moves tiny datasets whole, one after the other: opened, copied and closed by the same steps as any other. Those that are closed already are passed
 * over. Ends between two datasets when `sliceMs` are over.
 * @throws MigrationError `LEASE_LOST`, `PLAN_AMENDED`, and transient ones; whatever else stands in the way of a dataset puts it into `left`.
 */
export async function moveBundle(deps: ActivityDependencies, input: BundleInput): Promise<BundleResult> {
  return eachInBundle(input, (dataset, deadline) => moveWhole(deps, { ref: input.ref, dataset }, deadline));
}

/** False when the time was over before its last split. */
async function moveWhole(deps: ActivityDependencies, dataset: DatasetRef, deadline: number): Promise<boolean> {
  await takeAgain(deps, dataset);
  const { done, generation, keyed, unfinished } = await openDataset(deps, dataset);
  if (done) return true;
  const copy = keyed ? copySplit : copyGeneration;
  for (const ordinal of unfinished) {
    for (;;) {
      Context.current().cancellationSignal.throwIfAborted();
      const { state } = await copy(deps, { ...dataset, generation, ordinal, sliceMs: Math.max(1_000, deadline - Date.now()) });
      if (state === 'done') break;
      if (Date.now() >= deadline) return false;
    }
  }
  await closeDataset(deps, dataset);
  return true;
}

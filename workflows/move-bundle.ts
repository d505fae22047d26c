import type { BundleResult, DatasetInput, DatasetOutcome } from '../migration/protocol';
import { copyQueue, sliceActivities } from './activity-proxies';
import type { Steps } from './blocked-step';
import { inSlices } from './bundle-slices';
import { moveDataset } from './move-dataset';

/**
 * Tiny datasets, many in one activity. What stands in the way of one of them does not hold up the others: it is moved at the end by itself, with all
 * the steps of a dataset, and blocks there.
 */
export async function moveBundle(input: DatasetInput, bundle: string[], steps: Steps): Promise<DatasetOutcome> {
  const { ref, view, settings, activityQueue } = input;
  const { sliceMaxMs: sliceMs } = settings;
  const queue = copyQueue(activityQueue, view, 'both');
  const move = (datasets: string[]): Promise<BundleResult> => sliceActivities(queue, `${datasets.length} small datasets`, sliceMs).moveBundle({ ref, datasets, sliceMs });
  const skipped: string[] = [];
  for (const dataset of await inSlices(bundle, steps, move)) {
    const outcome = await moveDataset({ ...input, dataset, view: { ...view, name: dataset } }, steps);
    if (outcome.state === 'skipped') skipped.push(dataset);
  }
  return { dataset: input.dataset, state: 'done', skipped };
}

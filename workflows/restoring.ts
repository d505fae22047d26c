import { isCancellation, log } from '@temporalio/workflow';
import { firstNames } from '../migration/name-list';
import type { DatasetView, RunRef } from '../migration/protocol';
import { closingCopyActivities, copyQueue } from './activity-proxies';
import { describeFailure, endsRun, isExpected } from './failures';

/**
 * Gives the targets of these datasets back what opening them took away: indexes, foreign keys, triggers. For datasets that go no further;
 * those never opened cost nothing. Tried a few times and never blocks: building may take long, but nothing waits for what is not there.
 * @returns what is still missing and why, in words; empty when everything is in place.
 * @throws cancellation, or LEASE_LOST.
 */
export async function restoreObjects(ref: RunRef, datasets: DatasetView[], activityQueue: string | undefined): Promise<string[]> {
  const missing: string[] = [];
  for (const [queue, views] of byTargetQueue(datasets, activityQueue)) {
    const names = views.map((view) => view.name);
    missing.push(...(await restoreOn(queue, { ref, datasets: names }, firstNames(names))));
  }
  return missing;
}

/** As `restoreObjects`, for everything that the ledger of these routes' targets knows. */
export async function restoreAll(ref: RunRef, routes: DatasetView[], activityQueue: string | undefined): Promise<string[]> {
  const missing: string[] = [];
  for (const [queue] of byTargetQueue(routes, activityQueue)) missing.push(...(await restoreOn(queue, { ref }, 'the datasets')));
  return missing;
}

function byTargetQueue(datasets: DatasetView[], activityQueue: string | undefined): Map<string, DatasetView[]> {
  const byQueue = new Map<string, DatasetView[]>();
  for (const view of datasets) {
    const queue = copyQueue(activityQueue, view, 'target');
    byQueue.set(queue, [...(byQueue.get(queue) ?? []), view]);
  }
  return byQueue;
}

async function restoreOn(queue: string, input: { ref: RunRef; datasets?: string[] }, whose: string): Promise<string[]> {
  try {
    const { left } = await closingCopyActivities(queue, 'indexes, foreign keys and triggers back').restoreObjects(input);
    return left;
  } catch (error) {
    if (isCancellation(error) || !isExpected(error) || endsRun(error)) throw error;
    const { code, message } = describeFailure(error);
    log.warn('objects could not be restored', { code });
    return [`what ${whose} had (${code}: ${message})`];
  }
}

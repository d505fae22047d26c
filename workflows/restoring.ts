import { isCancellation, log } from '@temporalio/workflow';
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
  const byQueue = new Map<string, string[]>();
  for (const view of datasets) {
    const queue = copyQueue(activityQueue, view, 'target');
    byQueue.set(queue, [...(byQueue.get(queue) ?? []), view.name]);
  }
  const missing: string[] = [];
  for (const [queue, names] of byQueue) {
    try {
      const { left } = await closingCopyActivities(queue, 'indexes, foreign keys and triggers back').restoreObjects({ ref, datasets: names });
      missing.push(...left);
    } catch (error) {
      if (isCancellation(error) || !isExpected(error) || endsRun(error)) throw error;
      const { code, message } = describeFailure(error);
      log.warn('objects could not be restored', { code });
      missing.push(`what ${listed(names)} had (${code}: ${message})`);
    }
  }
  return missing;
}

function listed(names: string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}

import { CancellationScope, isCancellation, log } from '@temporalio/workflow';
import type { BundleResult } from '../migration/protocol';
import type { Steps } from './blocked-step';
import { describeFailure, endsRun, isExpected } from './failures';

/**
 * Hands `datasets` to `slice` again and again until none is left. A pause ends the slice in flight and waits.
 * @returns those that need steps of their own: what the slices left, and what was not reached when one failed for good.
 * @throws what ends the run.
 */
export async function inSlices(datasets: readonly string[], steps: Steps, slice: (datasets: string[]) => Promise<BundleResult>): Promise<string[]> {
  let waiting = [...datasets];
  const left: string[] = [];
  while (waiting.length > 0) {
    await steps.unpaused();
    const result = await oneSlice(steps, () => slice(waiting));
    if (result === 'paused') continue;
    const finished = new Set([...(result?.done ?? []), ...(result?.left ?? [])]);
    // A slice that failed, or got nowhere, would do so again.
    if (!result || finished.size === 0) return [...left, ...waiting];
    left.push(...result.left);
    waiting = waiting.filter((dataset) => !finished.has(dataset));
  }
  return left;
}

async function oneSlice(steps: Steps, slice: () => Promise<BundleResult>): Promise<BundleResult | 'paused' | null> {
  const scope = new CancellationScope();
  let paused = false;
  const stopListening = steps.onPause(() => {
    paused = true;
    scope.cancel();
  });
  try {
    return await scope.run(slice);
  } catch (error) {
    if (CancellationScope.current().consideredCancelled || !isExpected(error) || endsRun(error)) throw error;
    if (paused && isCancellation(error)) return 'paused';
    log.warn('a bundle is moved one by one', { code: describeFailure(error).code });
    return null;
  } finally {
    stopListening();
  }
}

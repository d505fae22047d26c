import { CancellationScope } from '@temporalio/workflow';

/**
 * Runs `lane` `count` times at once and waits for all. The first failure cancels the others; it is thrown when all have ended.
 * `scope`: give one to cancel the lanes from outside.
 */
export async function inLanes(count: number, lane: () => Promise<void>, scope = new CancellationScope()): Promise<void> {
  const failures: unknown[] = [];
  const guarded = async () => {
    try {
      await lane();
    } catch (error) {
      failures.push(error);
      scope.cancel();
    }
  };
  await scope.run(() => Promise.all(Array.from({ length: Math.max(1, count) }, guarded)));
  if (failures.length > 0) throw failures[0];
}

import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import type { LifeView } from '../migration/protocol';

/** Runs while a cutover is open, also while it is blocked or paused: the first limit that is reached cancels the work. */
export class CutoverClock {
  /** Why the work was cancelled, for people; null as long as it was not. */
  expired: string | null = null;
  private readonly timers = new CancellationScope();

  constructor(private readonly work: CancellationScope, private readonly life: Pick<LifeView, 'window' | 'downtimeToleranceMs'> = {}) {}

  /** The end of the window counts from the first step on. */
  beginWindow(): void {
    const abortBy = this.life.window?.abortBy;
    if (abortBy !== undefined) this.limit(Date.parse(abortBy) - Date.now(), `The window ended at ${abortBy} before the target was open.`);
  }

  /** From just before the source refuses its first write. */
  beginDowntime(): void {
    const tolerance = this.life.downtimeToleranceMs;
    if (tolerance !== undefined) this.limit(tolerance, `The old side had refused writes for ${Math.round(tolerance / 1000)} s (\`downtime_tolerance\`) before the target was open.`);
  }

  stop(): void {
    this.timers.cancel();
  }

  private limit(afterMs: number, reason: string): void {
    void this.timers.run(async () => {
      await sleep(Math.max(1, afterMs), { summary: 'until the cutover is undone' });
      this.expired ??= reason;
      this.work.cancel();
    }).catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  }
}

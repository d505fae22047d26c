/** How long the orchestration waits: pure, so that the budgets of events can be reasoned about and tested. All times in milliseconds. */

const MINUTE = 60_000;

/** Slices double until `maxMs`: short at first so that trouble shows early, long later so that events stay few. */
export function nextSliceMs(sliceMs: number, maxMs: number): number {
  return Math.min(Math.max(sliceMs, 1) * 2, Math.max(maxMs, 1));
}

/** Pause before a lane tries again after `failures` (from 1) slices in a row that committed nothing: 2 s, 4 s, ... one minute. */
export function idleDelayMs(failures: number): number {
  return Math.min(2_000 * 2 ** Math.max(0, failures - 1), MINUTE);
}

/** How long one look may wait for news: a minute while things move, up to two hours after `unchanged` looks in a row without news. */
export function watchWaitMs(unchanged: number): number {
  return Math.min(MINUTE * 2 ** Math.min(unchanged, 10), 120 * MINUTE);
}

/**
 * Least time that a look at the ledger takes, so that ordinary news comes at most so often. Until look 200 there is none; then each waits 4 s
 * longer, up to two hours. The activity waits, not the workflow: it keeps the lease fresh. One look costs up to eleven events: half a year of constant news stays below the limit of one history (51,200).
 */
export function watchPauseMs(looks: number): number {
  return Math.min(Math.max(0, looks - 200) * 4_000, 120 * MINUTE);
}

/**
 * Pause after `failures` (from 1) looks in a row that could not be carried out: 20 s, so that the lease is fresh again as soon as that is possible;
 * after an hour of it longer and longer.
 */
export function failedLookPauseMs(failures: number): number {
  return Math.max(20_000, watchPauseMs(failures));
}

/** Time to the next reminder: `everyMs`, doubled with each one sent, up to four hours (or `everyMs` where that is longer). */
export function reminderDelayMs(everyMs: number, sent: number): number {
  return Math.min(everyMs * 2 ** Math.min(sent, 20), Math.max(everyMs, 240 * MINUTE));
}

import { Context } from '@temporalio/activity';

const HEARTBEAT_EVERY_MS = 5_000;

/**
 * Heartbeats by timer while `work` runs: for liveness, cancellation and display. Progress of record is in the ledger.
 * `shown` is read at every beat: names and counts only.
 */
export async function withHeartbeat<T>(shown: object, work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  context.heartbeat({ ...shown });
  const timer = setInterval(() => context.heartbeat({ ...shown }), HEARTBEAT_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

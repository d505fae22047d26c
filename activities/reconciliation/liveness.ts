import { Context } from '@temporalio/activity';

const BEAT_MS = 5_000;

/**
 * Runs long work with a heartbeat by timer, so that a statement of many minutes on the server does not look like a dead worker.
 * `signal` aborts when the activity is cancelled. Outside an activity (the command, tests) it never aborts.
 */
export async function whileAlive<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const context = currentContext();
  if (!context) return work(new AbortController().signal);
  const beat = setInterval(() => context.heartbeat(), BEAT_MS);
  try {
    context.heartbeat();
    return await work(context.cancellationSignal);
  } finally {
    clearInterval(beat);
  }
}

function currentContext(): Context | null {
  try {
    return Context.current();
  } catch {
    return null;
  }
}

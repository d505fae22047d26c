import { EXIT } from './exit-codes';
import type { Session } from './session';

export interface Interruption { signal: AbortSignal }

/** The first Ctrl-C or SIGTERM asks for a graceful end; the second ends the process at once. Listens until the session closes. */
export function interruption(session: Session): Interruption {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // Kept while other things close: a second Ctrl-C must still work then.
  session.onClose(async () => {
    setImmediate(() => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    }).unref();
  });
  return { signal: controller.signal };
}

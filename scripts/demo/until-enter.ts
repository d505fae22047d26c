/** Resolves at Enter or when told to stop. Where there is nobody to press it (input closed), only the signal ends it. */
export function untilEnter(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // An input that is closed keeps no process alive.
    const alive = setInterval(() => undefined, 60_000);
    const done = (): void => {
      clearInterval(alive);
      process.stdin.off('data', done);
      process.stdin.pause();
      resolve();
    };
    if (signal.aborted) return done();
    signal.addEventListener('abort', done, { once: true });
    process.stdin.on('data', done);
    process.stdin.resume();
  });
}

import { spawn } from 'node:child_process';

const OUTPUT_BYTES_MAX = 4_096;

/** Without `timeoutMs` a command may take as long as the caller waits. */
export interface ShellRequest { env: Record<string, string>; signal: AbortSignal; timeoutMs?: number }

/**
 * Runs a shell line; exit code 0 is success. Answers the beginning of what it prints, which may hold secrets: nobody repeats it.
 * @throws Error that says how it ended, in words that follow its name.
 */
export function runShell(line: string, { env, signal, timeoutMs }: ShellRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that what the shell started ends with it.
    const child = spawn(line, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env } });
    let output = '';
    let stopped: string | null = null;
    const stop = (why: string): void => {
      stopped = why;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch { /* It has just ended. */ }
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop(`it was not over after ${timeoutMs / 1000} s`), timeoutMs);
    const onAbort = (): void => stop('it was stopped');
    signal.addEventListener('abort', onAbort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => { if (output.length < OUTPUT_BYTES_MAX) output += chunk.toString('utf8'); });
    const settle = (problem: string | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (problem === null) resolve(output.slice(0, OUTPUT_BYTES_MAX));
      else reject(new Error(problem));
    };
    child.on('error', () => settle('it could not be started'));
    child.on('close', (code, ended) => settle(stopped ?? (code === 0 ? null : ended ? `it was ended by ${ended}` : `it ended with code ${code ?? 'unknown'}`)));
  });
}

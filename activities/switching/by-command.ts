import { spawn } from 'node:child_process';
import { directionOf, type SwitchOrder, type SwitchWay } from './switch-way';

const TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 4_096;

/** Runs the line with `new`, `legacy` or `read` behind it; exit code 0 is success. `read` prints `new` or `legacy`. CARAVAN_SWITCH_ID, _EPOCH and _MIGRATION are set. */
export function switchByCommand(line: string, order: SwitchOrder): SwitchWay {
  return {
    async set(to) { await run(`${line} ${to}`, order); },
    async read() { return directionOf(await run(`${line} read`, order)); },
  };
}

/** What it prints is never repeated: it may hold secrets. */
function run(line: string, order: SwitchOrder): Promise<string> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that what the shell started ends with it.
    const child = spawn(line, {
      shell: true, detached: true, stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, CARAVAN_SWITCH_ID: order.id, CARAVAN_SWITCH_EPOCH: String(order.epoch), CARAVAN_SWITCH_MIGRATION: order.migration },
    });
    let output = '';
    let stopped: string | null = null;
    const stop = (why: string): void => {
      stopped = why;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch { /* It has just ended. */ }
    };
    const timer = setTimeout(() => stop(`it was not over after ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS);
    const onAbort = (): void => stop('it was stopped');
    order.signal.addEventListener('abort', onAbort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => { if (output.length < OUTPUT_BYTES_MAX) output += chunk.toString('utf8'); });
    const settle = (problem: string | null): void => {
      clearTimeout(timer);
      order.signal.removeEventListener('abort', onAbort);
      if (problem === null) resolve(output.slice(0, OUTPUT_BYTES_MAX));
      else reject(new Error(problem));
    };
    child.on('error', () => settle('it could not be started'));
    child.on('close', (code, signal) => settle(stopped ?? (code === 0 ? null : signal ? `it was ended by ${signal}` : `it ended with code ${code ?? 'unknown'}`)));
  });
}

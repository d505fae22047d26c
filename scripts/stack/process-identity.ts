import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process as the system knows it. The pid alone is not enough: pids are used again. */
export interface ProcessIdentity {
  pid: number;
  /** When the process started, in whatever form the system gives; only compared for equality. */
  startedAt: string;
}

/** The identity of a running process, or undefined when there is none (a zombie counts as gone). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? linuxStartTime(pid) : portableStartTime(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export function isStillRunning(known: ProcessIdentity): boolean {
  return identifyProcess(known.pid)?.startedAt === known.startedAt;
}

/**
 * Stops exactly this process: `signal` first, SIGKILL when it still runs after `limitMs`.
 * Does nothing when the pid now belongs to another process. Resolves once it is gone.
 */
export async function stopProcess(known: ProcessIdentity, signal: NodeJS.Signals, limitMs: number): Promise<void> {
  if (!sendSignal(known, signal)) return;
  const deadline = Date.now() + limitMs;
  while (isStillRunning(known)) {
    if (Date.now() > deadline) sendSignal(known, 'SIGKILL');
    if (Date.now() > deadline + 10_000) throw new Error(`process ${known.pid} does not end, even by SIGKILL`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function sendSignal(known: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isStillRunning(known)) return false;
  try {
    return process.kill(known.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function linuxStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name stands in parentheses and may hold anything; the fields behind it are plain.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    if (state === 'Z' || state === 'X') return undefined;
    // Counted in clock ticks since boot, so the boot belongs to it: a record may be older than the last one.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${fields[19] ?? ''}`;
  } catch {
    return undefined;
  }
}

function portableStartTime(pid: number): string | undefined {
  try {
    const output = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [state = '', ...started] = output.trim().split(/\s+/);
    return state === '' || state.startsWith('Z') ? undefined : started.join(' ');
  } catch {
    return undefined;
  }
}

import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';

/** The last sessions of a killed server end within moments; a busy one may take longer. */
const detachLimitMs = 10_000;

/**
 * Removes the lock file of a server that was killed, once no process of it is left.
 *
 * PostgreSQL itself looks only at whether some process has the pid in the file: it refuses to start when that is a zombie,
 * or, in a restarted container where pids begin anew, an unrelated process. We look at the two things that tell for sure:
 * a live server works in its data folder, and all its processes are attached to the shared memory that the file names.
 * Linux only; elsewhere, or in doubt, the file stays and PostgreSQL decides.
 */
export async function clearStaleLock(data: string): Promise<void> {
  const file = path.join(data, 'postmaster.pid');
  const deadline = Date.now() + detachLimitMs;
  for (;;) {
    const lock = readLock(file);
    if (!lock || process.platform !== 'linux' || worksIn(lock.pid, data)) return;
    const attached = attachedProcesses(lock.sharedMemory);
    if (attached === 0) return rmSync(file, { force: true });
    if (attached === undefined || Date.now() > deadline) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function readLock(file: string): { pid: number; sharedMemory: number } | undefined {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    const pid = Number(lines[0]);
    // Line 7: key and id of the System V segment that every process of the server is attached to.
    const sharedMemory = Number(lines[6]?.trim().split(/\s+/)[1]);
    return Number.isInteger(pid) && Number.isInteger(sharedMemory) ? { pid, sharedMemory } : undefined;
  } catch {
    return undefined;
  }
}

function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(folder);
  } catch {
    return false;
  }
}

function attachedProcesses(segment: number): number | undefined {
  try {
    const rows = readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').map((line) => line.trim().split(/\s+/));
    const [header = []] = rows;
    const row = rows.find((cells) => cells[header.indexOf('shmid')] === String(segment));
    return row ? Number(row[header.indexOf('nattch')]) : 0;
  } catch {
    return undefined;
  }
}

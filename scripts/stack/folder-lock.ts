import { mkdirSync } from 'node:fs';
import { lock } from 'proper-lockfile';
import { StackError } from './stack-error';

const waitLimitMs = 120_000;

/** Runs `work` while no other process works on this folder; it is made if need be. A lock left by a killed process counts for 20 s. */
export async function withFolderLock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let release: () => Promise<void>;
  try {
    release = await lock(folder, { stale: 20_000, retries: { retries: waitLimitMs / 250, factor: 1, minTimeout: 250, maxTimeout: 250 } });
  } catch (error) {
    throw new StackError(`another process has been working on ${folder} for more than ${waitLimitMs / 1000} s: ${(error as Error).message}`, `If none does, remove ${folder}.lock.`);
  }
  try {
    return await work();
  } finally {
    // Somebody may have removed the folder meanwhile; what was done is done.
    await release().catch(() => undefined);
  }
}

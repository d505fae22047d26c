import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { lock } from 'proper-lockfile';

/** Where installed programs are kept, outside the repository: `CARAVAN_CACHE`, else `$XDG_CACHE_HOME/caravan`, else `~/.cache/caravan`. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return env['CARAVAN_CACHE'] || path.join(env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache'), 'caravan');
}

/**
 * The folder `cache/name`, filled by `fill` if it does not exist yet. It appears complete or not at all: `fill` works in
 * a folder of another name. Processes that want the same one wait for the first of them.
 */
export async function cachedFolder(cache: string, name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const final = path.join(cache, name);
  if (existsSync(final)) return final;
  mkdirSync(cache, { recursive: true });
  const release = await lock(final, { realpath: false, stale: 30_000, retries: { retries: 600, factor: 1, minTimeout: 500 } });
  const unfinished = path.join(cache, `${name}.${randomBytes(4).toString('hex')}`);
  try {
    if (existsSync(final)) return final;
    mkdirSync(unfinished);
    await fill(unfinished);
    renameSync(unfinished, final);
    return final;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
    await release();
  }
}

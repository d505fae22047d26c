import { randomBytes } from 'node:crypto';
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { SwitchPlan } from '../../migration/plan/schema';
import type { SwitchWay } from './switch-way';

/**
 * Replaces the file as a whole: written beside it, flushed, renamed over it, and the folder flushed, so that readers and a crash find the old content or
 * the new one. Mode is kept; a new file is readable by its owner only. A link stays, and the file it leads to is replaced.
 */
export function switchByFile({ path: named, new: fresh, legacy }: NonNullable<SwitchPlan['file']>): SwitchWay {
  return {
    set: (to) => spoken('written', async () => {
      const content = to === 'new' ? fresh : legacy;
      const file = await realpath(named).catch(() => path.resolve(named));
      if (await readFile(file, 'utf8').catch(() => null) === content) return;
      await replace(file, content);
    }),
    read: () => spoken('read', async () => {
      const content = await readFile(named, 'utf8');
      return content === fresh ? 'new' : content === legacy ? 'legacy' : 'unclear';
    }),
  };
}

async function replace(file: string, content: string): Promise<void> {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}`);
  const mode = await stat(file).then((found) => found.mode & 0o7777, () => 0o600);
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(content);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  // Without this, a crash may bring the old name back. Not every platform can open a folder.
  const folder = await open(path.dirname(file), 'r').catch(() => null);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

async function spoken<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`its file could not be ${what} (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { MigrationError } from '../../migration/errors';
import type { BackupTable } from '../../migration/preparation/backup';

const READ_BYTES = 1024 * 1024;
const NO_SPACE = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const MANIFEST = 'manifest.json';

/** What the manifest of a finished backup says. */
export interface Manifest { format: 1; migration: string; side: string; connection: string; server: string; tables: BackupTable[] }

/** The folder of one backup of one connection: a file of COPY text per table, and a manifest, which is written last. Only its owner reads it. */
export class BackupFolder {
  constructor(readonly place: string) {}

  /** Empties it: what an attempt that was cut off left is of another snapshot. */
  async begin(): Promise<void> {
    await told(this.place, async () => {
      await rm(this.place, { recursive: true, force: true });
      await mkdir(this.place, { recursive: true, mode: 0o700 });
      // The mode above is cut by the umask, and does not touch a folder that was there.
      await chmod(this.place, 0o700);
    });
  }

  /** Writes chunks to a new file, which is durable when it returns. @throws MigrationError `BACKUP_FAILED`. */
  async write(file: string, chunks: AsyncIterable<{ data: Buffer }>): Promise<{ bytes: number; sha256: string }> {
    return told(this.place, async () => {
      const handle = await open(path.join(this.place, file), 'wx', 0o600);
      const hash = createHash('sha256');
      let bytes = 0;
      try {
        for await (const { data } of chunks) {
          hash.update(data);
          for (let at = 0; at < data.length;) at += (await handle.write(data, at)).bytesWritten;
          bytes += data.length;
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      return { bytes, sha256: hash.digest('hex') };
    });
  }

  /** From here on the backup is whole. */
  async finish(manifest: Manifest): Promise<void> {
    await told(this.place, async () => {
      const draft = path.join(this.place, `${MANIFEST}.draft`);
      const handle = await open(draft, 'w', 0o600);
      try {
        await handle.writeFile(JSON.stringify(manifest, null, 1));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(draft, path.join(this.place, MANIFEST));
    });
  }

  /** Null where there is no whole backup. */
  async manifest(): Promise<Manifest | null> {
    try {
      return JSON.parse(await readFile(path.join(this.place, MANIFEST), 'utf8')) as Manifest;
    } catch {
      return null;
    }
  }

  /** The file in sections, for COPY FROM. @throws MigrationError `BACKUP_FAILED` at its end when it is not the file that was written. */
  *read({ file, sha256, dataset }: BackupTable): Generator<Buffer> {
    const hash: Hash = createHash('sha256');
    const descriptor = openFile(path.join(this.place, file), dataset);
    try {
      for (;;) {
        const section = Buffer.allocUnsafe(READ_BYTES);
        const length = readSync(descriptor, section, 0, READ_BYTES, null);
        if (length === 0) break;
        hash.update(section.subarray(0, length));
        yield section.subarray(0, length);
      }
    } finally {
      closeSync(descriptor);
    }
    if (hash.digest('hex') !== sha256) throw new MigrationError('BACKUP_FAILED', `backup of ${dataset}: the file ${file} in ${this.place} is not as it was written (its SHA-256 differs). Look at the disk, then retry: it is taken anew.`, { dataset, damaged: true });
  }

  async remove(): Promise<void> {
    await rm(this.place, { recursive: true, force: true });
  }
}

function openFile(file: string, dataset: string): number {
  try {
    return openSync(file, 'r');
  } catch (error) {
    throw new MigrationError('BACKUP_FAILED', `backup of ${dataset}: ${file} cannot be read (${codeOf(error)}). Retry: it is taken anew.`, { dataset, damaged: true });
  }
}

async function told<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (NO_SPACE.has(code)) throw new MigrationError('BACKUP_FAILED', `the backup folder ${place} is full (${code}). Free space there, or name another folder under backup.folder and carry it over (\`caravan amend PLAN\`), then retry.`, { cause: code });
    if (isOfFiles(error)) throw new MigrationError('BACKUP_FAILED', `the backup folder ${place} cannot be written (${code}). Give the worker a folder of its own under backup.folder, then retry.`, { cause: code });
    throw error;
  }
}

/** By shape: errors of Node's own modules may come from another realm. Those of connections have no path. */
function isOfFiles(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'syscall' in error && 'path' in error;
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}

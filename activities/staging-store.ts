import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Batch, Rejection } from '../migration/batch';
import { MigrationError } from '../migration/errors';
import type { SegmentRef } from '../migration/protocol';
import type { KeyText } from '../migration/split';
import type { StagingSettings } from './dependencies';

/** The rows of one commit between two stages. `rejections` index the batches as they were read. */
export interface Segment { batches: Batch[]; rejections: (Rejection & { batch: number })[]; cursor: KeyText | null; /** The segment as read that the others were made from. */ readSha256?: string }

/** What a source-side worker must know of a split: it may not reach the ledger. */
export interface StagedCheckpoint { commitNo: number; cursor: KeyText | null; after: KeyText | null; upTo: KeyText | null; done: boolean }

interface SplitName { dataset: string; generation: number; ordinal: number }

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Segments on their way between workers of two sides: a folder that both reach. Files are encrypted (AES-256-GCM) and named by what they hold,
 * so a repeated stage overwrites its own result. A file is durable before its reference is returned, and is removed once its commit is.
 */
export class StagingStore {
  private readonly folder: string;

  constructor(private readonly settings: StagingSettings, migration: string) {
    this.folder = path.join(settings.folder, safeName(migration));
  }

  async write(ref: Omit<SegmentRef, 'file' | 'sha256'>, segment: Segment): Promise<SegmentRef> {
    const file = `${this.splitFolder(ref)}/${ref.commitNo}-${ref.stage}.segment`;
    const sha256 = await this.put(file, segment);
    return { ...ref, file, sha256 };
  }

  /** @throws MigrationError `STAGING_FAILED` when the file is gone, was changed, or was written with another key. */
  async read(ref: SegmentRef): Promise<Segment> {
    return await this.get(ref.file, ref.sha256) as Segment;
  }

  /** The rows as read that a later segment was made from. @throws MigrationError `STAGING_FAILED` when they were read again since. */
  async readOrigin(ref: SegmentRef, segment: Segment): Promise<Segment> {
    return await this.get(`${this.splitFolder(ref)}/${ref.commitNo}-read.segment`, segment.readSha256 ?? null) as Segment;
  }

  async removeCommit(ref: SegmentRef): Promise<void> {
    for (const stage of ['read', 'transformed', 'validated']) {
      await rm(path.join(this.folder, `${this.splitFolder(ref)}/${ref.commitNo}-${stage}.segment`), { force: true });
    }
  }

  async removeDataset(dataset: string): Promise<void> {
    await rm(path.join(this.folder, safeName(dataset)), { recursive: true, force: true });
  }

  async putCheckpoint(split: SplitName, checkpoint: StagedCheckpoint): Promise<void> {
    await this.put(`${this.splitFolder(split)}/checkpoint`, checkpoint);
  }

  async checkpoint(split: SplitName): Promise<StagedCheckpoint> {
    return await this.get(`${this.splitFolder(split)}/checkpoint`, null) as StagedCheckpoint;
  }

  private splitFolder({ dataset, generation, ordinal }: SplitName): string {
    return `${safeName(dataset)}/${generation}-${ordinal}`;
  }

  private async put(file: string, content: unknown): Promise<string> {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.settings.key, iv);
    cipher.setAAD(Buffer.from(file));
    const sealed = Buffer.concat([iv, cipher.update(serialize(content)), cipher.final(), cipher.getAuthTag()]);
    const target = path.join(this.folder, file);
    const temporary = `${target}.${process.pid}.${randomBytes(4).toString('hex')}`;
    try {
      await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
      const handle = await open(temporary, 'w', 0o600);
      try {
        await handle.writeFile(sealed);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw failed(`cannot write to the staging folder (${(error as NodeJS.ErrnoException).code ?? 'failure'}). Check that it exists, is writable and has free space.`);
    }
    return createHash('sha256').update(sealed).digest('hex');
  }

  private async get(file: string, sha256: string | null): Promise<unknown> {
    const sealed = await readFile(path.join(this.folder, file)).catch((error: NodeJS.ErrnoException) => {
      throw failed(`a segment of ${path.dirname(file)} cannot be read (${error.code ?? 'failure'}). Check that both sides see the same staging folder.`);
    });
    if (sha256 !== null && createHash('sha256').update(sealed).digest('hex') !== sha256) {
      throw failed(`a segment of ${path.dirname(file)} is not the one that was written. It is read again from the source.`);
    }
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.settings.key, sealed.subarray(0, IV_BYTES));
      decipher.setAAD(Buffer.from(file));
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      return restored(deserialize(Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()])));
    } catch {
      throw failed(`a segment of ${path.dirname(file)} was changed, or written with another key. Give every worker of this migration the same CARAVAN_STAGING_KEY.`);
    }
  }
}

/** Deserialized Buffers arrive as plain Uint8Arrays. */
function restored(content: unknown): unknown {
  for (const batch of (content as Partial<Segment>).batches ?? []) {
    if (batch.encoding === 'pgcopy') batch.data = Buffer.from(batch.data.buffer, batch.data.byteOffset, batch.data.byteLength);
  }
  return content;
}

function failed(message: string): MigrationError {
  return new MigrationError('STAGING_FAILED', `staging store: ${message}`);
}

function safeName(name: string): string {
  return encodeURIComponent(name).replaceAll('.', '%2E');
}

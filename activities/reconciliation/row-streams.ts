import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Reason } from '../../migration/batch';
import type { KeyText } from '../../migration/split';
import { nameWithSchemas } from '../connectors/postgres/catalog';
import { copyText } from '../connectors/postgres/copy-text';
import { toMigrationError } from '../connectors/postgres/errors';
import { rowsOf } from '../connectors/postgres/selection-sql';
import { textRow } from '../connectors/postgres/source';
import { columnList, quoteIdent, quoteLiteral, selectList } from '../connectors/postgres/sql';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { AbsenceTaker } from './known-absences';
import type { Digest, RowDigester } from './row-digest';
import { decodeRow, keyTextOf, targetFrom, type DatasetSides } from './dataset-sides';
import type { ExpectedRow, FoundRow } from './difference-finder';
import type { Value } from '../../migration/value';

/** Lets at most `perSecond` rows a second through, averaged since its start; never ahead by more than one chunk. */
function paced(perSecond: number | undefined, signal: AbortSignal): (rows: number) => Promise<void> {
  const start = Date.now();
  let seen = 0;
  return async (rows) => {
    seen += rows;
    const ahead = perSecond === undefined ? 0 : (seen / perSecond) * 1000 - (Date.now() - start);
    if (ahead > 1) await sleep(ahead, undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
  };
}

const LIMITS = { rowsMax: 2_000, bytesMax: 4 * 1024 * 1024 };

/** A connection that sees one moment of its database for as long as `work` runs. Rows hidden by row security are an error, never silently absent. */
export async function withSnapshot<T>(system: PostgresSystem, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await system.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return await work(client);
  } catch (error) {
    throw toMigrationError(error, `connection ${system.config.name}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A source row that the rules refuse although quarantine does not hold it, or that cannot be read. */
export interface RejectedRow { content: (string | null)[]; sourceKey: KeyText | null; reasons: Reason[] }

/** A source row that the target should hold, by digest; its comparable form is made (`expectedOf`) only when its bucket differs. */
export interface ExpectedDigest { state: 'expected'; digest: Digest; key: Digest; bucket: number; bytes: number; values: Value[]; source: Value[]; content: (string | null)[] }

export function expectedOf(sides: DatasetSides, { key, digest, values, source, content }: ExpectedDigest): ExpectedRow {
  return { key: key.text, digest: digest.text, values, content, sourceKey: keyTextOf(sides, source) };
}

export type SourceRow =
  | ExpectedDigest
  | { state: 'explained' }
  | { state: 'rejected'; row: RejectedRow };

/**
 * Every selected source row with what the target should hold for it. Order is the server's; memory is a few chunks.
 * `tail` narrows the SELECT (its table is called caravan_source).
 */
export async function* readExpected(client: Client, sides: DatasetSides, digester: RowDigester, absences: AbsenceTaker, signal: AbortSignal, tail = ''): AsyncGenerator<SourceRow[]> {
  const pace = paced(sides.ctx.plan.checks.max_speed, signal);
  for await (const chunk of copyText(sides.ctx.source, client, await sourceCopy(client, sides, tail), LIMITS, signal)) {
    await pace(chunk.rowCount);
    const answer: SourceRow[] = [];
    const values: Value[][] = [];
    const contents: (string | null)[][] = [];
    const averageBytes = chunk.data.length / chunk.rowCount;
    for (let at = 0; at < chunk.rowCount; at += 1) {
      let content: (string | null)[] = [];
      try {
        content = textRow(chunk, at, sides.sourceColumns.length);
        values.push(decodeRow(sides.sourceColumns, content));
        contents.push(content);
      } catch {
        const sourceKey = rawKey(sides, content);
        absences.takesKey(sourceKey);
        answer.push({ state: 'rejected', row: { content, sourceKey, reasons: [{ rule: 'unreadable' }] } });
      }
    }
    const mapped = sides.mapRows(values);
    for (const { row, reasons } of mapped.rejections) {
      const sourceKey = keyTextOf(sides, values[row] ?? []);
      const explained = absences.takesKey(sourceKey) || (sourceKey === null && absences.takesRefused());
      answer.push(explained ? { state: 'explained' } : { state: 'rejected', row: { content: contents[row] ?? [], sourceKey, reasons } });
    }
    mapped.rows.forEach((row, at) => {
      const from = mapped.origin?.[at] ?? at;
      answer.push(expectedRow(sides, digester, absences, row, values[from] ?? [], contents[from] ?? [], averageBytes));
    });
    yield answer;
  }
}

async function sourceCopy(client: Client, sides: DatasetSides, tail: string): Promise<string> {
  const columns = sides.sourceColumns.map((column) => column.name);
  await nameWithSchemas(client, sides.sourceColumns);
  return `COPY (SELECT ${selectList(sides.sourceColumns)} FROM (${await rowsOf(client, sides.ctx.sourceSelection, columns)}) caravan_source ${tail}) TO STDOUT`;
}

/** A source row as it is now. */
export interface RawRow { content: (string | null)[]; values: Value[]; key: KeyText }

/**
 * The source rows with these keys that the plan selects, in the source's own key order. Keys that are not found are absent from the answer.
 * For a few hundred keys at a time; needs a dataset with a key.
 */
export async function readByKeys(client: Client, sides: DatasetSides, keys: readonly KeyText[], signal: AbortSignal): Promise<RawRow[]> {
  const names = sides.sourceKey?.map((at) => sides.sourceColumns[at]?.name ?? '') ?? [];
  if (keys.length === 0 || names.length === 0) return [];
  const list = keys.map((key) => `(${key.map((text) => quoteLiteral(text)).join(', ')})`).join(', ');
  const tail = `WHERE (${columnList(names)}) IN (${list}) ORDER BY ${names.map((name) => `caravan_source.${quoteIdent(name)}`).join(', ')}`;
  const found: RawRow[] = [];
  for await (const chunk of copyText(sides.ctx.source, client, await sourceCopy(client, sides, tail), LIMITS, signal)) {
    for (let at = 0; at < chunk.rowCount; at += 1) {
      const content = textRow(chunk, at, sides.sourceColumns.length);
      const values = decodeRow(sides.sourceColumns, content);
      found.push({ content, values, key: keyTextOf(sides, values) ?? [] });
    }
  }
  return found;
}

function expectedRow(sides: DatasetSides, digester: RowDigester, absences: AbsenceTaker, row: Value[], source: Value[], content: (string | null)[], bytes: number): SourceRow {
  if (absences.hasKeys && absences.takesKey(keyTextOf(sides, source))) return { state: 'explained' };
  const digest = digester.digest(row);
  if (absences.hasDigests && absences.takesDigest(digest.text)) return { state: 'explained' };
  const key = sides.targetKey ? digester.digest(row, sides.targetKey) : digest;
  return { state: 'expected', digest, key, bucket: key.bucket, bytes, values: row, source, content };
}

function rawKey(sides: DatasetSides, content: (string | null)[]): KeyText | null {
  return sides.sourceKey?.map((at) => content[at] ?? '') ?? null;
}

/** A row of the target by digest, with its own text. */
export interface FoundDigest { state: 'found'; digest: Digest; key: Digest; bucket: number; content: (string | null)[] }

export function foundOf({ key, digest, content }: FoundDigest): FoundRow {
  return { key: key.text, digest: digest.text, content };
}

export type TargetRow =
  | FoundDigest
  | { state: 'unreadable' };

/** Every row of the target table (those of `where`), written columns only, as text of the server decoded to neutral values. */
export async function* readFound(client: Client, sides: DatasetSides, digester: RowDigester, signal: AbortSignal, where = ''): AsyncGenerator<TargetRow[]> {
  await nameWithSchemas(client, sides.targetColumns);
  const sql = `COPY (SELECT ${selectList(sides.targetColumns)} FROM ${await targetFrom(client, sides)} ${where}) TO STDOUT`;
  const pace = paced(sides.ctx.plan.checks.max_speed, signal);
  for await (const chunk of copyText(sides.ctx.target, client, sql, LIMITS, signal)) {
    await pace(chunk.rowCount);
    const answer: TargetRow[] = [];
    for (let at = 0; at < chunk.rowCount; at += 1) {
      try {
        const content = textRow(chunk, at, sides.targetColumns.length);
        const values = decodeRow(sides.targetColumns, content);
        const digest = digester.digest(values);
        const key = sides.targetKey ? digester.digest(values, sides.targetKey) : digest;
        answer.push({ state: 'found', digest, key, bucket: key.bucket, content });
      } catch {
        answer.push({ state: 'unreadable' });
      }
    }
    yield answer;
  }
}

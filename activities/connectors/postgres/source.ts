import type { Client } from 'pg';
import type { Batch, BatchLimits, PgcopyBatch, ValuesBatch } from '../../../migration/batch';
import type { DatasetDescription, ReadRequest, Selection, Source, SourceBatch } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import type { KeyText, SplitBounds } from '../../../migration/split';
import type { Column, Value } from '../../../migration/value';
import { binaryCodec } from './binary-codecs';
import { nameWithSchemas } from './catalog';
import { copyOut, type RowChunk } from './copy-out';
import { copyText } from './copy-text';
import { decodeText, isWellFormed } from './database-text';
import { isUnproven, keyComparison, NeighbourCheck, proveKey, refuseTwins } from './declared-key';
import { describe } from './describe';
import { toMigrationError } from './errors';
import { rowsOf } from './selection-sql';
import { planBounds } from './split-planning';
import { quoteIdent, selectList } from './sql';
import type { PostgresSystem } from './system';
import { parseCopyTextRow, parseLongCopyTextRow, textToValue, valueToText } from './values-codec';

/** Reads tables and queries of a PostgreSQL database. */
export class PostgresSource implements Source {
  constructor(
    private readonly system: PostgresSystem,
    /** Begins every message: `datasets.users.source`. */
    private readonly place: string,
  ) {}

  describe(selection: Selection): Promise<DatasetDescription> {
    return this.system.use((client) => describe(client, selection, this.place));
  }

  /** @throws MigrationError `KEY_NOT_UNIQUE` or `MAPPING_INVALID` when a declared key that no index proves repeats or is NULL: rows would be missed. */
  async planSplits(selection: Selection, key: string[], rowsPerSplit: number): Promise<SplitBounds[]> {
    const { rowsEstimate } = await this.describe(selection);
    return this.system.transaction(async (client) => {
      await proveKey(client, selection, this.place);
      return planBounds(client, { selection, key, rowsPerSplit, rowsEstimate });
    }, 'BEGIN ISOLATION LEVEL REPEATABLE READ').catch((error: unknown) => { throw toMigrationError(error, this.place); });
  }

  async *read(request: ReadRequest): AsyncGenerator<SourceBatch> {
    const client = await this.system.connect();
    try {
      await nameWithSchemas(client, request.columns);
      const sql = await copyStatement(client, request);
      const keyAt = request.key?.map((name) => request.columns.findIndex((column) => column.name === name)) ?? null;
      const decode = request.encoding === 'pgcopy' ? pgcopyBatch : (chunk: RowChunk) => valuesBatch(chunk, request.columns);
      const neighbours = keyAt && await isUnproven(client, request.selection) ? new NeighbourCheck(this.place) : null;
      if (neighbours && request.key && request.cursor) await refuseTwins(client, request.selection, request.key, request.cursor, this.place);
      const chunks = request.encoding === 'pgcopy' ? copyOut(client, sql, 'binary', request.limits, request.signal) : copyText(this.system, client, sql, request.limits, request.signal);
      for await (const chunk of chunks) {
        const batch = decode(chunk);
        const keyOf = (row: number): KeyText | null => (keyAt ? readableKey(keyAt.map((at) => fieldText(batch, row, at, request.columns) ?? ''), this.place) : null);
        if (neighbours) for (let row = 0; row < batch.rowCount; row += 1) neighbours.see(keyOf(row));
        yield { batch, endCursor: keyOf(batch.rowCount - 1) };
      }
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      throw toMigrationError(error, this.place);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  textOf(batch: Batch, row: number, columns: Column[]): (string | null)[] {
    return rowText(batch, row, columns);
  }
}

/**
 * The key as it is, if the ledger can hold it.
 * @throws MigrationError `ROW_REFUSED` when it holds bytes that are no UTF-8.
 */
export function readableKey(key: KeyText, place: string): KeyText {
  if (key.every(isWellFormed)) return key;
  throw new MigrationError('ROW_REFUSED', `${place}: a key holds bytes that mean nothing in the encoding of the database (or that are no UTF-8, where it is SQL_ASCII). Read the table through a query without a key: the rows are then copied in one piece, bytes and all.`);
}

/** The source's own text of each column of a row; null for NULL. */
export function rowText(batch: Batch, row: number, columns: Column[]): (string | null)[] {
  return columns.map((_, at) => fieldText(batch, row, at, columns));
}

async function copyStatement(client: Client, request: ReadRequest): Promise<string> {
  const { key, bounds, cursor } = request;
  const conditions: string[] = [];
  const lower = cursor ?? bounds.after;
  if (key && lower) conditions.push(keyComparison(key, '>', lower));
  if (key && bounds.upTo) conditions.push(keyComparison(key, '<=', bounds.upTo));
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '';
  // By the columns themselves: a column that is read in another form has that form under the same name.
  const order = key ? ` ORDER BY ${key.map((name) => `caravan_source.${quoteIdent(name)}`).join(', ')}` : '';
  const format = request.encoding === 'pgcopy' ? ' (FORMAT binary)' : '';
  const columns = request.columns.map((column) => column.name);
  return `COPY (SELECT ${selectList(request.columns)} FROM (${await rowsOf(client, request.selection, columns)}) caravan_source${where}${order}) TO STDOUT${format}`;
}

function pgcopyBatch(chunk: RowChunk): PgcopyBatch {
  return { encoding: 'pgcopy', rowCount: chunk.rowCount, byteCount: chunk.data.length, data: chunk.data, offsets: chunk.offsets };
}

function valuesBatch(chunk: RowChunk, columns: Column[]): ValuesBatch {
  const rows: Value[][] = new Array<Value[]>(chunk.rowCount);
  for (let row = 0; row < chunk.rowCount; row += 1) {
    const fields = textRow(chunk, row, columns.length);
    rows[row] = columns.map((column, at) => textToValue(column.kind, fields[at] ?? null));
  }
  return { encoding: 'values', rowCount: chunk.rowCount, byteCount: chunk.data.length, rows };
}

/** Rows above this size are taken apart as bytes: as one string they might be longer than a string can be. */
const LONG_ROW = 64 * 1024 * 1024;

/** The `width` fields of one row of COPY text; null for NULL. @throws MigrationError `ROW_REFUSED` for a field above 512 MB. */
export function textRow(chunk: RowChunk, row: number, width: number): (string | null)[] {
  // An empty line is one empty field, or none.
  if (width === 0) return [];
  const loose = chunk.loose?.get(row);
  if (loose) return loose;
  const from = chunk.offsets[row] ?? 0;
  const to = (chunk.offsets[row + 1] ?? 1) - 1;
  if (to - from < LONG_ROW) return parseCopyTextRow(decodeText(chunk.data, from, to));
  return parseLongCopyTextRow(chunk.data.subarray(from, to));
}

function fieldText(batch: Batch, row: number, at: number, columns: Column[]): string | null {
  const column = columns[at];
  if (!column) return null;
  if (batch.encoding === 'values') return valueToText(column.kind, batch.rows[row]?.[at] ?? null);
  return pgcopyFieldText(batch, row, at, column);
}

function pgcopyFieldText(batch: PgcopyBatch, row: number, wanted: number, column: Column): string | null {
  let at = (batch.offsets[row] ?? 0) + 2;
  for (let i = 0; i < wanted; i += 1) at += 4 + Math.max(0, batch.data.readInt32BE(at));
  const length = batch.data.readInt32BE(at);
  if (length < 0) return null;
  const codec = binaryCodec(column.wireType);
  if (codec) return valueToText(column.kind, codec.decode(batch.data, at + 4, length));
  return `binary:\\x${batch.data.toString('hex', at + 4, at + 4 + length)}`;
}

/** Default memory limits of a batch. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;

export function batchLimits(rowsMax: number, bytesMax = BATCH_BYTES_MAX): BatchLimits {
  return { rowsMax, bytesMax: Math.min(bytesMax, BATCH_BYTES_MAX) };
}

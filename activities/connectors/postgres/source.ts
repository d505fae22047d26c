import type { Client, ClientBase } from 'pg';
import type { Batch, BatchLimits, PgcopyBatch, ValuesBatch } from '../../../migration/batch';
import type { DatasetDescription, ReadRequest, Selection, Source, SourceBatch } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import type { KeyText, SplitBounds } from '../../../migration/split';
import type { Column, Value } from '../../../migration/value';
import { binaryCodec } from './binary-codecs';
import { findRelation, nameWithSchemas, readKeys, withEmptySearchPath } from './catalog';
import { copyOut, type RowChunk } from './copy-out';
import { decodeText, isWellFormed } from './database-text';
import { describe, selectAll } from './describe';
import { toMigrationError } from './errors';
import { columnList, parseTableName, quoteIdent, quoteLiteral, selectList } from './sql';
import type { PostgresSystem } from './system';
import { parseCopyTextRow, textToValue, valueToText } from './values-codec';

/** Above this many rows split bounds come from a sample instead of a scan of the key's index. */
const EXACT_ROWS_MAX = 2_000_000;
const SAMPLE_ROWS = 50_000;

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
    await this.system.use((client) => proveKey(client, selection, this.place));
    const wanted = Math.ceil(rowsEstimate / rowsPerSplit);
    if (wanted <= 1) return [{ after: null, upTo: null }];
    const marks = await this.system.use(async (client) => {
      const from = await rowsOf(client, selection);
      const sample = rowsEstimate > EXACT_ROWS_MAX && await isStored(client, selection) ? ` TABLESAMPLE SYSTEM (${Math.min(100, (SAMPLE_ROWS / rowsEstimate) * 100)}) REPEATABLE (1)` : '';
      return quantiles(client, sample === '' ? `(${from}) s` : `${await tableOf(client, selection)}${sample}`, sample === '' ? undefined : selection.where, key, wanted);
    }).catch((error: unknown) => { throw toMigrationError(error, this.place); });
    // The driver replaces what is no UTF-8: no bound can be made of that.
    if (marks.some((mark) => mark.some((part) => part.includes('\ufffd')))) return [{ after: null, upTo: null }];
    const bounds: SplitBounds[] = [];
    let after: KeyText | null = null;
    for (const mark of marks) {
      bounds.push({ after, upTo: mark });
      after = mark;
    }
    bounds.push({ after, upTo: null });
    return bounds;
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
      for await (const chunk of copyOut(client, sql, request.encoding === 'pgcopy' ? 'binary' : 'text', request.limits, request.signal)) {
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
  throw new MigrationError('ROW_REFUSED', `${place}: a key holds bytes that are no UTF-8, and the database (SQL_ASCII) does not say what they mean. Read the table through a query without a key: the rows are then copied in one piece, bytes and all.`);
}

/** The source's own text of each column of a row; null for NULL. */
export function rowText(batch: Batch, row: number, columns: Column[]): (string | null)[] {
  return columns.map((_, at) => fieldText(batch, row, at, columns));
}

async function tableOf(client: ClientBase, selection: Selection): Promise<string> {
  const table = parseTableName(selection.table ?? '');
  const relation = await findRelation(client, table);
  return `${relation?.hasChildren ? 'ONLY ' : ''}${quoteIdent(table.schema)}.${quoteIdent(table.name)}`;
}

/** A table or partitioned root: what TABLESAMPLE takes. */
async function isStored(client: ClientBase, selection: Selection): Promise<boolean> {
  if (selection.table === undefined) return false;
  const relation = await findRelation(client, parseTableName(selection.table));
  return relation?.kind === 'table' || relation?.kind === 'partitioned' || relation?.kind === 'materialized_view';
}

/** The key is declared in the plan, and no unique index of the source vouches for it. */
async function isUnproven(client: ClientBase, selection: Selection): Promise<boolean> {
  const declared = selection.key;
  if (!declared) return false;
  if (selection.table === undefined) return true;
  const relation = await findRelation(client, parseTableName(selection.table));
  const proven = relation ? await withEmptySearchPath(client, () => readKeys(client, [relation.oid])) : [];
  return !proven.some(({ columns }) => columns.every((column) => declared.includes(column)));
}

async function proveKey(client: ClientBase, selection: Selection, place: string): Promise<void> {
  if (!selection.key || !await isUnproven(client, selection)) return;
  const from = `FROM (${await rowsOf(client, selection)}) caravan_source`;
  const { rows: [found] } = await client.query<{ blank: boolean; repeated: boolean }>(
    `SELECT EXISTS (SELECT ${from} WHERE ${selection.key.map((name) => `${quoteIdent(name)} IS NULL`).join(' OR ')}) AS blank,
       EXISTS (SELECT ${from} GROUP BY ${columnList(selection.key)} HAVING count(*) > 1) AS repeated`);
  if (found?.blank) throw new MigrationError('MAPPING_INVALID', `${place}: the declared key is NULL in some rows, and they would be missed. Declare other columns, or leave key out: the rows are then copied in one piece.`);
  if (found?.repeated) throw notUnique(place);
}

/** A resumed read starts behind its cursor: a second row of the cursor's own key would be skipped. */
async function refuseTwins(client: ClientBase, selection: Selection, key: string[], cursor: KeyText, place: string): Promise<void> {
  const { rowCount } = await client.query(`SELECT 1 FROM (${await rowsOf(client, selection)}) caravan_source WHERE ${comparison(key, '=', cursor)} LIMIT 2`);
  if (rowCount === 2) throw notUnique(place);
}

function notUnique(place: string): MigrationError {
  return new MigrationError('KEY_NOT_UNIQUE', `${place}: two rows have the same key. Declare a key that is unique, or leave key out: the rows are then copied in one piece.`);
}

/** All rows of the selection; INHERITS parents without their children. */
export async function rowsOf(client: ClientBase, selection: Selection): Promise<string> {
  if (selection.table === undefined) return selectAll(selection);
  const relation = await findRelation(client, parseTableName(selection.table));
  return selectAll(selection, relation?.hasChildren ?? false);
}

/** Keys that cut the dataset into `parts` about equal ones, fewer when keys repeat. Ascending, in the key's own collation. */
async function quantiles(client: ClientBase, from: string, where: string | undefined, key: string[], parts: number): Promise<KeyText[]> {
  const columns = columnList(key);
  const { rows } = await client.query<{ mark: KeyText }>(
    `SELECT ARRAY[${key.map((name) => `${quoteIdent(name)}::text`).join(', ')}] AS mark
     FROM (SELECT ${columns}, row_number() OVER (ORDER BY ${columns}) AS position, count(*) OVER () AS total
           FROM ${from}${where === undefined ? '' : ` WHERE (${where})`}) numbered
     WHERE position % greatest(1, total / ${parts}) = 0 AND position < total ORDER BY ${columns} LIMIT ${parts - 1}`,
  );
  return rows.map((row) => row.mark);
}

async function copyStatement(client: Client, request: ReadRequest): Promise<string> {
  const { key, bounds, cursor } = request;
  const conditions: string[] = [];
  const lower = cursor ?? bounds.after;
  if (key && lower) conditions.push(comparison(key, '>', lower));
  if (key && bounds.upTo) conditions.push(comparison(key, '<=', bounds.upTo));
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '';
  const order = key ? ` ORDER BY ${columnList(key)}` : '';
  const format = request.encoding === 'pgcopy' ? ' (FORMAT binary)' : '';
  return `COPY (SELECT ${selectList(request.columns)} FROM (${await rowsOf(client, request.selection)}) caravan_source${where}${order}) TO STDOUT${format}`;
}

/** Row values compare as a whole: `(a, b) > (x, y)`. The column's own type and collation decide. */
function comparison(key: string[], operator: '>' | '<=' | '=', bound: KeyText): string {
  return `(${columnList(key)}) ${operator} (${bound.map((text) => quoteLiteral(text)).join(', ')})`;
}

function pgcopyBatch(chunk: RowChunk): PgcopyBatch {
  return { encoding: 'pgcopy', rowCount: chunk.rowCount, byteCount: chunk.data.length, data: chunk.data, offsets: chunk.offsets };
}

function valuesBatch(chunk: RowChunk, columns: Column[]): ValuesBatch {
  const rows: Value[][] = new Array<Value[]>(chunk.rowCount);
  for (let row = 0; row < chunk.rowCount; row += 1) {
    rows[row] = textRow(chunk, row).map((text, at) => textToValue(columns[at]?.kind ?? 'opaque', text));
  }
  return { encoding: 'values', rowCount: chunk.rowCount, byteCount: chunk.data.length, rows };
}

/** Fields of one row of COPY text; null for NULL. */
export function textRow(chunk: RowChunk, row: number): (string | null)[] {
  return parseCopyTextRow(decodeText(chunk.data, chunk.offsets[row] ?? 0, (chunk.offsets[row + 1] ?? 1) - 1));
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

/** A declared key has no index that proves it: equal neighbours in key order would be skipped on resume. */
class NeighbourCheck {
  private last: string | null = null;

  constructor(private readonly place: string) {}

  see(key: KeyText | null): void {
    const text = JSON.stringify(key);
    if (text === this.last) throw notUnique(this.place);
    this.last = text;
  }
}

/** Default memory limits of a batch. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;

export function batchLimits(rowsMax: number, bytesMax = BATCH_BYTES_MAX): BatchLimits {
  return { rowsMax, bytesMax: Math.min(bytesMax, BATCH_BYTES_MAX) };
}

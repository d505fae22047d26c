import type { Client, ClientBase } from 'pg';
import type { BatchLimits } from '../../../migration/batch';
import { copyOut, type RowChunk } from './copy-out';
import { looseText } from './database-text';
import { sqlState } from './errors';
import type { PostgresSystem } from './system';
import { parseCopyTextRow } from './values-codec';

/** Encodings of which every byte has a meaning in UTF-8, and SQL_ASCII, whose bytes arrive as they are. */
const COMPLETE = new Set([
  'UTF8', 'SQL_ASCII', 'LATIN1', 'LATIN2', 'LATIN4', 'LATIN5', 'LATIN6', 'LATIN7', 'LATIN8', 'LATIN9', 'LATIN10', 'ISO_8859_5', 'WIN1256', 'WIN866', 'KOI8R', 'KOI8U',
]);
/** The server cannot tell a text in UTF-8: a character without an equivalent, or bytes that are no character. */
const NO_EQUIVALENT = new Set(['22P05', '22021']);
const TAB = 0x09;
const NEWLINE = 0x0a;

/** The database's encoding, where a text may hold bytes that mean nothing in it (0x81 in WIN1252); else null. */
export async function looseEncoding(client: ClientBase): Promise<string | null> {
  const { rows: [found] } = await client.query<{ encoding: string }>(`SELECT pg_catalog.current_setting('server_encoding') AS encoding`);
  return found && !COMPLETE.has(found.encoding) ? found.encoding : null;
}

/**
 * COPY ... TO STDOUT as text in UTF-8, as `copyOut`. Of a database whose encoding is not complete one such row would end the statement: there the rows come
 * in the database's own encoding, the server converts them by the chunk, and the rows that it cannot convert are in `loose`, such texts as `looseText`,
 * which no server takes: the row ends in quarantine.
 */
export async function* copyText(system: PostgresSystem, client: Client, sql: string, limits: BatchLimits, signal: AbortSignal): AsyncGenerator<RowChunk> {
  const encoding = await looseEncoding(client);
  if (encoding === null) {
    yield* copyOut(client, sql, 'text', limits, signal);
    return;
  }
  const { rows: [own] } = await client.query<{ sql: Buffer }>('SELECT pg_catalog.convert_to($1, $2) AS sql', [sql, encoding]);
  await client.query(`SET client_encoding = 'SQL_ASCII'`);
  for await (const chunk of copyOut(client, own?.sql ?? Buffer.alloc(0), 'text', limits, signal)) yield converted(chunk, (bytes) => convert(system, encoding, bytes));
  await client.query(`SET client_encoding = 'UTF8'`);
}

type Convert = (bytes: Buffer) => Promise<Buffer | null>;

/** Null when something in it cannot be converted. */
function convert(system: PostgresSystem, encoding: string, bytes: Buffer): Promise<Buffer | null> {
  if (bytes.every((byte) => byte < 0x80)) return Promise.resolve(bytes);
  return system.use((client) => client.query<{ text: Buffer }>(`SELECT pg_catalog.convert($1, $2, 'UTF8') AS text`, [bytes, encoding]).then(
    ({ rows }) => rows[0]?.text ?? null,
    (error: unknown) => {
      // Caught in here: the connection is as good as before.
      if (NO_EQUIVALENT.has(sqlState(error) ?? '')) return null;
      throw error;
    },
  ));
}

async function converted(chunk: RowChunk, toUtf8: Convert): Promise<RowChunk> {
  const parts: Buffer[] = [];
  const loose = new Map<number, (string | null)[]>();
  const take = async (from: number, to: number): Promise<void> => {
    const bytes = chunk.data.subarray(chunk.offsets[from], chunk.offsets[to]);
    const text = await toUtf8(bytes);
    if (text) parts.push(text);
    else if (to - from === 1) {
      loose.set(from, await looseFields(bytes.subarray(0, -1), toUtf8));
      parts.push(Buffer.from('\n'));
    } else {
      const middle = (from + to) >> 1;
      await take(from, middle);
      await take(middle, to);
    }
  };
  await take(0, chunk.rowCount);
  const data = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
  return { data, offsets: lineOffsets(data, chunk.rowCount), rowCount: chunk.rowCount, ...(loose.size > 0 && { loose }) };
}

async function looseFields(line: Buffer, toUtf8: Convert): Promise<(string | null)[]> {
  const fields: (string | null)[] = [];
  for (let from = 0; from <= line.length;) {
    const tab = line.indexOf(TAB, from);
    const to = tab < 0 ? line.length : tab;
    const field = line.subarray(from, to);
    const text = await toUtf8(field);
    fields.push(...parseCopyTextRow(text ? text.toString() : looseText(field)));
    from = to + 1;
  }
  return fields;
}

/** A raw line end always ends a row: those of values are escaped. */
function lineOffsets(data: Buffer, rowCount: number): Uint32Array {
  const offsets = new Uint32Array(rowCount + 1);
  for (let row = 1; row <= rowCount; row += 1) offsets[row] = data.indexOf(NEWLINE, offsets[row - 1]) + 1;
  return offsets;
}

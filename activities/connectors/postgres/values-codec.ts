import { MigrationError } from '../../../migration/errors';
import type { Value, ValueKind } from '../../../migration/value';
import { decodeText, encodeText } from './database-text';

/**
 * PostgreSQL's text output (session settings of system.ts) to and from neutral values.
 * Both directions are exact: `valueToText(kind, textToValue(kind, text))` means the same value to the server.
 */
export function textToValue(kind: ValueKind, text: string | null): Value {
  if (text === null) return null;
  switch (kind) {
    case 'boolean': return text === 't' || text === 'true';
    case 'integer': return BigInt(text);
    case 'float': return Number(text);
    case 'bytes': return bytesOf(text);
    case 'instant': return instantOf(text);
    case 'datetime': return datetimeOf(text);
    default: return text;
  }
}

/** The text that the server reads as this value; null for NULL. */
export function valueToText(kind: ValueKind, value: Value): string | null {
  if (value === null) return null;
  switch (kind) {
    case 'boolean': return value === true ? 't' : 'f';
    case 'float': return Object.is(value, -0) ? '-0' : String(value);
    case 'bytes': return `\\x${Buffer.from(value as Uint8Array).toString('hex')}`;
    default: return typeof value === 'string' ? value : String(value);
  }
}

function bytesOf(text: string): Uint8Array {
  if (text.startsWith('\\x')) return new Uint8Array(Buffer.from(text.slice(2), 'hex'));
  throw new Error('bytea in hex form expected: bytea_output is set for every session');
}

// `2026-01-02 03:04:05.123+00`: only four-digit years of our era have the neutral form.
const REGULAR = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00)?$/;

function instantOf(text: string): string {
  return REGULAR.test(text) ? `${text.slice(0, 10)}T${text.slice(11, -3)}Z` : text;
}

function datetimeOf(text: string): string {
  return REGULAR.test(text) ? `${text.slice(0, 10)}T${text.slice(11)}` : text;
}

const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** One row of COPY text (without its line end): a raw tab always separates, NULL is `\N`. */
export function parseCopyTextRow(line: string): (string | null)[] {
  const fields: (string | null)[] = line.split('\t');
  if (!line.includes('\\')) return fields;
  for (let i = 0; i < fields.length; i += 1) {
    const field = fields[i];
    if (field === '\\N') fields[i] = null;
    else if (field?.includes('\\')) fields[i] = field.length > LONG_FIELD ? unescapeBytes(field) : field.replace(/\\(.)/gs, (_, char: string) => ESCAPES[char] ?? char);
  }
  return fields;
}

/** Above this many characters a field is unescaped as bytes: a replacement per escape would take half a minute for 30 MB of them. */
const LONG_FIELD = 10_000;
const BACKSLASH = 0x5c;
const TAB = 0x09;
const BYTE_ESCAPES = new Map(Object.entries(ESCAPES).map(([char, meant]) => [char.charCodeAt(0), meant.charCodeAt(0)]));

/** The same from bytes, field by field. @throws MigrationError `ROW_REFUSED` for a field that is longer than a string can be. */
export function parseLongCopyTextRow(line: Buffer): (string | null)[] {
  const fields: (string | null)[] = [];
  for (let from = 0; from <= line.length;) {
    const tab = line.indexOf(TAB, from);
    const to = tab < 0 ? line.length : tab;
    const field = stringOf(line.subarray(from, to));
    fields.push(field === '\\N' ? null : field.includes('\\') ? unescapeBytes(field) : field);
    from = to + 1;
  }
  return fields;
}

function stringOf(bytes: Buffer): string {
  try {
    return decodeText(bytes, 0, bytes.length);
  } catch {
    throw new MigrationError('ROW_REFUSED', `a value of ${Math.round(bytes.length / 1024 / 1024)} MB is too long to be handled as text. Leave its column behind with \`transform: drop\`, or keep transforms and rules off the dataset: its rows then travel as bytes.`);
  }
}

function unescapeBytes(field: string): string {
  const bytes = encodeText(field);
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    let byte = bytes[at]!;
    if (byte === BACKSLASH && at + 1 < bytes.length) {
      at += 1;
      byte = BYTE_ESCAPES.get(bytes[at]!) ?? bytes[at]!;
    }
    bytes[length] = byte;
    length += 1;
  }
  return decodeText(bytes, 0, length);
}

const NEEDS_ESCAPE = /[\\\n\r\t]/;

/** One row of COPY text, line end included. */
export function formatCopyTextRow(fields: readonly (string | null)[]): string {
  let line = '';
  for (let i = 0; i < fields.length; i += 1) {
    if (i > 0) line += '\t';
    const field = fields[i];
    if (field === null || field === undefined) line += '\\N';
    else line += NEEDS_ESCAPE.test(field) ? escapeField(field) : field;
  }
  return `${line}\n`;
}

/** As `formatCopyTextRow`, for rows that are too long for one string: in pieces. */
export function* formatLongCopyTextRow(fields: readonly (string | null)[]): Generator<Buffer> {
  for (let i = 0; i < fields.length; i += 1) {
    if (i > 0) yield Buffer.from('\t');
    const field = fields[i] ?? null;
    if (field === null) yield Buffer.from('\\N');
    else for (let at = 0; at < field.length;) {
      const end = pieceEnd(field, at);
      const piece = field.slice(at, end);
      yield encodeText(NEEDS_ESCAPE.test(piece) ? escapeField(piece) : piece);
      at = end;
    }
  }
  yield Buffer.from('\n');
}

const PIECE_CHARACTERS = 1024 * 1024;

/** Never between the two halves of one character. */
function pieceEnd(field: string, at: number): number {
  const end = Math.min(field.length, at + PIECE_CHARACTERS);
  return end < field.length && (field.charCodeAt(end - 1) & 0xfc00) === 0xd800 ? end + 1 : end;
}

function escapeField(field: string): string {
  return field.replace(/[\\\n\r\t]/g, (char) => (char === '\\' ? '\\\\' : char === '\n' ? '\\n' : char === '\r' ? '\\r' : '\\t'));
}

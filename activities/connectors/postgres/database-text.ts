import { isUtf8 } from 'node:buffer';

/**
 * Text of a database whose encoding is not checked (SQL_ASCII), to and from strings without loss: a byte that is no UTF-8 becomes the lone surrogate
 * U+DC00 + byte, which no valid text holds, and becomes that byte again on the way out (after Python's PEP 383, "surrogateescape").
 * Valid UTF-8 is decoded as ever. Other lone surrogates leave as three bytes that no server takes for UTF-8: refused, never replaced.
 */
const ESCAPE = 0xdc00;
const REPLACEMENT = '\ufffd';

export function decodeText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  if (!text.includes(REPLACEMENT) || isUtf8(bytes.subarray(start, end))) return text;
  return decodeInvalid(bytes, start, end);
}

const LOOSE = '\0';

/** Text whose bytes mean nothing: none of them but ASCII is taken for a character, and the NUL before them keeps any server from doing so. */
export function looseText(bytes: Buffer): string {
  return LOOSE + bytes.toString('latin1').replace(/[\x80-\xff]/g, (char) => String.fromCharCode(ESCAPE + char.charCodeAt(0)));
}

export function encodeText(text: string): Buffer {
  return isWellFormed(text) ? Buffer.from(text) : encodeIllFormed(text);
}

/** False for a text that holds bytes which are no UTF-8. */
export function isWellFormed(text: string): boolean {
  // In Node since 20; the compiler's library is older.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

function decodeInvalid(bytes: Buffer, start: number, end: number): string {
  const parts: string[] = [];
  let valid = start;
  for (let at = start; at < end;) {
    const length = sequenceLength(bytes, at, end);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.toString('utf8', valid, at), String.fromCharCode(ESCAPE + bytes[at]!));
    at += 1;
    valid = at;
  }
  parts.push(bytes.toString('utf8', valid, end));
  return parts.join('');
}

/** Bytes of the well-formed sequence at `at`; 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number, end: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && at + length <= end && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

function encodeIllFormed(text: string): Buffer {
  const parts: Buffer[] = [];
  let valid = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    if (text.codePointAt(at)! > 0xffff) {
      at += 1;
      continue;
    }
    parts.push(Buffer.from(text.slice(valid, at)), loneSurrogate(unit));
    valid = at + 1;
  }
  parts.push(Buffer.from(text.slice(valid)));
  return Buffer.concat(parts);
}

function loneSurrogate(unit: number): Buffer {
  if (unit >= ESCAPE + 0x80 && unit <= ESCAPE + 0xff) return Buffer.from([unit - ESCAPE]);
  return Buffer.from([0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 63), 0x80 | (unit & 63)]);
}

const STORED_BYTES = 'bytes:\\x';
const NOT_ASCII = /[^\0-\x7f]/;

/** The same text in a form that a database can hold: what is no UTF-8, and where it has another encoding what is not ASCII, as hexadecimal bytes. `readStored` undoes it. */
export function storedText(text: string | null, asciiOnly = false): string | null {
  if (text === null || (isWellFormed(text) && !text.startsWith(STORED_BYTES) && !(asciiOnly && NOT_ASCII.test(text)))) return text;
  return STORED_BYTES + encodeText(text).toString('hex');
}

export function readStored(text: string | null): string | null {
  if (text === null || !text.startsWith(STORED_BYTES)) return text;
  const bytes = Buffer.from(text.slice(STORED_BYTES.length), 'hex');
  return bytes[0] === 0 ? looseText(bytes.subarray(1)) : decodeText(bytes, 0, bytes.length);
}

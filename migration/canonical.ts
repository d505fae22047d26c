/**
 * The canonical form of values, in which two systems are compared: each value is a tag, its length and its bytes, so that no two different rows have one form.
 * Values that mean the same have the same form; nothing else does.
 */
import { hash128, type Hash128 } from './canonical-hash';
import { JsonNumber, readJson, type JsonNode } from './canonical-json';
import { formatSeconds, parseIso, parseTime } from './transform/civil-time';
import { decimalParts } from './transform/decimal-arithmetic';
import { STRING_KINDS, textOfValue } from './transform/text-form';
import { parseUuid } from './transform/uuid-text';
import type { Column, Value, ValueKind } from './value';

export { addHash, hash128, hashText, type Hash128 } from './canonical-hash';

export interface CanonicalPolicy {
  /** `ignore`: 1.10 = 1.1, as databases compare. `exact`: the digits after the point count. */
  decimalScale: 'ignore' | 'exact';
}

export const DEFAULT_POLICY: CanonicalPolicy = { decimalScale: 'ignore' };

const TAG: Readonly<Record<ValueKind, number>> = {
  boolean: 66, integer: 73, decimal: 68, float: 70, text: 83, bytes: 89, instant: 84, datetime: 76, date: 67, time: 72, json: 74, uuid: 85, opaque: 79,
};
const TAG_NULL = 78;
/** Marks content that is outside the kind's normal form (`infinity`, BC dates, unreadable JSON): compared as text. */
const AS_TEXT = 33;

/** Of longer texts the room is counted first: three bytes per character would be a lot of memory for nothing. */
const LONG_TEXT = 1024 * 1024;

/** Bytes that `CanonicalBytes.text` takes at most: a pair of surrogates counts as two of three bytes. */
function utf8Length(value: string): number {
  let length = 0;
  for (let i = 0; i < value.length; i += 1) {
    const c = value.charCodeAt(i);
    length += c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
  }
  return length;
}

/** A growing byte string. Reuse one for many rows: `length = 0` starts anew. */
export class CanonicalBytes {
  bytes = new Uint8Array(1024);
  length = 0;
  private view = new DataView(this.bytes.buffer);

  private room(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.length] = value;
    this.length += 1;
  }

  int32(value: number): void {
    this.room(4);
    this.view.setInt32(this.length, value, true);
    this.length += 4;
  }

  float64(value: number): void {
    this.room(8);
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  raw(value: Uint8Array): void {
    this.room(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  /** The digits of `text[from, to)`, its point left out. */
  digits(text: string, from: number, to: number): void {
    this.room(to - from);
    for (let i = from; i < to; i += 1) {
      const c = text.charCodeAt(i);
      if (c !== 46) this.bytes[this.length++] = c;
    }
  }

  /** UTF-8. A lone surrogate takes its own three bytes, so that it differs from U+FFFD. */
  text(value: string): void {
    this.room(value.length > LONG_TEXT ? utf8Length(value) : value.length * 3);
    const { bytes } = this;
    let at = this.length;
    for (let i = 0; i < value.length; i += 1) {
      let c = value.charCodeAt(i);
      if (c < 0x80) { bytes[at++] = c; continue; }
      if (c < 0x800) { bytes[at++] = 0xc0 | (c >> 6); bytes[at++] = 0x80 | (c & 63); continue; }
      if ((c & 0xfc00) === 0xd800 && i + 1 < value.length && (value.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
        c = 0x10000 + ((c & 0x3ff) << 10) + (value.charCodeAt(i + 1) & 0x3ff);
        i += 1;
        bytes[at++] = 0xf0 | (c >> 18); bytes[at++] = 0x80 | ((c >> 12) & 63);
      } else {
        bytes[at++] = 0xe0 | (c >> 12);
      }
      bytes[at++] = 0x80 | ((c >> 6) & 63); bytes[at++] = 0x80 | (c & 63);
    }
    this.length = at;
  }

  /** Leaves room for a length and returns its place. */
  open(): number {
    this.int32(0);
    return this.length;
  }

  /** Writes the length of what came after `open`. */
  close(start: number): void {
    this.view.setInt32(start - 4, this.length - start, true);
  }
}

/** Appends one value: tag, length, content. NULL is a tag of its own. */
export function appendCanonical(out: CanonicalBytes, kind: ValueKind, value: Value, policy: CanonicalPolicy = DEFAULT_POLICY): void {
  if (value === null) {
    out.byte(TAG_NULL);
    return;
  }
  out.byte(TAG[kind]);
  const start = out.open();
  if (!appendContent(out, kind, value, policy)) {
    out.byte(AS_TEXT);
    out.text(textOfValue(value));
  }
  out.close(start);
}

/** False, with nothing appended, when the value is outside the normal form of its kind. */
function appendContent(out: CanonicalBytes, kind: ValueKind, value: Exclude<Value, null>, policy: CanonicalPolicy): boolean {
  if (STRING_KINDS.has(kind) !== (typeof value === 'string')) return false;
  switch (kind) {
    case 'boolean': out.byte(value === true ? 1 : 0); return true;
    case 'integer': out.text(String(value)); return true;
    case 'decimal': return appendDecimal(out, value as string, policy);
    // One NaN for all, -0 apart from 0: as the bits are.
    case 'float': out.float64(Number.isNaN(value) ? NaN : (value as number)); return true;
    case 'text': case 'opaque': out.text(value as string); return true;
    case 'bytes': out.raw(value as Uint8Array); return true;
    case 'instant': case 'datetime': case 'date': return appendMoment(out, kind, value as string);
    case 'time': {
      const time = parseTime(value as string);
      if (time === null) return false;
      out.text(time);
      return true;
    }
    case 'uuid': {
      const uuid = parseUuid(value as string);
      if (uuid === null) return false;
      out.text(uuid);
      return true;
    }
    case 'json': {
      const node = readJson(value as string);
      if (node === undefined) return false;
      appendJson(out, node, policy);
      return true;
    }
  }
}

/** Sign, exponent and digits without zeros at either end; with `exact` also the digits after the point. */
function appendDecimal(out: CanonicalBytes, text: string, policy: CanonicalPolicy): boolean {
  if (policy.decimalScale === 'ignore' && appendPlainDecimal(out, text)) return true;
  const parts = decimalParts(text);
  if (parts === null || Math.abs(parts.exponent) > 0x7fffffff) return false;
  out.byte(parts.negative ? 45 : 43);
  out.int32(parts.exponent);
  if (policy.decimalScale === 'exact') {
    out.int32(displayScale(text));
  }
  out.text(parts.digits);
  return true;
}

/** Digits after the point that a numeric made of this text shows: `1.50` has two, `1.5e1` none. */
function displayScale(text: string): number {
  const e = text.search(/e/i);
  const mantissa = e < 0 ? text : text.slice(0, e);
  const point = mantissa.indexOf('.');
  const fraction = point < 0 ? 0 : mantissa.length - point - 1;
  return Math.max(0, fraction - (e < 0 ? 0 : Number(text.slice(e + 1))));
}

/** The same for the usual case, digits with at most one point, in one pass and without a string in between. False, with nothing appended, for all else. */
function appendPlainDecimal(out: CanonicalBytes, text: string): boolean {
  const from = text.charCodeAt(0) === 45 ? 1 : 0;
  let point = text.length;
  let first = -1;
  let last = -1;
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === 46 && point === text.length) { point = i; continue; }
    if (c < 48 || c > 57) return false;
    if (c !== 48) {
      if (first < 0) first = i;
      last = i;
    }
  }
  if (first < 0) return false;
  out.byte(from === 1 ? 45 : 43);
  out.int32(last < point ? point - 1 - last : point - last);
  out.digits(text, first, last + 1);
  return true;
}

/** UTC, `T`, fraction without trailing zeros: the text of `value.ts`, which is unique. Other spellings are brought to it. */
function appendMoment(out: CanonicalBytes, kind: ValueKind, text: string): boolean {
  if (isCanonicalMoment(kind, text)) {
    out.text(text);
    return true;
  }
  const moment = parseIso(text);
  if (moment === null || (kind === 'instant') !== (moment.offset !== null) || kind === 'date') return false;
  const utc = formatSeconds(moment.seconds - (moment.offset ?? 0), moment.fraction);
  if (utc === null) return false;
  out.text(kind === 'instant' ? `${utc}Z` : utc);
  return true;
}

/** Tells by its punctuation whether a text is in canonical form; its digits are not judged. */
function isCanonicalMoment(kind: ValueKind, text: string): boolean {
  if (text.charCodeAt(0) < 48 || text.charCodeAt(0) > 57 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return false;
  if (kind === 'date') return text.length === 10;
  const end = kind === 'instant' ? text.length - 1 : text.length;
  if (kind === 'instant' && text.charCodeAt(end) !== 90) return false;
  if (text.charCodeAt(10) !== 84 || text.charCodeAt(13) !== 58 || text.charCodeAt(16) !== 58) return false;
  return end === 19 || (end > 20 && end <= 26 && text.charCodeAt(19) === 46 && text.charCodeAt(end - 1) !== 48 && text.indexOf('+') < 0);
}

/** Keys in one fixed order, numbers as exact decimals, every part with its length. */
function appendJson(out: CanonicalBytes, node: JsonNode, policy: CanonicalPolicy): void {
  if (node === null) { out.byte(TAG_NULL); return; }
  if (typeof node === 'boolean') { out.byte(node ? 1 : 0); return; }
  if (typeof node === 'string') { appendJsonText(out, node); return; }
  if (node instanceof JsonNumber) {
    out.byte(TAG.decimal);
    const start = out.open();
    // The grammar of JSON numbers is part of that of decimals; only absurd exponents are not.
    if (!appendDecimal(out, node.text, policy)) out.text(node.text);
    out.close(start);
    return;
  }
  if (Array.isArray(node)) {
    out.byte(91);
    out.int32(node.length);
    for (const item of node) appendJson(out, item, policy);
    return;
  }
  out.byte(123);
  out.int32(node.size);
  for (const key of [...node.keys()].sort()) {
    appendJsonText(out, key);
    appendJson(out, node.get(key) ?? null, policy);
  }
}

function appendJsonText(out: CanonicalBytes, text: string): void {
  out.byte(TAG.text);
  const start = out.open();
  out.text(text);
  out.close(start);
}

/**
 * Hasher of rows of these columns: equal hashes mean equal rows (but for an accident of 1 in 2^64 pairs or rarer).
 * The returned array is filled anew by every call: copy it to keep it.
 */
export function rowHasher(columns: readonly Column[], policy: CanonicalPolicy = DEFAULT_POLICY): (row: readonly Value[]) => Hash128 {
  const kinds = columns.map((column) => column.kind);
  const out = new CanonicalBytes();
  const hash = new Uint32Array(4);
  return (row) => {
    out.length = 0;
    for (let c = 0; c < kinds.length; c += 1) appendCanonical(out, kinds[c]!, row[c] ?? null, policy);
    return hash128(out.bytes, out.length, hash);
  };
}

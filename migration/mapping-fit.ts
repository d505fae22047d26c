import { arrayElements } from './array-text';
import { fitsSingle } from './single-precision';
import type { RuleCheck } from './rules/definition';
import { codePoints } from './rules/length';
import { decimalParts } from './transform/decimal-arithmetic';
import type { Column, Value } from './value';

/** What a column's type can hold at most. Absent: no limit that matters here. */
interface Limits {
  /** Code points of a text. */
  characters?: number;
  /** `char(n)`: blanks at the end do not count. */
  padded?: boolean;
  /** Bytes of a text in UTF-8; what is longer is cut without an error. */
  bytes?: number;
  /** Digits before and after the point. */
  whole?: number;
  fraction?: number;
  /** Width of an integer. */
  bits?: number;
  /** Digits after the first point of the text: of a second's fraction, of a currency. */
  subsecond?: number;
  /** Single precision. */
  single?: boolean;
}

const TYPE = /^([a-z][a-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\))?(?:\s+with(?:out)? time zone)?$/;
const INTEGER_BITS: Readonly<Record<string, number>> = { smallint: 16, int2: 16, integer: 32, int: 32, int4: 32, bigint: 64, int8: 64 };
/** Digits of the largest value, and characters with the sign. */
const INTEGER_DIGITS: Readonly<Record<number, number>> = { 16: 5, 32: 10, 64: 19 };
const TEXT_WIDTH: Partial<Record<Column['kind'], number>> = { boolean: 5, uuid: 36 };
const SUBSECOND_MAX = 6;

/** `name` and `"char"` cut what is longer. */
const NAME_BYTES = 63;
const MONEY_DIGITS = 2;
/** The type below all domains. */
export const typeBelow = (column: Column): string => column.baseType ?? column.type;
const isArray = (column: Column): boolean => typeBelow(column).endsWith('[]');

function limitsOf(column: Column): Limits {
  const type = typeBelow(column).trim();
  if (type === '"char"') return { bytes: 1 };
  const match = TYPE.exec(type.toLowerCase());
  if (!match) return {};
  const base = match[1] ?? '';
  const first = match[2] === undefined ? undefined : Number(match[2]);
  switch (base) {
    case 'varchar': case 'character varying': return first === undefined ? {} : { characters: first };
    case 'char': case 'character': case 'bpchar': return base === 'bpchar' && first === undefined ? {} : { characters: first ?? 1, padded: true };
    case 'numeric': case 'decimal': {
      if (first === undefined) return {};
      const scale = Number(match[3] ?? 0);
      return { whole: first - scale, fraction: scale };
    }
    case 'name': return { bytes: NAME_BYTES };
    case 'money': return { subsecond: MONEY_DIGITS };
    case 'timestamp': case 'timestamptz': case 'time': case 'timetz': case 'interval': return { subsecond: first ?? SUBSECOND_MAX };
    case 'real': case 'float4': return { single: true };
    default: {
      const bits = INTEGER_BITS[base];
      return bits === undefined ? {} : { bits };
    }
  }
}

/** Characters that the values of a column need at most when written as text. */
function widthOf(column: Column, limits: Limits): number {
  if (limits.characters !== undefined) return limits.characters;
  if (limits.bits !== undefined) return (INTEGER_DIGITS[limits.bits] ?? 19) + 1;
  if (limits.whole !== undefined) return Math.max(limits.whole, 1) + Math.max(limits.fraction ?? 0, 0) + 2;
  return TEXT_WIDTH[column.kind] ?? Infinity;
}

/** True for single precision columns: their values must be read as such. */
export function isSingle(column: Column): boolean {
  return limitsOf(column).single === true;
}

/** A column of the elements of an array column. */
function elementOf(column: Column): Column {
  const type = typeBelow(column).replace(/(\[\])+$/, '');
  return { name: column.name, kind: 'opaque', type, nullable: true };
}

/** True when `target` cannot hold some value that `source` can, by length, digits or width. */
export function narrows(source: Column, target: Column): boolean {
  if (isArray(target)) return arrayNarrows(source, target);
  const from = limitsOf(source);
  const to = limitsOf(target);
  if (to.bytes !== undefined) return from.bytes === undefined ? widthOf(source, from) * 4 > to.bytes : from.bytes > to.bytes;
  if (to.characters !== undefined) return widthOf(source, from) > to.characters;
  if (to.whole !== undefined) {
    const digits = from.bits === undefined ? from.whole : INTEGER_DIGITS[from.bits];
    const fraction = from.bits === undefined ? from.fraction : 0;
    return digits === undefined || fraction === undefined || digits > to.whole || fraction > (to.fraction ?? 0);
  }
  if (to.bits !== undefined) return from.bits === undefined || from.bits > to.bits;
  // A text may hold more digits than any moment keeps.
  if (to.subsecond !== undefined) return source.kind === 'text' || (source.kind !== 'date' && (from.subsecond ?? SUBSECOND_MAX) > to.subsecond);
  if (to.single) return from.single !== true;
  return target.kind === 'opaque' && source.kind === 'opaque' && typeBelow(source) !== typeBelow(target) && typeBelow(target).includes('(') && !isWiderBits(source, target);
}

/** Elements are judged like columns; a scale or a width that changes shows in every element's text, and counts as narrowing. */
function arrayNarrows(source: Column, target: Column): boolean {
  const element = elementOf(target);
  const to = limitsOf(element);
  if (!isArray(source)) return to.whole !== undefined || to.subsecond !== undefined || to.single === true || to.characters !== undefined || to.bytes !== undefined;
  if (typeBelow(source) === typeBelow(target)) return false;
  return to.whole !== undefined || to.padded === true || narrows(elementOf(source), element);
}

function isWiderBits(source: Column, target: Column): boolean {
  const [from, to] = [source, target].map((column) => /^bit varying\((\d+)\)$/.exec(typeBelow(column))?.[1]);
  return from !== undefined && to !== undefined && Number(from) <= Number(to);
}

/**
 * The check that a value fits into the column; null when everything of its kind does.
 * `unjudged`: the type changes values that do not fit without an error, and no check can tell.
 */
export function fitCheck(target: Column): RuleCheck | 'unjudged' | null {
  if (isArray(target)) return arrayCheck(elementOf(target));
  const limits = limitsOf(target);
  const { characters, whole, bits, subsecond, single, bytes } = limits;
  if (bytes !== undefined) return bytesFit(bytes);
  if (characters !== undefined) return charactersFit(characters, limits.padded === true);
  if (whole !== undefined) return { check: (value) => value === null || decimalFits(String(value), whole, limits.fraction ?? 0) };
  if (bits !== undefined) {
    const max = (1n << BigInt(bits - 1)) - 1n;
    const min = -max - 1n;
    return { check: (value) => typeof value !== 'bigint' || (value >= min && value <= max) };
  }
  if (subsecond !== undefined && (subsecond < SUBSECOND_MAX || target.kind === 'opaque')) return { check: (value) => typeof value !== 'string' || subsecondDigits(value) <= subsecond };
  if (single) return { check: (value: Value) => typeof value !== 'number' || fitsSingle(value) };
  return null;
}

/** Elements whose type pads, rounds or rescales them cannot be told from their text. */
function arrayCheck(element: Column): RuleCheck | 'unjudged' | null {
  const { whole, single, padded } = limitsOf(element);
  if (whole !== undefined || single || padded) return 'unjudged';
  const judged = fitCheck(element);
  if (judged === null || judged === 'unjudged') return judged;
  return { check: (value) => typeof value !== 'string' || arrayElements(value).every((item) => judged.check(item)) };
}

/** Names of objects: a number stands for an object that is gone, and would be another one in the target. */
export const objectNamesFit: RuleCheck = {
  check: (value) => typeof value !== 'string' || !(value.startsWith('{') ? arrayElements(value) : [value]).some((name) => name !== null && /^[1-9]\d*$/.test(name)),
};

function bytesFit(max: number): RuleCheck {
  return {
    check: (value) => typeof value !== 'string' || utf8Length(value) <= max || (max === 1 && /^\\[0-3][0-7]{2}$/.test(value)),
    checkBytes: (_bytes, start, end) => end - start <= max,
  };
}

function utf8Length(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit >= 0x80) length += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return length;
}

function charactersFit(max: number, padded: boolean): RuleCheck {
  return {
    check: (value) => {
      if (value === null) return true;
      const text = String(value);
      return text.length <= max || codePoints(padded ? withoutBlanks(text) : text) <= max;
    },
    checkBytes: (_bytes, start, end) => (end - start <= max ? true : undefined),
  };
}

function decimalFits(text: string, whole: number, fraction: number): boolean {
  const parts = decimalParts(text);
  if (parts === null) return text === 'NaN';
  return parts.digits === '' || (parts.digits.length + parts.exponent <= whole && -parts.exponent <= fraction);
}

function subsecondDigits(text: string): number {
  const point = text.indexOf('.');
  if (point < 0) return 0;
  let end = point + 1;
  while (text.charCodeAt(end) >= 48 && text.charCodeAt(end) <= 57) end += 1;
  return end - point - 1;
}

function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 32) end -= 1;
  return text.slice(0, end);
}

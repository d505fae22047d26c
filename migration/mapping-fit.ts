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
  /** Digits before and after the point. */
  whole?: number;
  fraction?: number;
  /** Width of an integer. */
  bits?: number;
  /** Digits of a second's fraction. */
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

function limitsOf(column: Column): Limits {
  const match = TYPE.exec(column.type.trim().toLowerCase());
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
    case 'timestamp': case 'timestamptz': case 'time': return { subsecond: first ?? SUBSECOND_MAX };
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

/** True when `target` cannot hold some value that `source` can, by length, digits or width. */
export function narrows(source: Column, target: Column): boolean {
  const from = limitsOf(source);
  const to = limitsOf(target);
  if (to.characters !== undefined) return widthOf(source, from) > to.characters;
  if (to.whole !== undefined) {
    const digits = from.bits === undefined ? from.whole : INTEGER_DIGITS[from.bits];
    const fraction = from.bits === undefined ? from.fraction : 0;
    return digits === undefined || fraction === undefined || digits > to.whole || fraction > (to.fraction ?? 0);
  }
  if (to.bits !== undefined) return from.bits === undefined || from.bits > to.bits;
  if (to.subsecond !== undefined) return source.kind !== 'date' && (from.subsecond ?? SUBSECOND_MAX) > to.subsecond;
  if (to.single) return from.single !== true;
  return target.kind === 'opaque' && source.kind === 'opaque' && source.type !== target.type && target.type.includes('(');
}

/** The check that a value fits into the column; null when everything of its kind does. */
export function fitCheck(target: Column): RuleCheck | null {
  const limits = limitsOf(target);
  const { characters, whole, bits, subsecond, single } = limits;
  if (characters !== undefined) return charactersFit(characters, limits.padded === true);
  if (whole !== undefined) return { check: (value) => value === null || decimalFits(String(value), whole, limits.fraction ?? 0) };
  if (bits !== undefined) {
    const max = (1n << BigInt(bits - 1)) - 1n;
    const min = -max - 1n;
    return { check: (value) => typeof value !== 'bigint' || (value >= min && value <= max) };
  }
  if (subsecond !== undefined && subsecond < SUBSECOND_MAX) return { check: (value) => typeof value !== 'string' || subsecondDigits(value) <= subsecond };
  if (single) return { check: (value: Value) => typeof value !== 'number' || fitsSingle(value) };
  return null;
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

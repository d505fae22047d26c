/** Exact decimal arithmetic on text: no value ever becomes a JS number. */

/** `units / 10^scale`, scale >= 0. */
export interface Decimal { units: bigint; scale: number }

export const ROUNDINGS = ['fail', 'half_up', 'half_even', 'down', 'up', 'floor', 'ceiling'] as const;
/** `fail`: no digit may be lost. `half_up` rounds halves away from zero. `down` cuts. `up` goes away from zero. */
export type Rounding = (typeof ROUNDINGS)[number];

/** More digits than any database holds; keeps `1e999999999` from eating memory. */
const DIGITS_MAX = 150_000;

/** Reads `-12.50`, `.5`, `7.`, `1.2e-3`. Null when it is none of these. NaN and infinities are not numbers here. */
export function parseDecimal(text: string): Decimal | null {
  let at = 0;
  let negative = false;
  const first = text.charCodeAt(0);
  if (first === 45 || first === 43) { negative = first === 45; at = 1; }
  const start = at;
  at = skipDigits(text, at);
  let digits = text.slice(start, at);
  let scale = 0;
  if (text.charCodeAt(at) === 46) {
    const end = skipDigits(text, at + 1);
    digits += text.slice(at + 1, end);
    scale = end - at - 1;
    at = end;
  }
  if (digits === '') return null;
  const e = text.charCodeAt(at);
  if (e === 101 || e === 69) {
    const signed = text.charCodeAt(at + 1);
    const from = at + 1 + (signed === 45 || signed === 43 ? 1 : 0);
    const end = skipDigits(text, from);
    if (end === from || end - from > 7) return null;
    scale -= (signed === 45 ? -1 : 1) * Number(text.slice(from, end));
    at = end;
  }
  if (at !== text.length || Math.abs(scale) > DIGITS_MAX || digits.length > DIGITS_MAX) return null;
  let units = BigInt(digits);
  if (scale < 0) { units *= 10n ** BigInt(-scale); scale = 0; }
  return { units: negative ? -units : units, scale };
}

function skipDigits(text: string, from: number): number {
  let at = from;
  for (let c = text.charCodeAt(at); c >= 48 && c <= 57; c = text.charCodeAt(at)) at += 1;
  return at;
}

/** Plain digits with the scale kept: `1.10`. Zero has no sign. */
export function formatDecimal({ units, scale }: Decimal): string {
  if (scale === 0) return units.toString();
  const negative = units < 0n;
  const digits = (negative ? -units : units).toString().padStart(scale + 1, '0');
  const cut = digits.length - scale;
  return `${negative ? '-' : ''}${digits.slice(0, cut)}.${digits.slice(cut)}`;
}

/** The same value with exactly `scale` fraction digits; null when digits would be lost and rounding is `fail`. */
export function rescale(value: Decimal, scale: number, rounding: Rounding): Decimal | null {
  if (scale >= value.scale) return { units: value.units * 10n ** BigInt(scale - value.scale), scale };
  const divisor = 10n ** BigInt(value.scale - scale);
  const quotient = value.units / divisor;
  const rest = value.units % divisor;
  if (rest === 0n) return { units: quotient, scale };
  if (rounding === 'fail') return null;
  const sign = value.units < 0n ? -1n : 1n;
  return { units: awayFromZero(rounding, quotient, rest * sign * 2n, divisor, sign) ? quotient + sign : quotient, scale };
}

function awayFromZero(rounding: Rounding, quotient: bigint, twice: bigint, divisor: bigint, sign: bigint): boolean {
  switch (rounding) {
    case 'up': return true;
    case 'floor': return sign < 0n;
    case 'ceiling': return sign > 0n;
    case 'half_up': return twice >= divisor;
    case 'half_even': return twice > divisor || (twice === divisor && quotient % 2n !== 0n);
    default: return false;
  }
}

/** The parts of a plain or scientific decimal text that carry meaning: `-0012.3400` and `-1234e-2` are `{ negative, '1234', -2 }`. Null when it is no number. */
export interface DecimalParts { negative: boolean; digits: string; exponent: number }

/** Value = digits * 10^exponent with neither leading nor trailing zeros; zero is `''` with exponent 0. */
export function decimalParts(text: string): DecimalParts | null {
  let at = 0;
  const first = text.charCodeAt(0);
  const negative = first === 45;
  if (negative || first === 43) at = 1;
  const whole = skipDigits(text, at);
  let digits = text.slice(at, whole);
  let exponent = 0;
  at = whole;
  if (text.charCodeAt(at) === 46) {
    const end = skipDigits(text, at + 1);
    digits += text.slice(at + 1, end);
    exponent = at + 1 - end;
    at = end;
  }
  if (digits === '') return null;
  const e = text.charCodeAt(at);
  if (e === 101 || e === 69) {
    const signed = text.charCodeAt(at + 1);
    const from = at + 1 + (signed === 45 || signed === 43 ? 1 : 0);
    const end = skipDigits(text, from);
    if (end === from || end - from > 15) return null;
    exponent += (signed === 45 ? -1 : 1) * Number(text.slice(from, end));
    at = end;
  }
  if (at !== text.length) return null;
  let head = 0;
  while (digits.charCodeAt(head) === 48) head += 1;
  if (head === digits.length) return { negative: false, digits: '', exponent: 0 };
  let tail = digits.length;
  while (digits.charCodeAt(tail - 1) === 48) tail -= 1;
  return { negative, digits: digits.slice(head, tail), exponent: exponent + digits.length - tail };
}

/** Compares by value: negative, 0 or positive. */
export function compareParts(a: DecimalParts, b: DecimalParts): number {
  if (a.negative !== b.negative) return a.negative ? -1 : 1;
  const sign = a.negative ? -1 : 1;
  if (a.digits === '' || b.digits === '') return sign * (a.digits.length - b.digits.length);
  const magnitude = a.digits.length + a.exponent - (b.digits.length + b.exponent);
  if (magnitude !== 0) return sign * magnitude;
  // Same magnitude and no trailing zeros: the digits compare as text.
  return a.digits === b.digits ? 0 : a.digits < b.digits ? -sign : sign;
}

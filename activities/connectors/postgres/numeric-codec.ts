import type { ByteWriter } from './byte-writer';

/**
 * numeric in binary: uint16 count of base-10000 digits, int16 weight of the first, uint16 sign, uint16 display scale, then the digits
 * (PostgreSQL source, src/backend/utils/adt/numeric.c, numeric_send). Exact at any length; scale is kept.
 */
const POSITIVE = 0x0000;
const NEGATIVE = 0x4000;
const SPECIAL: Record<number, string> = { 0xc000: 'NaN', 0xd000: 'Infinity', 0xf000: '-Infinity' };
const SPECIAL_SIGN: Record<string, number> = { NaN: 0xc000, Infinity: 0xd000, '-Infinity': 0xf000 };
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?$/;
const SCALE_MAX = 16_383;
const WHOLE_MAX = 131_072;

export function decodeNumeric(data: Buffer, start: number, _length: number): string {
  const count = data.readUInt16BE(start);
  const weight = data.readInt16BE(start + 2);
  const sign = data.readUInt16BE(start + 4);
  const scale = data.readUInt16BE(start + 6);
  const special = SPECIAL[sign];
  if (special !== undefined) return special;
  const digit = (index: number): number => (index >= 0 && index < count ? data.readInt16BE(start + 8 + index * 2) : 0);

  let whole = weight < 0 ? '0' : String(digit(0));
  for (let i = 1; i <= weight; i += 1) whole += String(digit(i)).padStart(4, '0');
  let fraction = '';
  for (let i = weight + 1; fraction.length < scale; i += 1) fraction += String(digit(i)).padStart(4, '0');
  const text = scale > 0 ? `${whole}.${fraction.slice(0, scale)}` : whole;
  return sign === NEGATIVE ? `-${text}` : text;
}

export function encodeNumeric(writer: ByteWriter, text: string): 'done' | 'no number' | 'too large' {
  const special = SPECIAL_SIGN[text];
  if (special !== undefined) {
    header(writer, 0, 0, special, 0);
    return 'done';
  }
  const match = DECIMAL.exec(text);
  if (!match || (match[2] === '' && (match[3] ?? '') === '')) return 'no number';
  const fraction = match[3] ?? '';
  const whole = (match[2] ?? '').replace(/^0+/, '');
  if (fraction.length > SCALE_MAX || whole.length > WHOLE_MAX) return 'too large';
  const paddedWhole = whole.padStart(Math.ceil(whole.length / 4) * 4, '0');
  const digits = paddedWhole + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');

  const groups: number[] = [];
  for (let i = 0; i < digits.length; i += 4) groups.push(Number(digits.slice(i, i + 4)));
  let weight = paddedWhole.length / 4 - 1;
  let first = 0;
  while (first < groups.length && groups[first] === 0) { first += 1; weight -= 1; }
  let last = groups.length;
  while (last > first && groups[last - 1] === 0) last -= 1;
  if (last === first) weight = 0;

  header(writer, last - first, weight, match[1] === '-' && last > first ? NEGATIVE : POSITIVE, fraction.length);
  for (let i = first; i < last; i += 1) writer.int16(groups[i] ?? 0);
  return 'done';
}

function header(writer: ByteWriter, count: number, weight: number, sign: number, scale: number): void {
  writer.reserve(8);
  writer.data.writeUInt16BE(count, writer.length);
  writer.data.writeInt16BE(weight, writer.length + 2);
  writer.data.writeUInt16BE(sign, writer.length + 4);
  writer.data.writeUInt16BE(scale, writer.length + 6);
  writer.length += 8;
}

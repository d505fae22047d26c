import { z } from 'zod';
import type { Value, ValueKind } from '../value';
import { parseIso, parseTime } from './civil-time';
import { formatDecimal, parseDecimal } from './decimal-arithmetic';
import { instantText, localText } from './to-moment';
import { zoneNamed, type Zone } from './time-zone';
import { parseUuid } from './uuid-text';

/** A value as people write it in a plan. */
export type Literal = string | number | boolean | null;
export const literalSchema = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const UTC = zoneNamed('UTC') as Zone;

/** The literal as a value of `kind`; undefined when it is not one. Large integers and decimals are written as strings. */
export function literalValue(literal: Literal, kind: ValueKind): Value | undefined {
  if (literal === null) return null;
  const text = String(literal);
  switch (kind) {
    case 'text': case 'opaque': return text;
    case 'boolean': return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'integer': {
      if (typeof literal === 'number') return Number.isSafeInteger(literal) ? BigInt(literal) : undefined;
      return /^[+-]?\d+$/.test(text) ? BigInt(text.replace('+', '')) : undefined;
    }
    case 'decimal': {
      if (['NaN', 'Infinity', '-Infinity'].includes(text)) return text;
      const decimal = parseDecimal(text);
      return decimal ? formatDecimal(decimal) : undefined;
    }
    case 'float': {
      const number = Number(text);
      return typeof literal === 'boolean' || text.trim() === '' || (Number.isNaN(number) && text !== 'NaN') ? undefined : number;
    }
    case 'uuid': return parseUuid(text) ?? undefined;
    case 'time': return parseTime(text) ?? undefined;
    case 'json': return isJson(text) ? text : undefined;
    case 'bytes': return undefined;
    default: {
      const moment = parseIso(text);
      if (moment === null) return text === 'infinity' || text === '-infinity' ? text : undefined;
      if (kind === 'instant') return instantText(moment, UTC) ?? undefined;
      const local = localText(moment, UTC) ?? undefined;
      return kind === 'date' ? local?.slice(0, 10) : local;
    }
  }
}

/** The kind a literal has by itself. */
export function literalKind(literal: Literal): ValueKind {
  if (typeof literal === 'boolean') return 'boolean';
  if (typeof literal === 'number') return Number.isInteger(literal) ? 'integer' : 'decimal';
  return 'text';
}

/** True when the text is one JSON value. The parsed value is thrown away: its numbers would have lost digits. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

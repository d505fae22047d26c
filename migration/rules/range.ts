import { compareParts, decimalParts, parseDecimal, rescale, type DecimalParts } from '../transform/decimal-arithmetic';
import { literalValue } from '../transform/literal';
import type { Column, Value, ValueKind } from '../value';
import { cannotJudge, passNull, type RuleDefinition } from './definition';

export interface RangeBounds { min?: number | string | undefined; max?: number | string | undefined }

/** Where a time text stands: -2 `-infinity`, -1 BC, 0 years 1 to 9999, 1 later years, 2 `infinity`. */
function era(text: string): number {
  if (text.charCodeAt(4) === 45 && !text.endsWith(' BC')) return 0;
  if (text.endsWith('infinity')) return text.charCodeAt(0) === 45 ? -2 : 2;
  return text.endsWith(' BC') ? -1 : 1;
}

/** Canonical time texts of one kind sort as text once the `Z` is gone. */
const bare = (text: string): string => (text.charCodeAt(text.length - 1) === 90 ? text.slice(0, -1) : text);

export const range: RuleDefinition<RangeBounds> = {
  name: 'range',
  help: 'Between `min` and `max`, both included: numbers (exact), dates, instants; a day as `max` of a time includes the whole day. Numbers in a text count, too.',
  params: '`column: { min, max }`',
  scope: 'row',
  compile(bounds, column) {
    if (bounds.min === undefined && bounds.max === undefined) cannotJudge('give `min`, `max` or both.');
    return { check: passNull(judgeFor(bounds, column)) };
  },
};

function judgeFor(bounds: RangeBounds, column: Column): (value: Exclude<Value, null>) => boolean {
  switch (column.kind) {
    case 'integer': return integerJudge(bounds);
    case 'float': {
      const min = boundOf(bounds.min, 'float') as number | null ?? -Infinity;
      const max = boundOf(bounds.max, 'float') as number | null ?? Infinity;
      return (value) => (value as number) >= min && (value as number) <= max;
    }
    case 'decimal': case 'text': case 'opaque': return decimalJudge(bounds);
    case 'instant': case 'datetime': case 'date': case 'time': return timeJudge(bounds, column.kind);
    default: return cannotJudge(`a ${column.type} column has no order to judge.`);
  }
}

function boundOf(bound: number | string | undefined, kind: ValueKind): Value {
  if (bound === undefined) return null;
  return literalValue(bound, kind) ?? cannotJudge(`\`${bound}\` is no ${kind}.`);
}

function integerJudge(bounds: RangeBounds): (value: Exclude<Value, null>) => boolean {
  const whole = (bound: number | string | undefined, rounding: 'floor' | 'ceiling'): bigint | null => {
    if (bound === undefined) return null;
    const decimal = parseDecimal(String(bound)) ?? cannotJudge(`\`${bound}\` is no number.`);
    return rescale(decimal, 0, rounding)?.units ?? null;
  };
  const min = whole(bounds.min, 'ceiling');
  const max = whole(bounds.max, 'floor');
  return (value) => (min === null || (value as bigint) >= min) && (max === null || (value as bigint) <= max);
}

const INFINITE: Readonly<Record<string, number>> = { Infinity: 1, '-Infinity': -1 };

function decimalJudge(bounds: RangeBounds): (value: Exclude<Value, null>) => boolean {
  const parts = (bound: number | string | undefined): DecimalParts | null =>
    (bound === undefined ? null : decimalParts(String(bound)) ?? cannotJudge(`\`${bound}\` is no number: on this column \`range\` compares numbers.`));
  const min = parts(bounds.min);
  const max = parts(bounds.max);
  return (value) => {
    const given = decimalParts(value as string);
    if (given === null) {
      const infinite = INFINITE[value as string];
      return infinite !== undefined && (infinite > 0 ? max === null : min === null);
    }
    return (min === null || compareParts(given, min) >= 0) && (max === null || compareParts(given, max) <= 0);
  };
}

function timeJudge(bounds: RangeBounds, kind: ValueKind): (value: Exclude<Value, null>) => boolean {
  const text = (bound: number | string | undefined): string | null => {
    const value = boundOf(typeof bound === 'number' ? cannotJudge(`\`${bound}\` is no ${kind}: write it as text, such as "2020-01-31".`) : bound, kind);
    return value === null ? null : bare(value as string);
  };
  const min = text(bounds.min);
  let max = text(bounds.max);
  const wholeDay = kind !== 'date' && kind !== 'time' && typeof bounds.max === 'string' && bounds.max.length === 10;
  if (wholeDay && max !== null) max = `${max.slice(0, 10)}T24`;
  const minEra = min === null || kind === 'time' ? 0 : era(min);
  const maxEra = max === null || kind === 'time' ? 0 : era(max);
  return (value) => {
    const given = bare(value as string);
    const at = kind === 'time' ? 0 : era(given);
    const above = min === null || (at === minEra ? at !== 0 || given >= min : at > minEra);
    return above && (max === null || (at === maxEra ? at !== 0 || given <= max : at < maxEra));
  };
}

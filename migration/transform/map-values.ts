import { z } from 'zod';
import type { Value, ValueKind } from '../value';
import { cannot, inputOf, onValue, transform, type TransformContext } from './definition';
import { literalKind, literalSchema, literalValue, type Literal } from './literal';
import { textReader } from './text-form';

interface MapParams { values: Record<string, Literal>; otherwise?: Literal | undefined; keep_others: boolean }

export const mapValues = transform({
  name: 'map_values',
  help: 'Replaces values by a table. A value that is not in it fails, unless `otherwise` or `keep_others` says what to do.',
  params: z.strictObject({
    values: z.record(z.string(), literalSchema).describe('`old: new`, by the text of the old value.'),
    otherwise: literalSchema.optional().describe('New value for all that are not in the table.'),
    keep_others: z.boolean().default(false).describe('Values that are not in the table stay as they are.'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: (params) => params.otherwise !== undefined || params.keep_others || !isInjective(params),
  inverse: (params) => (params.otherwise === undefined && !params.keep_others && isInjective(params)
    ? { transform: 'map_values', params: { values: Object.fromEntries(Object.entries(params.values).map(([from, to]) => [String(to), from])) } }
    : null),
  compile(params, context) {
    const column = inputOf(context);
    const read = textReader(column);
    if (params.keep_others && params.otherwise !== undefined) return cannot('give `otherwise` or `keep_others`, not both.');
    const kind = resultKind(params, context);
    const toValue = (literal: Literal, place: string): Value => {
      const value = literalValue(literal, kind);
      return value === undefined ? cannot(`the new value ${place} is no ${kind}.`) : value;
    };
    const table = new Map(Object.entries(params.values).map(([from, to], at) => [from, toValue(to, `of entry ${at + 1} of \`values\``)]));
    const otherwise = params.otherwise === undefined ? undefined : toValue(params.otherwise, 'of `otherwise`');
    return onValue(kind, (value) => {
      const text = read(value);
      const hit = table.get(text);
      if (hit !== undefined) return hit;
      if (params.keep_others) return kind === 'text' ? text : value;
      return otherwise === undefined ? context.fail() : otherwise;
    });
  },
});

/** The kind of the results: the target's when they go there directly, else what the new values have in common. */
function resultKind(params: MapParams, context: TransformContext): ValueKind {
  const target = context.output[0];
  const input = inputOf(context).kind;
  if (params.keep_others) return input === 'opaque' ? 'text' : input;
  if (context.last && target && target.kind !== 'bytes') return target.kind;
  const kinds = new Set([...Object.values(params.values), params.otherwise].filter((v) => v !== undefined && v !== null).map(literalKind));
  const [only] = kinds;
  return kinds.size === 1 && only ? only : 'text';
}

function isInjective(params: MapParams): boolean {
  const results = Object.values(params.values);
  return !results.includes(null) && new Set(results.map(String)).size === results.length;
}

import { z } from 'zod';
import type { Value } from '../value';
import { inputOf, transform } from './definition';
import { textReader } from './text-form';

export const split = transform({
  name: 'split',
  help: 'Cuts a text at a separator into several columns. Missing parts become NULL.',
  params: z.strictObject({
    separator: z.string().min(1).default(' ').describe('Where to cut.'),
    rest: z.enum(['last', 'fail', 'drop']).default('last').describe('More parts than columns: the `last` column takes the rest uncut, the row fails, or the rest is dropped.'),
    missing: z.enum(['null', 'fail']).default('null').describe('Fewer parts than columns.'),
    trim: z.boolean().default(false).describe('Cut white space around each part.'),
  }),
  inputs: 'one',
  outputs: 'many',
  lossy: ({ rest, trim }) => rest === 'drop' || trim,
  compile({ separator, rest, missing, trim }, context) {
    const read = textReader(inputOf(context));
    const count = context.output.length;
    const nothing: Value[] = context.output.map(() => null);
    return {
      form: 'many',
      kinds: context.output.map(() => 'text' as const),
      apply(values) {
        const value = values[0] ?? null;
        if (value === null) return nothing;
        const text = read(value);
        const parts: Value[] = [];
        let from: number | null = 0;
        while (from !== null && parts.length < count) {
          const whole: boolean = rest === 'last' && parts.length === count - 1;
          const cut: number = whole ? -1 : text.indexOf(separator, from);
          const part: string = cut < 0 ? text.slice(from) : text.slice(from, cut);
          parts.push(trim ? part.trim() : part);
          from = cut < 0 ? null : cut + separator.length;
        }
        if (from !== null && rest === 'fail') context.fail();
        if (parts.length < count && missing === 'fail') context.fail();
        while (parts.length < count) parts.push(null);
        return parts;
      },
    };
  },
});

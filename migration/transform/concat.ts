import { z } from 'zod';
import { cannot, transform } from './definition';
import { textReader } from './text-form';

export const concat = transform({
  name: 'concat',
  help: 'Joins the texts of several columns. NULLs are skipped unless `on_null` says otherwise; all NULL gives NULL.',
  params: z.strictObject({
    separator: z.string().default('').describe('Text between the parts.'),
    on_null: z.enum(['skip', 'empty', 'null']).default('skip').describe('`skip` the part and its separator, take it as `empty` text, or make the result `null`.'),
  }),
  inputs: 'many',
  outputs: 'one',
  lossy: true,
  compile({ separator, on_null: onNull }, context) {
    if (context.input.length === 0) return cannot('needs source columns: give `old_fields`.');
    const readers = context.input.map(textReader);
    return {
      form: 'many',
      kinds: ['text'],
      apply(values) {
        let out: string | null = null;
        let present = false;
        for (let i = 0; i < readers.length; i += 1) {
          const value = values[i] ?? null;
          if (value === null && onNull === 'null') return [null];
          if (value === null && onNull === 'skip') continue;
          present ||= value !== null;
          const text = value === null ? '' : readers[i]!(value);
          out = out === null ? text : out + separator + text;
        }
        return [present ? out : null];
      },
    };
  },
});

import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { textReader } from './text-form';

export const trim = transform({
  name: 'trim',
  help: 'Cuts white space at the ends of a text.',
  params: z.strictObject({
    side: z.enum(['both', 'start', 'end']).default('both'),
    empty_as_null: z.boolean().default(false).describe('A text that is empty afterwards becomes NULL.'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile({ side, empty_as_null: emptyAsNull }, context) {
    const read = textReader(inputOf(context));
    const cut = side === 'both' ? (t: string) => t.trim() : side === 'start' ? (t: string) => t.trimStart() : (t: string) => t.trimEnd();
    return onValue('text', (value) => {
      const text = cut(read(value));
      return emptyAsNull && text === '' ? null : text;
    });
  },
});

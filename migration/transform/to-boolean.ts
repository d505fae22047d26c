import { z } from 'zod';
import type { Value } from '../value';
import { cannot, inputOf, onValue, transform } from './definition';
import { textReader } from './text-form';

const word = z.union([z.string(), z.number(), z.boolean()]).transform(String);

export const toBoolean = transform({
  name: 'to_boolean',
  help: 'True or false from words (upper and lower case alike) or numbers; anything else fails.',
  params: z.strictObject({
    true: z.array(word).min(1).default(['true', 't', 'yes', 'y', 'on', '1']).describe('Words for true.'),
    false: z.array(word).min(1).default(['false', 'f', 'no', 'n', 'off', '0']).describe('Words for false.'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile(params, context) {
    const column = inputOf(context);
    if (column.kind === 'boolean') return onValue('boolean', (value) => value);
    const read = textReader(column);
    const words = new Map<string, Value>();
    for (const w of params.true) words.set(w.toLowerCase(), true);
    for (const w of params.false) {
      if (words.get(w.toLowerCase()) === true) return cannot('a word stands for both true and false.');
      words.set(w.toLowerCase(), false);
    }
    return onValue('boolean', (value) => {
      const text = read(value);
      return words.get(text) ?? words.get(text.trim().toLowerCase()) ?? context.fail();
    });
  },
});

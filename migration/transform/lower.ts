import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { textReader } from './text-form';

export const lower = transform({
  name: 'lower',
  help: 'Lower case, by the rules of Unicode, the same in every locale.',
  params: z.strictObject({}),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile(_params, context) {
    const read = textReader(inputOf(context));
    return onValue('text', (value) => read(value).toLowerCase());
  },
});

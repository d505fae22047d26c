import { z } from 'zod';
import { inputOf, transform } from './definition';

export const rename = transform({
  name: 'rename',
  help: 'Carries the value to another column unchanged.',
  params: z.strictObject({}),
  inputs: 'one',
  outputs: 'one',
  lossy: false,
  inverse: () => ({ transform: 'rename', params: {} }),
  compile: (_params, context) => ({ form: 'one', kind: inputOf(context).kind, apply: (value) => value }),
});

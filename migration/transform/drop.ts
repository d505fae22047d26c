import { z } from 'zod';
import { transform } from './definition';

export const drop = transform({
  name: 'drop',
  help: 'Leaves the column behind, on purpose.',
  params: z.strictObject({}),
  inputs: 'many',
  outputs: 'none',
  lossy: true,
  compile: () => ({ form: 'many', kinds: [], apply: () => [] }),
});

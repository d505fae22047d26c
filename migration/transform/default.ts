import { z } from 'zod';
import { cannot, inputOf, transform } from './definition';
import { literalSchema, literalValue } from './literal';

export const defaultValue = transform({
  name: 'default',
  help: 'Puts a value in place of NULL (with `blank: true` also of blank text).',
  params: z.strictObject({
    value: literalSchema.describe('The value to put.'),
    blank: z.boolean().default(false).describe('Blank text counts as NULL.'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile({ value: literal, blank }, context) {
    const { kind, name, type } = inputOf(context);
    const value = literalValue(literal, kind);
    if (value === undefined) return cannot(`\`value\` is no ${kind}, which \`${name}\` (${type}) holds at this step.`);
    return {
      form: 'one',
      kind,
      apply: blank
        ? (input) => (input === null || (typeof input === 'string' && input.trim() === '') ? value : input)
        : (input) => (input === null ? value : input),
    };
  },
});

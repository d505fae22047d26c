import { z } from 'zod';
import { cannot, transform } from './definition';
import { literalKind, literalSchema, literalValue } from './literal';

export const constant = transform({
  name: 'constant',
  help: 'Fills the column with one value: `value`, or the constant of the migration called `from`. Reads no column.',
  params: z.strictObject({
    value: literalSchema.optional().describe('The value itself.'),
    from: z.string().optional().describe('Name of a constant that is kept outside the plan.'),
  }),
  inputs: 'none',
  outputs: 'one',
  lossy: false,
  compile(params, context) {
    const target = context.output[0];
    if ((params.value === undefined) === (params.from === undefined)) return cannot('give either `value` or `from`.');
    const kind = context.last && target ? target.kind : literalKind(params.value ?? null);
    let value;
    if (params.from !== undefined) {
      const given = context.constants[params.from];
      if (given === undefined) return cannot(`there is no constant \`${params.from}\`.`);
      value = typeof given === 'string' ? literalValue(given, kind) : given;
    } else {
      value = literalValue(params.value ?? null, kind);
    }
    if (value === undefined) return cannot(`the value is no ${kind}, which \`${target?.name ?? 'the column'}\` holds.`);
    const row = [value];
    return { form: 'many', kinds: [kind], apply: () => row };
  },
});

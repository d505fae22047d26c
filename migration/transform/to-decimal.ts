import { z } from 'zod';
import { formatDecimal, parseDecimal, rescale } from './decimal-arithmetic';
import { inputOf, onValue, transform } from './definition';
import { numberReader, numberTextParams, roundingParam } from './number-text';

const SPECIAL: ReadonlySet<string> = new Set(['NaN', 'Infinity', '-Infinity']);

export const toDecimal = transform({
  name: 'to_decimal',
  help: 'Exact decimal number. `scale` sets the digits after the point; more digits fail unless `rounding` is declared.',
  params: z.strictObject({
    ...numberTextParams,
    scale: z.number().int().min(0).max(1000).optional().describe('Digits after the point. Default: as they come.'),
    rounding: roundingParam,
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: ({ rounding, scale }) => scale !== undefined && rounding !== 'fail',
  compile(params, context) {
    const column = inputOf(context);
    const { scale, rounding } = params;
    if (column.kind === 'decimal' && scale === undefined) return onValue('decimal', (value) => value);
    const read = numberReader(params, column);
    const numeric = column.kind === 'decimal' || column.kind === 'float';
    return onValue('decimal', (value) => {
      const text = read(value);
      const parsed = parseDecimal(text);
      if (parsed === null) return numeric && SPECIAL.has(text) ? text : context.fail();
      const decimal = scale === undefined ? parsed : rescale(parsed, scale, rounding);
      return decimal === null ? context.fail() : formatDecimal(decimal);
    });
  },
});

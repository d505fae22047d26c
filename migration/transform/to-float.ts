import { z } from 'zod';
import { decimalParts } from './decimal-arithmetic';
import { inputOf, onValue, transform } from './definition';
import { numberReader, numberTextParams } from './number-text';

const SPECIAL: Readonly<Record<string, number>> = { NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity };

export const toFloat = transform({
  name: 'to_float',
  help: 'Floating point number, the nearest to the given one: digits beyond about 15 are lost.',
  params: z.strictObject(numberTextParams),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile(params, context) {
    const column = inputOf(context);
    if (column.kind === 'float') return onValue('float', (value) => value);
    const read = numberReader(params, column);
    return onValue('float', (value) => {
      const text = read(value);
      if (decimalParts(text) === null) return SPECIAL[text] ?? context.fail();
      const number = Number(text);
      return Number.isFinite(number) ? number : context.fail();
    });
  },
});

import { z } from 'zod';
import { parseDecimal, rescale } from './decimal-arithmetic';
import { inputOf, onValue, transform } from './definition';
import { numberReader, numberTextParams, roundingParam } from './number-text';

/** Digits that a JS number surely holds. */
const SAFE_DIGITS = 15;

export const toInteger = transform({
  name: 'to_integer',
  help: 'Whole number from text, decimals, floats or booleans (true is 1). A fraction fails unless `rounding` is declared.',
  params: z.strictObject({ ...numberTextParams, rounding: roundingParam }),
  inputs: 'one',
  outputs: 'one',
  lossy: ({ rounding }) => rounding !== 'fail',
  compile(params, context) {
    const column = inputOf(context);
    if (column.kind === 'integer') return onValue('integer', (value) => value);
    const read = numberReader(params, column);
    return onValue('integer', (value) => {
      const text = read(value);
      if (text.length > 0 && text.length <= SAFE_DIGITS) {
        let number = 0;
        let at = 0;
        for (; at < text.length; at += 1) {
          const digit = text.charCodeAt(at) - 48;
          if (digit < 0 || digit > 9) break;
          number = number * 10 + digit;
        }
        if (at === text.length) return BigInt(number);
      }
      const decimal = parseDecimal(text);
      const whole = decimal && rescale(decimal, 0, params.rounding);
      return whole ? whole.units : context.fail();
    });
  },
});

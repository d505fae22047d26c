import { z } from 'zod';
import type { Column, Value } from '../value';
import { cannot } from './definition';
import { ROUNDINGS } from './decimal-arithmetic';
import { textOfValue } from './text-form';

/** Parameters shared by to_integer, to_decimal and to_float. */
export const numberTextParams = {
  decimal_point: z.enum(['.', ',']).default('.').describe('Sign between whole and fraction in a text.'),
  thousands: z.string().length(1).optional().describe('Sign between groups of three digits in a text; left out.'),
};
export const roundingParam = z.enum(ROUNDINGS).default('fail')
  .describe('What to do with digits that do not fit: `fail` (the row goes to quarantine) or how to round.');

interface NumberTextParams { decimal_point: '.' | ','; thousands?: string | undefined }

/** Function that gives a column's values as plain number text, blanks around cut. @throws MigrationError `MAPPING_INVALID` for kinds that hold no number. */
export function numberReader(params: NumberTextParams, column: Column): (value: Exclude<Value, null>) => string {
  switch (column.kind) {
    case 'integer': case 'decimal': case 'float': return textOfValue;
    case 'boolean': return (value) => (value === true ? '1' : '0');
    case 'text': case 'opaque': case 'json': {
      const { thousands, decimal_point: point } = params;
      if (thousands === point) return cannot('`thousands` and `decimal_point` must differ.');
      if (thousands === undefined && point === '.') return (value) => (value as string).trim();
      return (value) => {
        let text = (value as string).trim();
        if (thousands !== undefined) text = withoutGroups(text, thousands, point);
        // A point would be read as the decimal one: it is none here.
        if (point === ',') text = text.includes('.') ? '' : text.replace(',', '.');
        return text;
      };
    }
    default: return cannot(`\`${column.name}\` (${column.type}) holds no number.`);
  }
}

/** Cuts group signs where they stand between groups of three digits; gives '' when they stand elsewhere. */
function withoutGroups(text: string, sign: string, point: string): string {
  if (!text.includes(sign)) return text;
  const cut = text.indexOf(point);
  const whole = cut < 0 ? text : text.slice(0, cut);
  const rest = cut < 0 ? '' : text.slice(cut);
  const [first = '', ...groups] = whole.split(sign);
  const digits = first.replace(/^[+-]/, '').length;
  if (digits < 1 || digits > 3 || groups.some((group) => group.length !== 3) || rest.includes(sign)) return '';
  return first + groups.join('') + rest;
}

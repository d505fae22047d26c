import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { localText, momentOf, momentParams, outsideCalendar, zoneOf } from './to-moment';

export const toDate = transform({
  name: 'to_date',
  help: 'Calendar day, as a clock in `zone` shows it; same inputs as to_iso_datetime.',
  params: z.strictObject(momentParams),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile(params, context) {
    const zone = zoneOf(params);
    const read = momentOf(params, context);
    const { kind } = inputOf(context);
    if (kind === 'date') return onValue('date', (value) => value);
    return onValue('date', (value) => {
      const moment = read(value);
      const result = moment === null ? null : localText(moment, zone);
      if (result !== null) return result.slice(0, 10);
      const outside = kind === 'instant' || kind === 'datetime' ? outsideCalendar(value as string, 'datetime') : null;
      return outside?.replace(/ \d\d:\S*/, '') ?? context.fail();
    });
  },
});

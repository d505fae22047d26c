import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { localText, momentOf, momentParams, outsideCalendar, zoneOf } from './to-moment';

export const toTimestamp = transform({
  name: 'to_timestamp',
  help: 'Date and time without a zone, as a clock in `zone` shows it; same inputs as to_iso_datetime.',
  params: z.strictObject(momentParams),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile(params, context) {
    const zone = zoneOf(params);
    const read = momentOf(params, context);
    const { kind } = inputOf(context);
    if (kind === 'datetime') return onValue('datetime', (value) => value);
    const calendar = kind === 'instant' || kind === 'date';
    return onValue('datetime', (value) => {
      const moment = read(value);
      const result = moment === null ? null : localText(moment, zone);
      return result ?? (calendar ? outsideCalendar(value as string, 'datetime') : null) ?? context.fail();
    });
  },
});

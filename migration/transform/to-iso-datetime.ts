import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { instantText, momentOf, momentParams, outsideCalendar, zoneOf } from './to-moment';

const CANONICAL_MIN = 19;

export const toIsoDatetime = transform({
  name: 'to_iso_datetime',
  help: 'Instant in UTC, ISO 8601 (2026-01-02T03:04:05.123456Z), from instants, datetimes, dates, texts in given formats, or counts since 1970.',
  params: z.strictObject(momentParams),
  inputs: 'one',
  outputs: 'one',
  lossy: ({ formats, truncate }) => formats !== undefined || truncate,
  compile(params, context) {
    const zone = zoneOf(params);
    const read = momentOf(params, context);
    const { kind } = inputOf(context);
    if (kind === 'instant') return onValue('instant', (value) => value);
    const calendar = kind === 'datetime' || kind === 'date';
    return onValue('instant', (value) => {
      // A canonical datetime in UTC is its instant but for the letter.
      if (kind === 'datetime' && zone.fixed === 0) {
        const text = value as string;
        if (text.length >= CANONICAL_MIN && text.charCodeAt(4) === 45 && text.charCodeAt(10) === 84) return `${text}Z`;
      }
      const moment = read(value);
      const result = moment === null ? null : instantText(moment, zone);
      return result ?? (calendar ? outsideCalendar(value as string, 'instant') : null) ?? context.fail();
    });
  },
});

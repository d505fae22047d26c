import { z } from 'zod';
import type { Value } from '../value';
import { formatSeconds, parseIso, type Moment } from './civil-time';
import { cannot, inputOf, type TransformContext } from './definition';
import { textReader } from './text-form';
import { momentReader, unixMoment, type UnixUnit } from './time-format';
import { zoneNamed, type Zone } from './time-zone';

/** Parameters shared by to_iso_datetime, to_timestamp and to_date. */
export const momentParams = {
  formats: z.array(z.string().min(1)).min(1).optional()
    .describe('Formats of a text, the first that fits is taken: `iso`, `unix_seconds`, `unix_millis`, `unix_micros`, or patterns of YYYY YY MM M MON DD D HH H hh h A mm ss S Z. Default: `iso`.'),
  zone: z.string().default('UTC').describe('Zone of values that name none: `UTC`, an offset such as `+02:00`, or an IANA name.'),
  unit: z.enum(['seconds', 'millis', 'micros']).optional().describe('What an integer counts since 1970.'),
  truncate: z.boolean().default(false).describe('Cut digits beyond microseconds instead of refusing the value.'),
};

export interface MomentParams { formats?: string[] | undefined; zone: string; unit?: 'seconds' | 'millis' | 'micros' | undefined; truncate: boolean }

/** The zone of the parameters. @throws MigrationError `MAPPING_INVALID` when unknown. */
export function zoneOf(params: { zone: string }): Zone {
  return zoneNamed(params.zone) ?? cannot(`\`zone: ${params.zone}\` is unknown. Write UTC, an offset such as +02:00, or an IANA name such as Europe/Berlin.`);
}

/** Reader of a column's values as moments, by the column's kind; null when a value cannot be read. */
export function momentOf(params: MomentParams, context: TransformContext): (value: Exclude<Value, null>) => Moment | null {
  const column = inputOf(context);
  if (params.unit !== undefined && (params.formats !== undefined || !['integer', 'text'].includes(column.kind))) {
    cannot(`\`unit\` goes with an integer column (or a text of digits) and without \`formats\`; \`${column.name}\` is ${column.type}.`);
  }
  switch (column.kind) {
    case 'integer': {
      if (!params.unit) cannot(`\`${column.name}\` is an integer: say what it counts with \`unit: seconds\`, \`millis\` or \`micros\`.`);
      const unit: UnixUnit = `unix_${params.unit}`;
      return (value) => unixMoment(value as bigint, unit);
    }
    case 'instant': case 'datetime': case 'date':
      return (value) => parseIso(value as string, params.truncate);
    case 'text': case 'opaque': {
      const formats = params.formats ?? [params.unit ? `unix_${params.unit}` : 'iso'];
      const readers = formats.map((format) => momentReader(format, params.truncate));
      const text = textReader(column);
      return (value) => {
        const trimmed = text(value).trim();
        for (const reader of readers) {
          const moment = reader(trimmed);
          if (moment !== null) return moment;
        }
        return null;
      };
    }
    default:
      return cannot(`\`${column.name}\` (${column.type}) holds no point in time.`);
  }
}

/** Text of a date or time outside years 1 to 9999 (`infinity`, `0044-03-15 12:00:00 BC`) in the form of the other kind; null when it is no such text. */
export function outsideCalendar(text: string, form: 'instant' | 'datetime'): string | null {
  if (text === 'infinity' || text === '-infinity') return text;
  const match = /^(\d{4,7}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?))?(?:\+00(?::00)?)?( BC)?$/.exec(text);
  if (!match || (match[3] === undefined && (match[1] ?? '').length === 10)) return null;
  return `${match[1] ?? ''} ${match[2] ?? '00:00:00'}${form === 'instant' ? '+00' : ''}${match[3] ?? ''}`;
}

/** Text of a moment as an instant: UTC. A moment without offset is taken in `zone`. */
export function instantText(moment: Moment, zone: Zone): string | null {
  const offset = moment.offset ?? zone.fixed ?? zone.atLocal(moment.seconds);
  const text = formatSeconds(moment.seconds - offset, moment.fraction);
  return text === null ? null : `${text}Z`;
}

/** Text of a moment as the clock shows it in `zone`; a moment without offset is that already. */
export function localText(moment: Moment, zone: Zone): string | null {
  if (moment.offset === null) return formatSeconds(moment.seconds, moment.fraction);
  const utc = moment.seconds - moment.offset;
  return formatSeconds(utc + (zone.fixed ?? zone.atUtc(utc)), moment.fraction);
}

/** Quantities as people write them, parsed to numbers. Each carries a pattern for editors (`title` names the unit in the reference). */
import { z } from 'zod';

const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTE_UNITS: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
/** Seconds in each unit of time that a rate may name. */
const RATE_UNITS: Record<string, number> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, hour: 3600 };

function quantity(title: string, example: string, pattern: RegExp, toNumber: (amount: number, unit: string) => number) {
  return z
    .string()
    .transform((text, context) => {
      const match = pattern.exec(text);
      if (!match) {
        context.addIssue({ code: 'custom', message: `is not a ${title}: write it like ${example}` });
        return z.NEVER;
      }
      return toNumber(Number(match[1]), match[2] ?? '');
    })
    .meta({ title, pattern: pattern.source });
}

/** `90s`, `15m`, `2h` -> milliseconds. */
export const duration = quantity('duration', '90s, 15m or 2h', /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/, (n, unit) => n * (DURATION_UNITS[unit] ?? NaN));

/** `512MB`, `2GB` -> bytes. */
export const byteSize = quantity('size', '512MB or 2GB', /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB)$/, (n, unit) => Math.round(n * (BYTE_UNITS[unit] ?? NaN)));

/** `1%` or 0.01 -> 0.01. A bare number above 1 is refused: it is nearly always a percentage without its sign. */
export const ratio = z.union([
  z.number().min(0, 'write it like 1%, or as a share from 0 to 1').max(1, 'write it like 1%, or as a share from 0 to 1'),
  quantity('percentage', '1%', /^(\d+(?:\.\d+)?)\s*(%)$/, (n) => n / 100),
]);

/** `1000/min` -> rows per second. */
export const rate = quantity('rate', '1000/min', /^(\d+(?:\.\d+)?)\s*\/\s*(sec|s|min|m|hour|h)$/, (n, unit) => n / (RATE_UNITS[unit] ?? NaN));

/** `2026-12-05T22:00Z` -> the same moment as `2026-12-05T22:00:00.000Z`. The offset is required: a plan is read in many places. */
export const moment = z
  .string()
  .transform((text, context) => {
    const at = INSTANT.test(text) ? Date.parse(text) : NaN;
    if (Number.isNaN(at)) {
      context.addIssue({ code: 'custom', message: 'is not a moment: write it like 2026-12-05T22:00Z or 2026-12-05T23:00+01:00' });
      return z.NEVER;
    }
    return new Date(at).toISOString();
  })
  .meta({ title: 'moment', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d+)?)?(Z|[+-]\\d\\d:\\d\\d)$' });

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

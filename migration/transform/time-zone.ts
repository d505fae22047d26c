import { parseOffset } from './civil-time';

/** A zone's rules: offset from UTC in seconds (east is positive), at a UTC time and at a local time. */
export interface Zone {
  /** The offset, when it never changes. */
  fixed: number | null;
  atUtc(seconds: number): number;
  /** Times that exist twice or not at all mean standard time, as PostgreSQL reads them. */
  atLocal(seconds: number): number;
}

/** A day, in seconds. No zone has ever changed its offset and changed it back within one. */
const BUCKET = 86_400;
const CACHE_MAX = 20_000;

/** `UTC`, an offset (`+02:00`) or an IANA name (`Europe/Berlin`, by the runtime's time zone data). Null when unknown. */
export function zoneNamed(name: string): Zone | null {
  const offset = name === 'UTC' ? 0 : parseOffset(name, 0);
  if (offset !== undefined) return { fixed: offset, atUtc: () => offset, atLocal: () => offset };
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name, hourCycle: 'h23', era: 'short', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
    });
  } catch {
    return null;
  }
  const atUtc = cached((seconds) => offsetBy(format, seconds));
  const atLocal = (local: number): number => {
    const before = atUtc(local - 86_400);
    const after = atUtc(local + 86_400);
    if (before === after) return before;
    // The later rule holds where it is consistent (also for times that exist twice); the earlier one for the rest, gaps included.
    return atUtc(local - after) === after ? after : before;
  };
  return { fixed: null, atUtc, atLocal };
}

function offsetBy(format: Intl.DateTimeFormat, seconds: number): number {
  const part: Record<string, string> = {};
  for (const { type, value } of format.formatToParts(seconds * 1000)) part[type] = value;
  const year = part['era'] === 'BC' ? 1 - Number(part['year']) : Number(part['year']);
  const local = new Date(0);
  local.setUTCFullYear(year, Number(part['month']) - 1, Number(part['day']));
  local.setUTCHours(Number(part['hour']), Number(part['minute']), Number(part['second']));
  return local.getTime() / 1000 - seconds;
}

/** Remembers offsets by day, but not for a day in which the offset changes. */
function cached(offsetAt: (seconds: number) => number): (seconds: number) => number {
  const known = new Map<number, number>();
  return (seconds) => {
    const bucket = Math.floor(seconds / BUCKET);
    const hit = known.get(bucket);
    if (hit !== undefined) return hit;
    const start = offsetAt(bucket * BUCKET);
    if (start !== offsetAt((bucket + 1) * BUCKET - 1)) return offsetAt(seconds);
    if (known.size >= CACHE_MAX) known.clear();
    known.set(bucket, start);
    return start;
  };
}

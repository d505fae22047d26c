/** Calendar arithmetic and text of instants (proleptic Gregorian, years 1 to 9999, microseconds, no leap seconds). */

/** A point in time: local seconds since 1970-01-01T00:00:00 with the digits of its fraction, and its offset where the text had one. */
export interface Moment {
  seconds: number;
  /** Digits without trailing zeros, at most 6. */
  fraction: string;
  /** Seconds east of UTC; null when the text names no zone. */
  offset: number | null;
}

export const SECONDS_MIN = -62_135_596_800;
export const SECONDS_MAX = 253_402_300_799;

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export function daysInMonth(year: number, month: number): number {
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return leap ? 29 : MONTH_DAYS[month - 1] ?? 0;
}

/** Days since 1970-01-01. Method: count from 0000-03-01 in 400-year eras (H. Hinnant, "chrono-compatible low-level date algorithms"). */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
}

const pad = (n: number): string => (n < 10 ? `0${n}` : `${n}`);

/** `2026-01-02` of a day number. */
export function formatDays(days: number): string {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${String(year).padStart(4, '0')}-${pad(month)}-${pad(day)}`;
}

/** `2026-01-02T03:04:05.12` without a zone; null outside years 1 to 9999. */
export function formatSeconds(seconds: number, fraction: string): string | null {
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) return null;
  const days = Math.floor(seconds / 86_400);
  const rest = seconds - days * 86_400;
  const hour = Math.floor(rest / 3600);
  const minute = Math.floor(rest / 60) % 60;
  return `${formatDays(days)}T${pad(hour)}:${pad(minute)}:${pad(rest % 60)}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Seconds of a calendar time; null when there is no such day or time. */
export function secondsOf(year: number, month: number, day: number, hour: number, minute: number, second: number): number | null {
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  return daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
}

/** Cuts trailing zeros. More than 6 digits: null, or cut when `truncate`. */
export function tidyFraction(digits: string, truncate: boolean): string | null {
  let end = digits.length;
  if (end > 6 && truncate) end = 6;
  while (end > 0 && digits.charCodeAt(end - 1) === 48) end -= 1;
  return end > 6 ? null : digits.slice(0, end);
}

/** Two digits at `at`, or -1. */
function two(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48;
  const b = text.charCodeAt(at + 1) - 48;
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1;
}

/** Offset text from `at` to the end (`Z`, `+02`, `+0200`, `+02:00`, `+00:53:28`): seconds, or undefined when it is none. */
export function parseOffset(text: string, at: number): number | undefined {
  const sign = text.charCodeAt(at);
  if ((sign === 90 || sign === 122) && text.length === at + 1) return 0;
  if (sign !== 43 && sign !== 45) return undefined;
  const hours = two(text, at + 1);
  let next = at + 3;
  let total = hours * 3600;
  for (let unit = 60; next < text.length && unit >= 1; unit /= 60) {
    if (text.charCodeAt(next) === 58) next += 1;
    const part = two(text, next);
    if (part < 0 || part > 59) return undefined;
    total += part * unit;
    next += 2;
  }
  if (hours < 0 || hours > 15 || next !== text.length) return undefined;
  return sign === 45 ? -total : total;
}

/** Reads ISO 8601 (`T` or a space between date and time, seconds and zone optional, a date alone is midnight). Null when it is not that, or no such time. */
export function parseIso(text: string, truncate = false): Moment | null {
  const century = two(text, 0);
  const years = two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  if (century < 0 || years < 0 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45 || month < 0 || day < 0) return null;
  const year = century * 100 + years;
  if (text.length === 10) {
    const seconds = secondsOf(year, month, day, 0, 0, 0);
    return seconds === null ? null : { seconds, fraction: '', offset: null };
  }
  const gap = text.charCodeAt(10);
  if (gap !== 84 && gap !== 32 && gap !== 116) return null;
  const hour = two(text, 11);
  const minute = two(text, 14);
  if (hour < 0 || minute < 0 || text.charCodeAt(13) !== 58) return null;
  let second = 0;
  let at = 16;
  let fraction: string | null = '';
  if (text.charCodeAt(16) === 58) {
    second = two(text, 17);
    if (second < 0) return null;
    at = 19;
    const point = text.charCodeAt(19);
    if (point === 46 || point === 44) {
      at = 20;
      while (text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57) at += 1;
      if (at === 20) return null;
      fraction = tidyFraction(text.slice(20, at), truncate);
    }
  }
  const seconds = secondsOf(year, month, day, hour, minute, second);
  if (seconds === null || fraction === null) return null;
  if (at === text.length) return { seconds, fraction, offset: null };
  if (text.charCodeAt(at) === 32) at += 1;
  const offset = parseOffset(text, at);
  return offset === undefined ? null : { seconds, fraction, offset };
}

/** `03:04:05.12` in canonical form, or null. */
export function parseTime(text: string): string | null {
  const moment = parseIso(`2000-01-01T${text}`);
  if (moment === null || moment.offset !== null) return text === '24:00:00' ? text : null;
  return formatSeconds(moment.seconds, moment.fraction)?.slice(11) ?? null;
}

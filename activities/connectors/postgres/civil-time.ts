/**
 * PostgreSQL's binary dates and times (days or microseconds since 2000-01-01) to and from text.
 * Calendar arithmetic after Howard Hinnant, "chrono-compatible low-level date algorithms".
 */
const EPOCH_DAYS = 10_957; // 1970-01-01 to 2000-01-01
const MICROS_PER_DAY = 86_400_000_000;

const PAD2 = Array.from({ length: 100 }, (_, n) => (n < 10 ? `0${n}` : `${n}`));

interface Civil { year: number; month: number; day: number }

function civilFromDays(daysSince2000: number): Civil {
  const z = daysSince2000 + EPOCH_DAYS + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1 };
}

function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468 - EPOCH_DAYS;
}

/** `2026-01-02`; years of less than four digits are padded; years before 1 get ` BC` from the caller. */
function dateText({ year, month, day }: Civil): string {
  const shown = year <= 0 ? 1 - year : year;
  const yearText = shown < 1000 ? String(shown).padStart(4, '0') : String(shown);
  return `${yearText}-${PAD2[month] ?? ''}-${PAD2[day] ?? ''}`;
}

function timeText(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000);
  const fraction = micros - seconds * 1_000_000;
  const minutes = Math.floor(seconds / 60);
  const text = `${PAD2[Math.floor(minutes / 60)] ?? ''}:${PAD2[minutes % 60] ?? ''}:${PAD2[seconds % 60] ?? ''}`;
  if (fraction === 0) return text;
  let digits = String(fraction).padStart(6, '0');
  while (digits.endsWith('0')) digits = digits.slice(0, -1);
  return `${text}.${digits}`;
}

/** Days since 2000-01-01 -> `2026-01-02`, or PostgreSQL's own text for years before 1. */
export function dateFromDays(days: number): string {
  if (days === 0x7fffffff) return 'infinity';
  if (days === -0x80000000) return '-infinity';
  const civil = civilFromDays(days);
  return civil.year <= 0 ? `${dateText(civil)} BC` : dateText(civil);
}

export function timeFromMicros(micros: bigint): string {
  return timeText(Number(micros));
}

/** Microseconds since 2000-01-01 -> the neutral form; outside the years 1..9999 PostgreSQL's own text. `zone` is `Z` for instants, empty else. */
export function instantFromMicros(high: number, low: number, zone: 'Z' | ''): string {
  const exact = high * 4_294_967_296 + low;
  if (high === 0x7fffffff && low === 0xffffffff) return 'infinity';
  if (high === -0x80000000 && low === 0) return '-infinity';
  let days: number;
  let micros: number;
  if (Number.isSafeInteger(exact)) {
    days = Math.floor(exact / MICROS_PER_DAY);
    micros = exact - days * MICROS_PER_DAY;
  } else {
    const big = (BigInt(high) << 32n) + BigInt(low);
    const perDay = BigInt(MICROS_PER_DAY);
    const rest = ((big % perDay) + perDay) % perDay;
    days = Number((big - rest) / perDay);
    micros = Number(rest);
  }
  const civil = civilFromDays(days);
  if (civil.year >= 1 && civil.year <= 9999) return `${dateText(civil)}T${timeText(micros)}${zone}`;
  return `${dateText(civil)} ${timeText(micros)}${zone === 'Z' ? '+00' : ''}${civil.year <= 0 ? ' BC' : ''}`;
}

const DATE = /^(\d{4,})-(\d\d)-(\d\d)( BC)?$/;
const INSTANT = /^(\d{4,})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:Z|\+00)?( BC)?$/;
const TIME = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/;
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function checkedDays(yearText: string, month: number, day: number, bc: boolean): number | null {
  const year = bc ? 1 - Number(yearText) : Number(yearText);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month < 1 || month > 12 || day < 1 || day > (DAYS_IN_MONTH[month - 1] ?? 0) || (month === 2 && day === 29 && !leap)) return null;
  return daysFromCivil(year, month, day);
}

/** Null when the text is no date in the neutral form. */
export function daysFromDate(text: string): number | null {
  if (text === 'infinity') return 0x7fffffff;
  if (text === '-infinity') return -0x80000000;
  const match = DATE.exec(text);
  return match ? checkedDays(match[1] ?? '', Number(match[2]), Number(match[3]), match[4] !== undefined) : null;
}

/** Microseconds since 2000-01-01, a number where that is exact; null when the text is no instant or datetime in the neutral form. */
export function microsFromInstant(text: string): number | bigint | null {
  const regular = regularMicros(text);
  if (regular !== null) return regular;
  if (text === 'infinity') return 0x7fffffffffffffffn;
  if (text === '-infinity') return -0x8000000000000000n;
  const match = INSTANT.exec(text);
  if (!match) return null;
  const days = checkedDays(match[1] ?? '', Number(match[2]), Number(match[3]), match[8] !== undefined);
  const micros = microsOfDay(match[4], match[5], match[6], match[7]);
  if (days === null || micros === null) return null;
  const total = days * MICROS_PER_DAY + micros;
  return Number.isSafeInteger(total) ? total : BigInt(days) * BigInt(MICROS_PER_DAY) + BigInt(micros);
}

const SEPARATORS: readonly (readonly [at: number, code: number])[] = [[4, 45], [7, 45], [13, 58], [16, 58]];

/** The usual case without a regular expression: `2026-01-02T03:04:05[.f][Z]` of the years 1800..2200, any valid date. Null: look closer. */
function regularMicros(text: string): number | null {
  const { length } = text;
  if (length < 19 || length > 27) return null;
  for (const [at, code] of SEPARATORS) if (text.charCodeAt(at) !== code) return null;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hours = twoDigits(text, 11);
  const minutes = twoDigits(text, 14);
  const seconds = twoDigits(text, 17);
  const separator = text.charCodeAt(10);
  // A part that is no number is NaN, and NaN fails every comparison.
  if (!(year >= 1800 && year <= 2200 && month >= 1 && month <= 12 && day >= 1 && day <= 28 && hours <= 23 && minutes <= 59 && seconds <= 59) || (separator !== 84 && separator !== 32)) return null;
  const end = text.charCodeAt(length - 1) === 90 ? length - 1 : length;
  let micros = 0;
  if (end > 19) {
    if (text.charCodeAt(19) !== 46 || end === 20 || end > 26) return null;
    let scale = 100_000;
    for (let at = 20; at < end; at += 1, scale /= 10) {
      const digit = text.charCodeAt(at) - 48;
      if (digit < 0 || digit > 9) return null;
      micros += digit * scale;
    }
  }
  return daysFromCivil(year, month, day) * MICROS_PER_DAY + ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
}

function twoDigits(text: string, at: number): number {
  const high = text.charCodeAt(at) - 48;
  const low = text.charCodeAt(at + 1) - 48;
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? high * 10 + low : NaN;
}

export function microsFromTime(text: string): bigint | null {
  const match = TIME.exec(text);
  const micros = match ? microsOfDay(match[1], match[2], match[3], match[4]) : null;
  return micros === null ? null : BigInt(micros);
}

function microsOfDay(hours = '', minutes = '', seconds = '', fraction = ''): number | null {
  const [h, m, s] = [Number(hours), Number(minutes), Number(seconds)];
  const micros = ((h * 60 + m) * 60 + s) * 1_000_000 + Number(fraction.padEnd(6, '0'));
  return h > 24 || m > 59 || s > 59 || micros > MICROS_PER_DAY ? null : micros;
}

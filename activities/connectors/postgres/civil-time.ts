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
  return `${yearText}-${PAD2[month]}-${PAD2[day]}`;
}

function timeText(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000);
  const fraction = micros - seconds * 1_000_000;
  const minutes = Math.floor(seconds / 60);
  const text = `${PAD2[Math.floor(minutes / 60)]}:${PAD2[minutes % 60]}:${PAD2[seconds % 60]}`;
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

/** Microseconds since 2000-01-01; null when the text is no instant or datetime in the neutral form. */
export function microsFromInstant(text: string): bigint | null {
  if (text === 'infinity') return 0x7fffffffffffffffn;
  if (text === '-infinity') return -0x8000000000000000n;
  const match = INSTANT.exec(text);
  if (!match) return null;
  const days = checkedDays(match[1] ?? '', Number(match[2]), Number(match[3]), match[8] !== undefined);
  const micros = microsOfDay(match[4], match[5], match[6], match[7]);
  if (days === null || micros === null) return null;
  const total = days * MICROS_PER_DAY + micros;
  return Number.isSafeInteger(total) ? BigInt(total) : BigInt(days) * BigInt(MICROS_PER_DAY) + BigInt(micros);
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

import { parseIso, parseOffset, secondsOf, tidyFraction, type Moment } from './civil-time';
import { cannot } from './definition';

/** Reads one text; null when it does not have this format. */
export type MomentReader = (text: string) => Moment | null;

const TOKENS = ['YYYY', 'YY', 'MON', 'MM', 'M', 'DD', 'D', 'HH', 'H', 'hh', 'h', 'mm', 'ss', 'S', 'A', 'Z'] as const;
type Token = (typeof TOKENS)[number];
const TOKEN_HELP = 'YYYY YY MON MM M DD D HH H hh h mm ss S A Z';
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const UNITS_PER_SECOND = { unix_seconds: 0, unix_millis: 3, unix_micros: 6 } as const;

export type UnixUnit = keyof typeof UNITS_PER_SECOND;

/** Seconds and fraction of a whole number of units since 1970. Null outside years 1 to 9999 is left to formatting. */
export function unixMoment(units: bigint, unit: UnixUnit): Moment {
  const digits = UNITS_PER_SECOND[unit];
  const perSecond = 10n ** BigInt(digits);
  let seconds = units / perSecond;
  let rest = units % perSecond;
  if (rest < 0n) { rest += perSecond; seconds -= 1n; }
  const fraction = digits === 0 ? '' : tidyFraction(rest.toString().padStart(digits, '0'), false) ?? '';
  return { seconds: Number(seconds), fraction, offset: 0 };
}

/** Reader for `iso`, `unix_seconds`, `unix_millis`, `unix_micros` or a pattern such as `DD/MM/YYYY HH:mm:ss`. @throws MigrationError `MAPPING_INVALID`. */
export function momentReader(format: string, truncate: boolean): MomentReader {
  if (format === 'iso') return (text) => parseIso(text, truncate);
  if (format in UNITS_PER_SECOND) {
    return (text) => (isShortInteger(text) ? unixMoment(BigInt(text), format as UnixUnit) : null);
  }
  const parts = patternParts(format);
  const has = (token: Token): boolean => parts.includes(token);
  if (!(has('YYYY') || has('YY')) || !(has('MM') || has('M') || has('MON')) || !(has('DD') || has('D'))) {
    cannot(`format \`${format}\` must name year, month and day. Tokens: ${TOKEN_HELP}.`);
  }
  return (text) => new PatternRun(text, truncate).read(parts);
}

function isShortInteger(text: string): boolean {
  const from = text.charCodeAt(0) === 45 ? 1 : 0;
  if (text.length === from || text.length > 20) return false;
  for (let i = from; i < text.length; i += 1) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return false;
  return true;
}

/** Tokens and single literal characters (those prefixed by a quote: `'/`). */
function patternParts(format: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < format.length; ) {
    const token = TOKENS.find((t) => format.startsWith(t, at));
    if (token) {
      parts.push(token);
      at += token.length;
      while (token === 'S' && format[at] === 'S') at += 1;
      continue;
    }
    const literal = format.charAt(at);
    if (/[A-Za-z]/.test(literal) && literal !== 'T') cannot(`format \`${format}\`: \`${literal}\` means nothing. Tokens: ${TOKEN_HELP}, or \`iso\`, \`unix_seconds\`, \`unix_millis\`, \`unix_micros\`.`);
    parts.push(`'${literal}`);
    at += 1;
  }
  return parts;
}

type Slot = 'year' | 'month' | 'day' | 'hour' | 'minute' | 'second';

/** One reading of one text: walks it once, left to right. */
class PatternRun {
  private at = 0;
  private readonly got: Record<Slot, number> = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  private fraction = '';
  private offset: number | null = null;
  private half: number | null = null;

  constructor(private readonly text: string, private readonly truncate: boolean) {}

  read(parts: readonly string[]): Moment | null {
    for (const part of parts) {
      if (part.charCodeAt(0) === 39) {
        if (this.text[this.at] !== part[1]) return null;
        this.at += 1;
      } else if (!this.token(part as Token)) {
        return null;
      }
    }
    const { year, month, day, minute, second } = this.got;
    let { hour } = this.got;
    if (this.half !== null) {
      if (hour < 1 || hour > 12) return null;
      hour = (hour % 12) + this.half;
    }
    const seconds = this.at === this.text.length ? secondsOf(year, month, day, hour, minute, second) : null;
    const fraction = tidyFraction(this.fraction, this.truncate);
    return seconds === null || fraction === null ? null : { seconds, fraction, offset: this.offset };
  }

  private token(token: Token): boolean {
    switch (token) {
      case 'YYYY': return this.digits('year', 4, 4);
      case 'YY': {
        if (!this.digits('year', 2, 2)) return false;
        this.got.year += this.got.year < 70 ? 2000 : 1900;
        return true;
      }
      case 'MON': {
        this.got.month = MONTHS.indexOf(this.text.slice(this.at, this.at + 3).toLowerCase()) + 1;
        this.at += 3;
        return this.got.month > 0;
      }
      case 'MM': return this.digits('month', 2, 2);
      case 'M': return this.digits('month', 1, 2);
      case 'DD': return this.digits('day', 2, 2);
      case 'D': return this.digits('day', 1, 2);
      case 'HH': case 'hh': return this.digits('hour', 2, 2);
      case 'H': case 'h': return this.digits('hour', 1, 2);
      case 'mm': return this.digits('minute', 2, 2);
      case 'ss': return this.digits('second', 2, 2);
      case 'S': {
        const from = this.at;
        while (this.isDigit()) this.at += 1;
        this.fraction = this.text.slice(from, this.at);
        return this.at > from;
      }
      case 'A': {
        const word = this.text.slice(this.at, this.at + 2).toLowerCase();
        this.half = word === 'pm' ? 12 : 0;
        this.at += 2;
        return word === 'am' || word === 'pm';
      }
      case 'Z': {
        let end = this.at;
        while (end < this.text.length && /[-+:0-9Zz]/.test(this.text.charAt(end))) end += 1;
        const offset = parseOffset(this.text.slice(this.at, end), 0);
        this.at = end;
        this.offset = offset ?? null;
        return offset !== undefined;
      }
    }
  }

  private isDigit(): boolean {
    const c = this.text.charCodeAt(this.at);
    return c >= 48 && c <= 57;
  }

  private digits(slot: Slot, min: number, max: number): boolean {
    let count = 0;
    let value = 0;
    while (count < max && this.isDigit()) {
      value = value * 10 + this.text.charCodeAt(this.at) - 48;
      this.at += 1;
      count += 1;
    }
    this.got[slot] = value;
    return count >= min;
  }
}

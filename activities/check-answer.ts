/** How the answers of check SQL are compared and shown: exactly, without JavaScript numbers. */

/** What one SQL text said. `value` is the database's own text; null for NULL. */
export type Answer =
  | { state: 'answer'; value: string | null }
  /** The time limit passed, or it was not one row of one column. */
  | { state: 'no_answer'; reason: string };

interface Decimal { negative: boolean; digits: bigint; scale: number }

const DECIMAL = /^([+-]?)(\d{1,1000})(?:\.(\d{0,1000}))?$/;

function decimalOf(text: string | null): Decimal | null {
  const match = text === null ? null : DECIMAL.exec(text);
  if (!match) return null;
  const [, sign, whole = '', fraction = ''] = match;
  const digits = BigInt(whole + fraction);
  return { negative: sign === '-' && digits !== 0n, digits, scale: fraction.length };
}

/** Below, at or above zero as `a` is below, equal to or above `b`; null when either is no plain number. */
export function compareAnswers(a: string | null, b: string | null): number | null {
  const x = decimalOf(a);
  const y = decimalOf(b);
  if (!x || !y) return null;
  const scale = Math.max(x.scale, y.scale);
  const scaled = (d: Decimal): bigint => (d.negative ? -d.digits : d.digits) * 10n ** BigInt(scale - d.scale);
  const difference = scaled(x) - scaled(y);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Numbers by value (1.10 is 1.1), all else by exact text; NULL equals NULL. */
export function sameAnswer(a: string | null, b: string | null): boolean {
  const order = compareAnswers(a, b);
  return order === null ? a === b : order === 0;
}

export function isZero(answer: Answer): boolean {
  return answer.state === 'answer' && compareAnswers(answer.value, '0') === 0;
}

/** For people: numbers and NULL as they are; a text might be a row's value and stays hidden. */
export function shown(answer: Answer): string {
  if (answer.state === 'no_answer') return answer.reason;
  if (answer.value === null) return 'NULL';
  return decimalOf(answer.value) || /^-?(\d+(\.\d+)?e[+-]?\d+|NaN|Infinity)$/.test(answer.value) ? answer.value : '(an answer that is no number, not shown)';
}

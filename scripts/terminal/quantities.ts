const GROUPS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const BYTES_PER_STEP = 1000;

/** 1234567 -> `1,234,567`. */
export function formatCount(count: number): string {
  return GROUPS.format(count);
}

/** `1 row`, `2 rows`; `plural` is needed only where `-s` is wrong. */
export function countOf(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`;
}

/** Bytes with one decimal from kB on: `512 B`, `1.5 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= BYTES_PER_STEP && unit < units.length - 1) {
    value /= BYTES_PER_STEP;
    unit++;
  }
  return unit === 0 ? `${formatCount(value)} B` : `${value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** Two neighbouring units in words, the larger first: `2 hours 15 minutes`, `40 seconds`. Below one second: `under a second`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 1) return 'under a second';
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'day'],
    [Math.floor((seconds % 86_400) / 3600), 'hour'],
    [Math.floor((seconds % 3600) / 60), 'minute'],
    [seconds % 60, 'second'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => countOf(amount, unit))
    .join(' ');
}

/** A share in percent with just enough digits that a part above zero never shows as 0 and a part below all never as 100. */
export function formatPercent(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return '0%';
  const percent = (part / whole) * 100;
  if (percent >= 100) return `${percent.toFixed(0)}%`;
  for (let digits = percent >= 10 ? 0 : 1; digits <= 6; digits++) {
    const text = percent.toFixed(digits);
    if (Number(text) > 0 && Number(text) < 100) return `${text.replace(/\.0+$/, '')}%`;
  }
  return percent > 50 ? '99.999999%' : '0.000001%';
}

/** Whole percent of progress, rounded down: 100 only when all is done. */
export function wholePercent(part: number, whole: number): number {
  if (whole <= 0) return part > 0 ? 100 : 0;
  return Math.max(0, Math.min(100, Math.floor((part / whole) * 100)));
}

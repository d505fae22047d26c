import { datasetCount, doneCount, isMany } from '../../migration/progress';
import type { DatasetProgress, RunProgress } from '../../migration/protocol';
import { renderBlocked, statusWords } from './dashboard';
import { countOf, formatCount, formatDuration, wholePercent } from './quantities';
import type { Terminal } from './terminal';

const PERCENT_STEP = 10;

/** What a person would want to know since the last look, a line each; nothing when nothing notable happened. `before` is null at the first look. */
export function describeChanges(before: RunProgress | null, now: RunProgress, terminal: Terminal): string[] {
  const lines: string[] = [];
  const status = statusWords(now.status, now.phase);
  if (!before || statusWords(before.status, before.phase) !== status || (before.note !== now.note && now.note)) {
    lines.push(now.note ? `${status}: ${now.note}` : status);
  }
  const known = new Map((before?.progress?.datasets ?? []).map((one) => [one.dataset, one]));
  // Of very many datasets, the steps of the whole say enough.
  for (const dataset of now.progress && !isMany(now.progress) ? now.progress.datasets : []) {
    const line = datasetChange(known.get(dataset.dataset), dataset);
    if (line) lines.push(line);
  }
  const step = overallStep(now);
  if (step > overallStep(before) && step < 100) lines.push(overallLine(now));
  const alertsBefore = new Set((before?.progress?.alerts ?? []).filter((one) => one.active).map((one) => one.alert));
  for (const alert of now.progress?.alerts ?? []) if (alert.active && !alertsBefore.has(alert.alert)) lines.push(`${terminal.marks.warning} ${alert.message}`);
  const blockedBefore = new Set((before?.blocked ?? []).map((one) => `${one.step} ${one.occurrence}`));
  lines.push(...renderBlocked(now.blocked.filter((one) => !blockedBefore.has(`${one.step} ${one.occurrence}`)), terminal));
  return lines;
}

function datasetChange(before: DatasetProgress | undefined, now: DatasetProgress): string | null {
  if ((before?.state ?? 'waiting') === now.state) return null;
  if (now.state !== 'done') return `${now.dataset}: ${now.state}`;
  const { counts } = now;
  const parts = [`${countOf(counts.read, 'row')} read`, `${formatCount(counts.written)} written`];
  if (counts.unchanged > 0) parts.push(`${formatCount(counts.unchanged)} unchanged`);
  if (counts.filtered > 0) parts.push(`${formatCount(counts.filtered)} left out`);
  if (counts.quarantined > 0) parts.push(`${formatCount(counts.quarantined)} quarantined`);
  return `${now.dataset}: done, ${parts.join(', ')}`;
}

function overallStep(view: RunProgress | null): number {
  const progress = view?.progress;
  if (!progress) return 0;
  const percent = wholePercent(progress.counts.read, Math.max(progress.total, progress.counts.read));
  return percent - (percent % PERCENT_STEP);
}

function overallLine(view: RunProgress): string {
  const progress = view.progress;
  if (!progress) return '';
  const total = Math.max(progress.total, progress.counts.read);
  const left = progress.rowsPerSecond > 0 ? `, ${formatCount(progress.rowsPerSecond)} rows/s, ${formatDuration(((total - progress.counts.read) / progress.rowsPerSecond) * 1000)} left` : '';
  const datasets = isMany(progress) ? `, ${doneCount(progress)} of ${datasetCount(progress)} datasets done` : '';
  return `${overallStep(view)}%: ${formatCount(progress.counts.read)} of ${formatCount(total)} rows${datasets}${left}`;
}

import type { ReportData } from '../../workers/door';
import { formatCount, formatDuration } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import type { Terminal } from '../terminal/terminal';

const REASONS_SHOWN_MAX = 14;

/** Rows in quarantine by dataset and reason, most first. */
export function renderQuarantine(quarantine: ReportData['quarantine'], { color }: Terminal): string[] {
  if (quarantine.length === 0) return ['No row is in quarantine.'];
  const sorted = [...quarantine].sort((a, b) => b.rows - a.rows);
  const rows = sorted.slice(0, REASONS_SHOWN_MAX).map((one) => [one.dataset, one.column ? `${one.rule} (${one.column})` : one.rule, formatCount(one.rows)]);
  const left = sorted.slice(REASONS_SHOWN_MAX);
  return [
    ...renderTable([{ title: 'quarantined' }, { title: 'reason' }, { title: 'rows', align: 'right' }], rows, color.dim),
    ...(left.length > 0 ? [color.dim(`and ${formatCount(left.reduce((sum, one) => sum + one.rows, 0))} rows for ${left.length} more reasons`)] : []),
  ];
}

/** Rows, time from first to last commit, and speed of each dataset. */
export function renderDatasetTimes({ status, datasets }: ReportData, { color }: Terminal): string[] {
  const counts = new Map((status.progress?.datasets ?? []).map((one) => [one.dataset, one.counts]));
  const rows = datasets.map((one) => {
    const read = counts.get(one.dataset)?.read ?? 0;
    const ms = one.firstCommitAt && one.lastCommitAt ? Date.parse(one.lastCommitAt) - Date.parse(one.firstCommitAt) : 0;
    return [one.dataset, formatCount(read), formatCount(counts.get(one.dataset)?.quarantined ?? 0), String(one.commits), ms > 0 ? formatDuration(ms) : ''];
  });
  const total = status.progress?.counts.read ?? 0;
  const ms = Date.parse(status.finishedAt ?? status.updatedAt) - Date.parse(status.startedAt);
  return [
    ...renderTable([{ title: 'dataset' }, { title: 'rows', align: 'right' }, { title: 'quarantined', align: 'right' }, { title: 'commits', align: 'right' }, { title: 'first to last commit' }], rows, color.dim),
    '', `${formatCount(total)} rows prepared, moved and verified in ${formatDuration(ms)}: ${formatCount(ms > 0 ? (total * 1000) / ms : 0)} rows/s over everything.`,
  ];
}

import { dashboardBlock, STATUS_WORDS } from '../../migration/dashboard';
import { activeFirst, datasetCount, doneCount } from '../../migration/progress';
import type { BlockedStep, Phase, Progress, RunProgress, RunStatus } from '../../migration/protocol';
import { countOf, formatCount, wholePercent } from './quantities';
import { renderTable } from './table';
import type { Terminal } from './terminal';
import { wrapText } from './text-width';

/** The status as people read it: `Running (production)`. */
export function statusWords(status: RunStatus, phase: Phase | null = null): string {
  return phase && status === 'running' ? `${STATUS_WORDS[status]} (${phase})` : STATUS_WORDS[status];
}

/** The dashboard, the datasets below it, then alerts, what is blocked and what waits. One string per line. */
export function renderDashboard(view: RunProgress, terminal: Terminal): string[] {
  const { color, marks, columns } = terminal;
  const lines = renderOverview(view, terminal);
  if (view.progress && view.progress.datasets.length > 0) lines.push('', ...renderDatasets(view.progress, terminal));
  for (const alert of view.progress?.alerts.filter((one) => one.active) ?? []) lines.push('', color.yellow(`${marks.warning} ${alert.message}`));
  if (view.blocked.length > 0) lines.push('', ...renderBlocked(view.blocked, terminal));
  for (const gate of view.waitingFor) lines.push('', color.yellow(`${marks.warning} Waits for approval of ${gate}: npx caravan approve ${view.migration} ${gate}`));
  if (view.note) lines.push('', ...wrapText(view.note, columns).map(color.dim));
  return lines;
}

/** The six lines as the Temporal UI shows them, in the terminal's characters and colours. */
function renderOverview(view: RunProgress, terminal: Terminal): string[] {
  const { color, marks } = terminal;
  return dashboardBlock(view).split('\n').map((line, index) => {
    if (index === 0) return color.bold(line);
    const mark = line.startsWith('└') ? marks.last : marks.branch;
    const fact = line.slice(4);
    return `${color.dim(mark)} ${fact.startsWith('Status: ') ? `Status: ${paintByStatus(fact.slice(8), view.status, terminal)}` : fact}`;
  });
}

/** Green when complete, red when it needs a person, yellow when a person holds it, plain otherwise. */
export function paintByStatus(text: string, status: RunStatus, { color }: Terminal): string {
  if (status === 'complete') return color.green(text);
  if (status === 'blocked' || status === 'failed' || status === 'aborted') return color.red(text);
  if (status === 'paused' || status === 'waiting_for_approval') return color.yellow(text);
  return text;
}

/** On a short terminal the active datasets are shown and the rest is counted, never cut in silence. */
function renderDatasets(progress: Progress, terminal: Terminal): string[] {
  const { color, marks } = terminal;
  const { datasets } = progress;
  const room = terminal.interactive ? Math.max(4, terminal.rows - 16) : datasets.length;
  const shown = datasets.length <= room ? datasets : activeFirst(datasets).slice(0, room);
  const rows = shown.map(({ dataset, state, counts, total }) => {
    const mark = state === 'done' ? color.green(marks.ok) : state === 'waiting' ? color.dim(marks.none) : color.cyan(marks.active);
    const percent = state === 'done' ? 100 : Math.min(wholePercent(counts.read, Math.max(total, counts.read)), 99);
    const quarantined = counts.quarantined > 0 ? color.yellow(formatCount(counts.quarantined)) : '0';
    return [mark, dataset, state, `${percent}%`, formatCount(counts.read), formatCount(counts.written + counts.unchanged), quarantined];
  });
  const table = renderTable(
    [{ title: '' }, { title: 'dataset' }, { title: 'state' }, { title: '', align: 'right' }, { title: 'read', align: 'right' }, { title: 'in target', align: 'right' }, { title: 'quarantined', align: 'right' }],
    rows,
    color.dim,
  );
  const all = datasetCount(progress);
  return shown.length < all ? [...table, color.dim(`and ${countOf(all - shown.length, 'more dataset')}; ${doneCount(progress)} of ${all} done`)] : table;
}

/** What is blocked, why, and what to do. */
export function renderBlocked(blocked: BlockedStep[], terminal: Terminal): string[] {
  const { color, marks, columns } = terminal;
  return blocked.flatMap((one) => [
    `${color.red(`${marks.bad} Blocked: ${one.step}`)}  ${color.dim(`${one.code}, since ${one.since.replace(/\.\d+Z$/, 'Z')}`)}`,
    ...wrapText(one.message, columns, '  '),
    ...one.remedies.flatMap((remedy) => wrapText(remedy, columns, `  ${marks.active} `)),
  ]);
}

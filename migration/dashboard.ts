/** The progress dashboard, as text for a terminal and as Markdown for the *Current details* of the Temporal UI. Pure. */
import { firstNames } from './name-list';
import { cutoverMarkdown, cutoverText, dryRunLines } from './cutover-board';
import { activeFirst, datasetCount, doneCount } from './progress';
import { SEARCH_ATTRIBUTES, type AlertState, type BlockedStep, type DatasetProgress, type Progress, type RunProgress, type RunStatus } from './protocol';

const BAR_WIDTH = 9;
const DATASETS_SHOWN = 40;
/** Where the UI hides the updates. */
const SEND = '*More Actions* → *Send an Update* →';

export const STATUS_WORDS: Record<RunStatus, string> = {
  running: 'Running', paused: 'Paused', blocked: 'Blocked', waiting_for_approval: 'Waiting for approval',
  complete: 'Complete', failed: 'Failed', cancelled: 'Cancelled', aborted: 'Aborted',
  rolling_back: 'Rolling back', rolled_back: 'Rolled back',
};

/** The dashboard, the datasets, what is blocked and what to do: plain text, lines without trailing blanks. */
export function dashboardText(state: RunProgress): string {
  const parts = [dashboardBlock(state)];
  if (state.dryRun) parts.push(['Dry run: nothing is changed.', ...dryRunLines(state.dryRun)].join('\n'));
  const cutover = cutoverText(state);
  if (cutover) parts.push(cutover);
  const table = datasetTable(state);
  if (table) parts.push(table);
  const alerts = activeAlerts(state.progress);
  if (alerts.length > 0) parts.push(alerts.map((alert) => `Alert: ${alert.message}`).join('\n'));
  if (state.waitingFor.length > 0) parts.push(`Waiting for approval: ${state.waitingFor.join(', ')}${state.waitingRole === undefined ? '' : ` (role ${state.waitingRole})`}`);
  for (const step of state.blocked) parts.push(blockedText(step));
  if (state.note) parts.push(state.note);
  return parts.join('\n\n');
}

/** The same for the UI: CommonMark without tables, images or HTML. `{namespace}` and `{workflowId}` are filled in by the UI. */
export function dashboardMarkdown(state: RunProgress): string {
  const parts = [fenced(dashboardBlock(state))];
  for (const step of state.blocked) parts.push(blockedMarkdown(step));
  if (state.waitingFor.length > 0) {
    parts.push(`### Waiting for approval: ${state.waitingFor.map(code).join(', ')}\n${state.waitingRole === undefined ? '' : `By the role ${code(state.waitingRole)}. `}${send('approve', { gate: state.waitingFor[0], by: 'your name', ...(state.waitingRole === undefined ? {} : { role: state.waitingRole }) })}`);
  }
  if (state.status === 'paused') parts.push(`### ${isPausing(state) ? 'Pausing' : 'Paused'}\n${state.note ? `${plain(state.note)} ` : ''}${isPausing(state) ? 'What cannot stop in the middle runs to its end first. ' : ''}To go on: ${SEND} \`resume\`.`);
  else if (state.note) parts.push(plain(state.note));
  if (state.dryRun) parts.push(['### Dry run: nothing is changed', ...dryRunLines(state.dryRun).map((line) => `- ${plain(line)}`)].join('\n'));
  const cutover = cutoverMarkdown(state, plain);
  if (cutover) parts.push(cutover);
  const alerts = activeAlerts(state.progress);
  if (alerts.length > 0) parts.push(`### Alerts\n${alerts.map((alert) => `- ${plain(alert.message)}${alert.blocks ? ' (blocks)' : ''}`).join('\n')}`);
  const table = datasetTable(state);
  if (table) parts.push(`### Datasets\n${fenced(table)}`);
  if ((state.progress?.openQuarantine ?? 0) > 0) parts.push(`Rows in quarantine and why they are there: ${code(`npx caravan quarantine list ${state.migration}`)}`);
  // The UI's own button is larger, and stops only this workflow: its children go on, and updates are refused.
  if (state.status === 'running') parts.push(`To pause: ${SEND} \`pause\`. The button *Pause Workflow* does not stop the copying.`);
  parts.push(links(state));
  return parts.join('\n\n');
}

/** The six lines that stand at the top. */
export function dashboardBlock(state: RunProgress): string {
  const { progress } = state;
  const done = progress ? accounted(progress) : 0;
  const total = Math.max(progress?.total ?? 0, done);
  const share = shareDone(state, done, total);
  const errors = progress?.openQuarantine ?? 0;
  return [
    '[Migration Progress Dashboard]',
    `├── Overall Progress: [${bar(share)}] ${Math.floor(share * 100)}%`,
    `├── Current Table: ${currentTable(state)}`,
    `├── Records Processed: ${grouped(done)} / ${grouped(total)}`,
    `├── Error Count: ${grouped(errors)} (${percent(errors, done)})`,
    `├── ETA: ${eta(state, total - done)}`,
    `└── Status: ${statusWord(state)}`,
  ].join('\n');
}

/** `2 hours 15 minutes`, `45 seconds`: the two largest units, rounded up to the smaller one. */
export function humanDuration(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return unit(whole, 'second');
  const minutes = Math.ceil(whole / 60);
  if (minutes < 60) return unit(minutes, 'minute');
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return pair(hours, 'hour', minutes % 60, 'minute');
  const allHours = Math.ceil(minutes / 60);
  return pair(Math.floor(allHours / 24), 'day', allHours % 24, 'hour');
}

/** `1234567` -> `1,234,567`. */
export function grouped(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function accounted({ counts }: Progress): number {
  return counts.read;
}

/** 1 only when the run is complete: rounding must not claim the end early. */
function shareDone(state: RunProgress, done: number, total: number): number {
  if (state.status === 'complete') return 1;
  if (total === 0) return 0;
  return Math.min(done / total, allDone(state.progress) ? 1 : 0.99);
}

function allDone(progress: Progress | null): boolean {
  return progress !== null && datasetCount(progress) > 0 && doneCount(progress) === datasetCount(progress);
}

function bar(share: number): string {
  const filled = Math.floor(share * BAR_WIDTH);
  const head = share > 0 && filled < BAR_WIDTH ? '>' : '';
  return ('='.repeat(filled) + head).padEnd(BAR_WIDTH);
}

function currentTable(state: RunProgress): string {
  const moving = (state.progress?.datasets ?? []).filter((dataset) => dataset.state === 'copying' || dataset.state === 'finishing');
  if (moving.length > 0) {
    const named = moving.slice(0, 4).map((dataset) => dataset.dataset).join(', ');
    return moving.length > 4 ? `${named} and ${moving.length - 4} more` : named;
  }
  return state.phase && state.phase !== 'production' && state.status !== 'complete' ? `none (${state.phase})` : 'none';
}

function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0%';
  const share = (part / whole) * 100;
  if (share < 0.001) return '<0.001%';
  return `${Number(share.toFixed(share < 0.1 ? 3 : share < 10 ? 2 : 1))}%`;
}

function eta(state: RunProgress, left: number): string {
  if (state.status === 'complete') return 'done';
  if (state.status !== 'running' || state.phase === 'preparation' || !state.progress) return 'unknown';
  if (state.phase === 'validation') return 'copied, being verified';
  if (state.phase === 'cutover' && left <= 0) return 'copied, being cut over';
  if (left <= 0) return 'copied, being finished';
  if (!(state.progress.rowsPerSecond > 0)) return 'unknown';
  return humanDuration(left / state.progress.rowsPerSecond);
}

function isPausing(state: RunProgress): boolean {
  return state.status === 'paused' && (state.pausingAfter ?? []).length > 0;
}

function statusWord(state: RunProgress): string {
  const word = STATUS_WORDS[state.status];
  if (isPausing(state)) return `Pausing after ${firstNames(state.pausingAfter ?? [])}`;
  if (state.status === 'blocked') return `${word} (${firstNames(state.blocked.map((step) => step.step))})`;
  if (state.status === 'waiting_for_approval') return `${word} (${state.waitingFor.join(', ')})`;
  return word;
}

/** Columns aligned by blanks: dataset, state, rows, quarantine. What moves comes first; a long list is cut and says so. */
function datasetTable(state: RunProgress): string {
  const { progress } = state;
  if (!progress || progress.datasets.length === 0) return '';
  const shown = activeFirst(progress.datasets).slice(0, DATASETS_SHOWN);
  const rows = [['dataset', 'state', 'rows', 'of', 'quarantined'], ...shown.map((dataset) => cells(dataset, shownState(dataset, state)))];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const lines = rows.map((row) => row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ').trimEnd());
  const all = datasetCount(progress);
  if (all > shown.length) lines.push(`... and ${all - shown.length} more; ${doneCount(progress)} of ${all} done`);
  return lines.join('\n');
}

/** What holds a dataset up says more than what it was doing. */
function shownState({ dataset, state }: DatasetProgress, run: RunProgress): string {
  if (state === 'done') return state;
  if (run.blocked.some((step) => step.dataset === dataset)) return 'blocked';
  return state !== 'waiting' && run.status === 'paused' && !isPausing(run) ? 'paused' : state;
}

function cells({ dataset, counts, total }: DatasetProgress, state: string): string[] {
  return [dataset, state, grouped(counts.read), grouped(Math.max(total, counts.read)), grouped(counts.quarantined)];
}

function activeAlerts(progress: Progress | null): AlertState[] {
  return (progress?.alerts ?? []).filter((alert) => alert.active);
}

function blockedText(step: BlockedStep): string {
  return [`Blocked: ${step.step} (${step.code})`, `  ${step.message}`, ...step.remedies.map((remedy) => `  - ${remedy}`)].join('\n');
}

function blockedMarkdown(step: BlockedStep): string {
  return [
    `### Blocked: ${code(step.step)}`,
    `**${step.code}** since ${minute(step.since)}: ${plain(step.message)}`,
    '',
    ...step.remedies.map((remedy) => `- ${plain(remedy)}`),
    '',
    send('resolveStep', { action: 'retry', step: step.step, by: 'your name' }),
    '',
    step.skippable ? 'Instead of `retry`: `skip` leaves this step out (add `"reason"`), `abort` ends the run and keeps the rows.' : 'Instead of `retry`: `abort` ends the run and keeps the rows. This step cannot be skipped.',
  ].join('\n');
}

/** Which update to send, with its Data in a block of its own: to be copied as it is. */
function send(update: string, data: object): string {
  // One key a line: a block does not wrap, and the dialog lays it out like this, too.
  return `${SEND} \`${update}\`, with this as Data:\n\n${fenced(JSON.stringify(data, null, 2).replaceAll('`', '\\u0060'))}`;
}

function links(state: RunProgress): string {
  const list = (query: string) => `/namespaces/{namespace}/workflows?query=${query}`;
  const parts = [`[Workflows of this run](${list('RootWorkflowId%3D%22{workflowId}%22')})`];
  if (state.status === 'blocked') parts.push(`[All blocked migrations](${list(`${SEARCH_ATTRIBUTES.status}%3D%22blocked%22%20AND%20ExecutionStatus%3D%22Running%22`)})`);
  return parts.join(' · ');
}

function fenced(text: string): string {
  return `\`\`\`\n${text}\n\`\`\``;
}

function code(text: string): string {
  return `\`${text.replaceAll('`', "'")}\``;
}

/** Messages are text, not Markdown: what would format, link or open a block is escaped. Only `code` in pairs of backticks stays. */
function plain(text: string): string {
  const parts = text.replaceAll(/\s*\n\s*/g, ' ').split(/(`[^`]+`)/);
  return parts.map((part, at) => (at % 2 === 1 ? part : part.replaceAll(/[\\`*_[\]<>#]/g, (sign) => `\\${sign}`))).join('');
}

/** `2026-01-02T03:04:05.000Z` -> `2026-01-02 03:04 UTC`. */
function minute(instant: string): string {
  return `${instant.slice(0, 16).replace('T', ' ')} UTC`;
}

function unit(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

function pair(large: number, largeName: string, small: number, smallName: string): string {
  return small === 0 ? unit(large, largeName) : `${unit(large, largeName)} ${unit(small, smallName)}`;
}

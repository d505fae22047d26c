import type { CheckOutcome, CompareResult, MigrationResult, Verdict } from '../../migration/protocol';
import type { ReportData } from '../../workers/door';
import { countOf, formatCount, formatDuration, formatPercent } from '../terminal/quantities';
import { verdictMark } from '../terminal/summary';
import { renderPairs, renderTable } from '../terminal/table';
import type { Terminal } from '../terminal/terminal';
import { fitText } from '../terminal/text-width';

const REASONS_SHOWN_MAX = 14;
const VERDICT_WORDS: Record<Verdict, string> = { passed: 'passed', explained: 'explained by quarantine', warned: 'warned', failed: 'failed' };
const WORST_FIRST: Verdict[] = ['failed', 'warned', 'explained', 'passed'];

/** What moved and what was proved, in few lines; the report holds every single outcome. */
export function renderOutcome(result: MigrationResult, terminal: Terminal): string[] {
  const { color, marks } = terminal;
  const { counts, checks, comparisons } = result;
  const title = result.status === 'complete' ? color.green(`${marks.ok} ${result.migration} is complete`) : color.red(`${marks.bad} ${result.migration}: ${result.status}`);
  const moved: [string, string][] = [
    ['read', formatCount(counts.read)],
    ['written', formatCount(counts.written)],
    ['quarantined', color.yellow(`${formatCount(counts.quarantined)} (${formatPercent(counts.quarantined, counts.read)}), each with its reason and its content`)],
  ];
  const ofKind = (kind: CheckOutcome['kind']): CheckOutcome[] => checks.filter((check) => check.kind === kind);
  return [
    title, '', ...renderPairs(moved, color.dim).map((line) => `  ${line}`), '', 'Proved',
    ...judged('row counts of both sides', ofKind('count'), 'dataset', terminal),
    ...judged('random samples, column by column', ofKind('sample'), 'dataset', terminal),
    ...renderRows(comparisons, terminal),
    ...judged('integrity', ofKind('integrity'), 'check', terminal),
    ...judged('business rules', ofKind('business_rule'), 'check', terminal),
  ];
}

/** `✓ row counts of both sides: 10 datasets, 5 passed, 5 explained by quarantine`; what failed or warned by name. */
function judged(what: string, outcomes: CheckOutcome[], noun: string, terminal: Terminal): string[] {
  if (outcomes.length === 0) return [];
  const worst = WORST_FIRST.find((verdict) => outcomes.some((one) => one.verdict === verdict)) ?? 'passed';
  const parts = [...WORST_FIRST].reverse().flatMap((verdict) => {
    const count = outcomes.filter((one) => one.verdict === verdict).length;
    return count > 0 ? [`${count} ${VERDICT_WORDS[verdict]}`] : [];
  });
  const named = outcomes.filter((one) => one.verdict === 'failed' || one.verdict === 'warned').map((one) => `      ${one.name}${one.side ? ` (${one.side})` : ''}: ${one.detail}`);
  return [`  ${verdictMark(worst, terminal)} ${what}: ${countOf(outcomes.length, noun)}, ${parts.join(', ')}`, ...named.map(terminal.color.dim)];
}

function renderRows(comparisons: CompareResult[], terminal: Terminal): string[] {
  if (comparisons.length === 0) return [];
  const sum = (field: 'compared' | 'missing' | 'extra' | 'different' | 'unreadable' | 'explained'): number => comparisons.reduce((total, one) => total + one[field], 0);
  const wrong = sum('missing') + sum('extra') + sum('different') + sum('unreadable');
  const worst = WORST_FIRST.find((verdict) => comparisons.some((one) => one.verdict === verdict)) ?? 'passed';
  const equal = sum('compared') - sum('explained') - sum('missing') - sum('different') - sum('unreadable');
  return [`  ${verdictMark(worst, terminal)} every row by hash, both ways: ${formatCount(equal)} equal, ${formatCount(sum('explained'))} in quarantine, ${formatCount(wrong)} missing, extra or different`];
}

/** Most steps take no time worth a word. */
function tookLong(openedAt: string, closedAt: string | null): string {
  const took = closedAt === null ? 0 : Date.parse(closedAt) - Date.parse(openedAt);
  return took >= 1_000 ? formatDuration(took) : '';
}

/** The steps of the cutover, each with how long it took and what was seen. */
export function renderSteps(steps: ReportData['steps'], { color, columns, marks }: Terminal): string[] {
  if (steps.length === 0) return [];
  const room = Math.max(40, columns - 50);
  const rows = steps.map(({ step, state, openedAt, closedAt, evidence }) => [
    step, state === 'done' ? '' : state, tookLong(openedAt, closedAt), fitText(evidence?.what ?? '', room, marks.ellipsis),
  ]);
  return renderTable([{ title: 'cutover' }, { title: '' }, { title: 'took' }, { title: 'what was seen' }], rows, color.dim);
}

/** Rows in quarantine by dataset and reason, most first. */
export function renderQuarantine(quarantine: ReportData['quarantine'], { color }: Terminal): string[] {
  if (quarantine.length === 0) return ['No row is in quarantine.'];
  const sorted = [...quarantine].sort((a, b) => b.rows - a.rows);
  const rows = sorted.slice(0, REASONS_SHOWN_MAX).map((one) => [one.dataset, one.column ? `${one.rule} (${one.column})` : one.rule, formatCount(one.rows)]);
  const left = sorted.slice(REASONS_SHOWN_MAX);
  return [
    ...renderTable([{ title: 'quarantined' }, { title: 'reason' }, { title: 'rows', align: 'right' }], rows, color.dim),
    ...(left.length > 0 ? [color.dim(`and ${countOf(left.reduce((sum, one) => sum + one.rows, 0), 'row')} for ${countOf(left.length, 'more reason')}`)] : []),
  ];
}

/** Rows, commits and time from first to last commit of each dataset, and the speed over everything. */
export function renderDatasetTimes({ status, datasets }: ReportData, { color }: Terminal): string[] {
  const counts = new Map((status.progress?.datasets ?? []).map((one) => [one.dataset, one.counts]));
  const rows = datasets.map((one) => {
    const ms = one.firstCommitAt && one.lastCommitAt ? Date.parse(one.lastCommitAt) - Date.parse(one.firstCommitAt) : 0;
    return [one.dataset, formatCount(counts.get(one.dataset)?.read ?? 0), String(one.commits), ms > 0 ? formatDuration(ms) : ''];
  });
  const total = status.progress?.counts.read ?? 0;
  const ms = Date.parse(status.finishedAt ?? status.updatedAt) - Date.parse(status.startedAt);
  return [
    ...renderTable([{ title: 'dataset' }, { title: 'rows', align: 'right' }, { title: 'commits', align: 'right' }, { title: 'first to last commit' }], rows, color.dim),
    '', `${formatCount(total)} rows prepared, moved and proved in ${formatDuration(ms)}: ${formatCount(ms > 0 ? (total * 1000) / ms : 0)} rows/s over everything.`,
  ];
}

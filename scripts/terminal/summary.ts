import type { CheckOutcome, CompareResult, MigrationResult, Verdict } from '../../migration/protocol';
import { countOf, formatCount, formatPercent } from './quantities';
import { renderPairs } from './table';
import type { Terminal } from './terminal';

const VERDICT_WORDS: Record<Verdict, string> = { passed: 'passed', explained: 'explained by quarantine', warned: 'warning', failed: 'failed' };

/** The result of a run for people: what moved, what did not, what was proved, what to look at next. */
export function renderResult(result: MigrationResult, terminal: Terminal): string[] {
  const { color, marks } = terminal;
  if (result.status === 'nothing_to_do') return [`${color.green(marks.ok)} ${result.migration} was finished before: nothing to do.`];
  if (result.status === 'dry_run') return renderDryRun(result, terminal);
  const title = result.status === 'complete' ? color.green(`${marks.ok} ${result.migration} is complete`) : color.red(`${marks.bad} ${result.migration} was aborted`);
  const { counts } = result;
  const rows: [string, string][] = [
    ['read', formatCount(counts.read)],
    ['written', formatCount(counts.written)],
  ];
  if (counts.unchanged > 0) rows.push(['unchanged', formatCount(counts.unchanged)]);
  if (counts.filtered > 0) rows.push(['left out by the plan', formatCount(counts.filtered)]);
  rows.push(['quarantined', counts.quarantined > 0 ? color.yellow(`${formatCount(counts.quarantined)} (${formatPercent(counts.quarantined, counts.read)})`) : '0']);
  const { step, by, reason } = result.aborted ?? {};
  const ended = result.status === 'aborted' && (step || by || reason) ? [`  ${[step && `at ${step}`, by && `by ${by}`, reason].filter(Boolean).join(', ')}`] : [];
  const lines = [title, ...ended, '', ...renderPairs(alignNumbers(rows), color.dim).map((line) => `  ${line}`)];
  const proof = renderProof(result.checks, result.comparisons, terminal);
  if (proof.length > 0) lines.push('', ...proof);
  if (result.skipped && result.skipped.length > 0) lines.push('', `${color.yellow(marks.warning)} Skipped by a person: ${result.skipped.join(', ')}`);
  if (result.notRestored && result.notRestored.length > 0) lines.push('', `${color.red(marks.bad)} Not built again on the target: ${result.notRestored.join('; ')}`);
  if (result.openQuarantine > 0) {
    lines.push('', `${color.yellow(marks.warning)} ${countOf(result.openQuarantine, 'row')} in quarantine ${result.openQuarantine === 1 ? 'is' : 'are'} still open: npx caravan quarantine list ${result.migration}`);
  }
  return lines;
}

/** What each step would do, and what hinders it. */
function renderDryRun({ migration, dryRun = [] }: MigrationResult, { color, marks }: Terminal): string[] {
  const hindered = dryRun.filter(({ hinders }) => hinders !== null);
  const title = hindered.length === 0 ? color.green(`${marks.ok} Nothing hinders ${migration}`) : color.yellow(`${marks.warning} ${countOf(hindered.length, 'step')} of ${migration} ${hindered.length === 1 ? 'is' : 'are'} hindered`);
  return [title, '', ...dryRun.flatMap(({ step, would, hinders }) => [`  ${hinders === null ? color.green(marks.ok) : color.red(marks.bad)} ${step}: would ${would}`, ...(hinders === null ? [] : [`      ${hinders}`])]), '', color.dim('Nothing was changed.')];
}

/** Verdicts in one line each, the ones that passed counted together. */
export function renderProof(checks: CheckOutcome[], comparisons: CompareResult[], terminal: Terminal): string[] {
  const lines: string[] = [];
  const passed = checks.filter((check) => check.verdict === 'passed').length;
  if (passed > 0) lines.push(`${verdictMark('passed', terminal)} ${countOf(passed, 'check')} passed`);
  for (const check of checks.filter((one) => one.verdict !== 'passed')) {
    lines.push(`${verdictMark(check.verdict, terminal)} ${check.name}${check.dataset && !check.name.includes(check.dataset) ? ` (${check.dataset})` : ''}: ${VERDICT_WORDS[check.verdict]}. ${check.detail}`);
  }
  const equal = comparisons.filter((one) => one.verdict === 'passed');
  if (equal.length > 0) {
    const compared = equal.reduce((sum, one) => sum + one.compared, 0);
    lines.push(`${verdictMark('passed', terminal)} ${countOf(compared, 'row')} of ${countOf(equal.length, 'dataset')} compared, every one equal`);
  }
  for (const one of comparisons.filter((other) => other.verdict !== 'passed')) lines.push(`${verdictMark(one.verdict, terminal)} ${one.dataset}: ${describeComparison(one)}`);
  return lines;
}

function describeComparison(one: CompareResult): string {
  if (one.detail) return `${VERDICT_WORDS[one.verdict]}. ${one.detail}`;
  const parts = [`${countOf(one.compared, 'row')} compared`];
  for (const what of ['missing', 'extra', 'different', 'unreadable', 'explained', 'repaired'] as const) {
    if (one[what] > 0) parts.push(`${formatCount(one[what])} ${what === 'explained' ? 'explained by quarantine' : what}`);
  }
  return `${VERDICT_WORDS[one.verdict]}. ${parts.join(', ')}`;
}

export function verdictMark(verdict: Verdict, { color, marks }: Terminal): string {
  if (verdict === 'failed') return color.red(marks.bad);
  if (verdict === 'warned') return color.yellow(marks.warning);
  return color.green(marks.ok);
}

function alignNumbers(rows: [string, string][]): [string, string][] {
  // Only the leading digits line up: what follows (a share in brackets) hangs over.
  const digits = (text: string): number => /^(?:\u001b\[\d+m)?([\d,]+)/.exec(text)?.[1]?.length ?? 0;
  const widest = Math.max(...rows.map(([, value]) => digits(value)));
  return rows.map(([name, value]) => [name, ' '.repeat(widest - digits(value)) + value]);
}

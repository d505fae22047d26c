import type { Progress, RunProgress } from '../../migration/protocol';
import { exitCodeOf, exitCodeOfCode, exitCodeOfStatus, UsageError } from '../../scripts/commands/exit-codes';
import { parseSettings } from '../../scripts/commands/step-settings';
import { masked } from '../../scripts/commands/preview';
import { placeOf } from '../../scripts/commands/plan-argument';
import { waysOn } from '../../scripts/commands/ways-on';
import { ERROR_CODES, type ErrorCode } from '../../migration/protocol';
import { MigrationError } from '../../migration/errors';
import { renderDashboard } from '../../scripts/terminal/dashboard';
import { describeChanges } from '../../scripts/terminal/notable-changes';
import { renderPreview } from '../../scripts/terminal/preview-rows';
import { formatBytes, formatDuration, formatPercent, wholePercent } from '../../scripts/terminal/quantities';
import { renderResult } from '../../scripts/terminal/summary';
import { renderTable } from '../../scripts/terminal/table';
import { terminalOf } from '../../scripts/terminal/terminal';
import { fitText, textWidth, visibleText, wrapText } from '../../scripts/terminal/text-width';

const plain = terminalOf({}, { LANG: 'en_US.UTF-8' }, 'linux');
const ascii = terminalOf({}, { LANG: 'C' }, 'linux');
const counts = { read: 450_000, written: 449_988, unchanged: 0, quarantined: 12, filtered: 0 };
const progress: Progress = {
  datasets: [
    { dataset: 'users', state: 'copying', total: 500_000, counts },
    { dataset: 'orders', state: 'waiting', total: 500_000, counts: { read: 0, written: 0, unchanged: 0, quarantined: 0, filtered: 0 } },
  ],
  total: 1_000_000, counts, openQuarantine: 12, rowsPerSecond: 1000, alerts: [], version: '1',
};
const view: RunProgress = { migration: 'shop', phase: 'production', status: 'running', progress, blocked: [], waitingFor: [], note: null };
const blockedView: RunProgress = {
  ...view, status: 'blocked',
  blocked: [{ step: 'close:users', occurrence: 1, workflowId: 'w', code: 'SYSTEM_BUSY', kind: 'transient', message: 'the table is locked', remedies: ['Find the lock, then retry.'], since: '2026-01-01T00:00:00.123Z', skippable: true }],
};

describe('terminal', () => {
  test.each([
    [{ LANG: 'C' }, 'linux', false], [{ LANG: 'de_DE.UTF-8' }, 'linux', true], [{ LC_ALL: 'C', LANG: 'de_DE.UTF-8' }, 'linux', false],
    [{ LANG: 'C.utf8' }, 'linux', true], [{ LANG: 'C.UTF-8', TERM: 'linux' }, 'linux', false], [{}, 'darwin', true], [{}, 'win32', false], [{ WT_SESSION: '1' }, 'win32', true],
  ])('%j on %s writes Unicode: %s', (env, platform, unicode) => expect(terminalOf({}, env, platform).unicode).toBe(unicode));

  test('nobody is asked and nothing is redrawn in CI or a pipe', () => {
    expect(terminalOf({ isTTY: true }, {}, 'linux').interactive).toBe(true);
    expect(terminalOf({ isTTY: true }, { CI: '1' }, 'linux').interactive).toBe(false);
    expect(terminalOf({}, {}, 'linux').interactive).toBe(false);
  });
});

describe('quantities and text', () => {
  test.each([[400, 'under a second'], [59_000, '59 seconds'], [61_000, '1 minute 1 second'], [8_100_000, '2 hours 15 minutes'], [90_000_000, '1 day 1 hour']])('%d ms: %s', (ms, text) => expect(formatDuration(ms)).toBe(text));
  test.each([[0, 10, '0%'], [1, 3, '33%'], [12, 450_000, '0.003%'], [999_999, 1_000_000, '99.9999%'], [10, 10, '100%'], [1, 1e12, '0.000001%']])('%d of %d: %s', (part, whole, text) => expect(formatPercent(part, whole)).toBe(text));
  test('progress is 100 only at the end', () => expect([wholePercent(999, 1000), wholePercent(1000, 1000), wholePercent(0, 0)]).toEqual([99, 100, 0]));
  test('bytes', () => expect([formatBytes(512), formatBytes(1_500_000)]).toEqual(['512 B', '1.5 MB']));
  test('wide characters, marks and colours count as the terminal shows them', () => {
    expect([textWidth('日本'), textWidth('e\u0301'), textWidth('\u001b[31mred\u001b[39m'), textWidth('😀')]).toEqual([4, 1, 3, 2]);
    expect(textWidth(fitText('日本語日本語', 7, '…'))).toBeLessThanOrEqual(7);
    expect(fitText('short', 7, '…')).toBe('short');
  });
  test('foreign text cannot steer the terminal', () => expect(visibleText('a\nb\t\u001b[2J\u202Ec')).toBe('a\\nb\\t\\u{1b}[2J\\u{202e}c'));
  test('wrapping breaks at blanks, keeps long words and the hanging indent', () => expect(wrapText('one two verylongword x', 9, '> ')).toEqual(['> one two', '  verylongword', '  x']));
  test('columns line up, numbers to the right', () => expect(renderTable([{ title: 'a' }, { title: 'n', align: 'right' }], [['日本', '5'], ['x', '1,000']])).toEqual(['a         n', '日本      5', 'x     1,000']));
});

describe('dashboard', () => {
  test('has the lines of the migration progress dashboard', () => {
    const lines = renderDashboard(view, plain);
    expect(lines[0]).toBe('[Migration Progress Dashboard]');
    expect(lines.slice(1, 7).map((line) => line.replace(/: .*/, ''))).toEqual(['├── Overall Progress', '├── Current Table', '├── Records Processed', '├── Error Count', '├── ETA', '└── Status']);
    expect(lines).toContain('├── Records Processed: 450,000 / 1,000,000');
    expect(lines).toContain('├── Error Count: 12 (0.003%)');
  });
  test('is ASCII where the terminal is', () => {
    expect(renderDashboard(blockedView, ascii).join('\n')).toMatch(/^[\u0000-\u007f]*$/);
  });
  test('on a short terminal the rest is counted', () => {
    const many = { ...view, progress: { ...progress, datasets: Array.from({ length: 50 }, (_, index) => ({ dataset: `d${index}`, state: index === 40 ? 'copying' as const : 'done' as const, total: 1, counts })) } };
    const lines = renderDashboard(many, { ...plain, interactive: true, rows: 24 });
    expect(lines.length).toBeLessThan(24);
    expect(lines.join('\n')).toMatch(/d40 +copying/);
    expect(lines.at(-1)).toBe('and 42 more datasets; 49 of 50 done');
  });
  test('tells only what is notable, once', () => {
    expect(describeChanges(null, view, plain)).toEqual(['Running (production)', 'users: copying', expect.stringMatching(/^40%: 450,000 of 1,000,000 rows, 1,000 rows\/s/) as string]);
    expect(describeChanges(view, view, plain)).toEqual([]);
    expect(describeChanges(view, blockedView, plain)).toEqual(['Blocked', '✗ Blocked: close:users  SYSTEM_BUSY, since 2026-01-01T00:00:00Z', '  the table is locked', '  › Find the lock, then retry.']);
    expect(describeChanges(blockedView, blockedView, plain)).toEqual([]);
  });
  test('says the exact commands that go on', () => {
    expect(waysOn(blockedView, 'plan.yaml').map(([command]) => command)).toEqual(['npx caravan run plan.yaml', 'npx caravan resume shop --skip && npx caravan run plan.yaml', 'npx caravan resume shop --abort']);
    const two = { ...blockedView, blocked: [...blockedView.blocked, { ...blockedView.blocked[0]!, step: 'checks after', skippable: false }] };
    expect(waysOn(two, null).map(([command]) => command)).toEqual(['npx caravan resume shop --step close:users', `npx caravan resume shop --step 'checks after'`, 'npx caravan resume shop --step close:users --skip', 'npx caravan resume shop --step close:users --abort']);
    expect(waysOn({ ...view, status: 'waiting_for_approval', waitingFor: ['go_live'] }, null)).toEqual([['npx caravan approve shop go_live', 'opens the gate']]);
  });
});

describe('result and preview', () => {
  test('the summary counts, proves and points on', () => {
    const text = renderResult({
      migration: 'shop', status: 'complete', counts, openQuarantine: 12,
      checks: [{ name: 'totals', kind: 'business_rule', verdict: 'passed', detail: '' }, { name: 'orphans', kind: 'integrity', verdict: 'warned', detail: '3 orphans' }],
      comparisons: [{ dataset: 'users', compared: 10, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, repaired: 0, verdict: 'passed', detail: '' }],
    }, plain).join('\n');
    expect(text).toMatch(/✓ shop is complete/);
    expect(text).toMatch(/read {9}450,000\n {2}written {6}449,988\n {2}quarantined {7}12 \(0\.003%\)/);
    expect(text).toMatch(/! orphans: warning\. 3 orphans/);
    expect(text).toContain('npx caravan quarantine list shop');
  });
  const preview = {
    dataset: 'users', sourceColumns: ['id', 'mail', 'old'], targetColumns: ['id', 'mail', 'full'], pii: ['mail'],
    rows: [{ before: ['1', 'a@b.c', null], after: ['1', 'A@B.C', 'x'], reasons: [] }, { before: ['2', 'bad', 'y'], after: null, reasons: [{ rule: 'format:email', column: 'mail' }] }],
  };
  test('personal data is masked', () => {
    const text = renderPreview(masked(preview), plain).join('\n');
    expect(text).not.toMatch(/a@b\.c|A@B\.C|bad/i);
    expect(text).toContain('(5 characters)');
    expect(text).toContain('! quarantine: mail (format:email)');
  });
  test('a NULL and what is not carried over are shown as such', () => expect(renderPreview(preview, plain).join('\n')).toMatch(/old +NULL +→ not carried over/));
});

describe('exit codes', () => {
  test('every error code has one', () => {
    const of = Object.fromEntries((Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => [code, exitCodeOfCode(code)]));
    expect(of).toMatchObject({ PLAN_INVALID: 2, APPROACH_NOT_BUILT: 2, CONNECTION_UNKNOWN: 2, OBJECT_MISSING: 2, CONNECTION_REFUSED: 5, SYSTEM_UNREACHABLE: 5, LEASE_HELD: 3, TARGET_NOT_EMPTY: 3, INTERNAL: 1, ACCOUNTING_BROKEN: 1 });
    expect(Object.values(of).every((code) => [1, 2, 3, 5].includes(code))).toBe(true);
  });
  test('errors and states', () => {
    expect([exitCodeOf(new UsageError('x')), exitCodeOf(new MigrationError('SYSTEM_UNREACHABLE', 'x')), exitCodeOf(new Error('x')), exitCodeOf('x')]).toEqual([2, 5, 1, 1]);
    expect([exitCodeOfStatus('complete'), exitCodeOfStatus('blocked'), exitCodeOfStatus('aborted'), exitCodeOfStatus('cancelled'), exitCodeOfStatus('failed')]).toEqual([0, 3, 4, 4, 1]);
  });
  test('settings of a step', () => {
    expect(parseSettings(['batch_size=100', 'repair=true'])).toEqual({ batchSize: 100, repair: true });
    for (const wrong of ['batch_size=0', 'batch_size=1e3', 'batch_sise=1', 'repair=yes', 'batch_size']) expect(() => parseSettings([wrong])).toThrow(UsageError);
  });
  test('places of problems become file and line', () => {
    expect(placeOf({ severity: 'error', place: 'datasets.a.b[0] (line 12)', message: '' }, 'p.yaml')).toEqual({ where: 'p.yaml:12', place: 'datasets.a.b[0]' });
    expect(placeOf({ severity: 'error', place: 'connection x', message: '' }, 'p.yaml')).toEqual({ where: 'connection x', place: '' });
  });
});

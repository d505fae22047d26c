import { noCounts } from '../../migration/accounting';
import { dashboardBlock, dashboardMarkdown, dashboardText, grouped, humanDuration } from '../../migration/dashboard';
import type { BlockedStep, DatasetProgress, Progress, RunProgress } from '../../migration/protocol';
import { failedLookPauseMs, idleDelayMs, nextSliceMs, reminderDelayMs, watchPauseMs, watchWaitMs } from '../../migration/timing';

function dataset(name: string, state: DatasetProgress['state'], read: number, total: number): DatasetProgress {
  return { dataset: name, state, total, counts: { ...noCounts(), read, written: read } };
}

function state(more: Partial<RunProgress> = {}, progress: Partial<Progress> = {}): RunProgress {
  return {
    migration: 'shop', phase: 'production', status: 'running', blocked: [], waitingFor: [], note: null,
    progress: {
      datasets: [dataset('users', 'copying', 450_000, 600_000), dataset('orders', 'waiting', 0, 400_000)],
      total: 1_000_000, counts: { ...noCounts(), read: 450_000, written: 449_988, quarantined: 12 }, openQuarantine: 12,
      rowsPerSecond: 550_000 / 8100, alerts: [], version: '1', ...progress,
    },
    ...more,
  };
}

const blocked: BlockedStep = {
  step: 'copy:users', occurrence: 1, workflowId: 'run/users', code: 'NO_PROGRESS', kind: 'internal', message: 'users, split 3: *nothing* moved',
  remedies: ['Look at the locks.'], since: '2026-01-02T03:04:05.000Z', skippable: true,
};

describe('the dashboard', () => {
  it('looks as promised', () => {
    expect(dashboardBlock(state())).toBe([
      '[Migration Progress Dashboard]',
      '├── Overall Progress: [====>    ] 45%',
      '├── Current Table: users',
      '├── Records Processed: 450,000 / 1,000,000',
      '├── Error Count: 12 (0.003%)',
      '├── ETA: 2 hours 15 minutes',
      '└── Status: Running',
    ].join('\n'));
  });

  it('never claims the end early, nor shows more rows than all', () => {
    expect(dashboardBlock(state({}, { counts: { ...noCounts(), read: 1_000_500 } }))).toContain('99%');
    expect(dashboardBlock(state({}, { counts: { ...noCounts(), read: 1_000_500 } }))).toContain('1,000,500 / 1,000,500');
    expect(dashboardBlock(state({ status: 'complete' }))).toContain('[=========] 100%');
  });

  it('says what a pause still waits for', () => {
    expect(dashboardBlock(state({ status: 'paused', pausingAfter: ['users', 'orders'] }))).toContain('Status: Pausing after users, orders');
    expect(dashboardMarkdown(state({ status: 'paused', pausingAfter: ['users'] }))).toContain('### Pausing');
    expect(dashboardBlock(state({ status: 'paused', pausingAfter: [] }))).toContain('Status: Paused');
  });

  it('is of use before the first look at the ledger', () => {
    const text = dashboardText(state({ progress: null, phase: 'preparation' }));
    expect(text).toContain('[         ] 0%');
    expect(text).toContain('Current Table: none (preparation)');
    expect(text).toContain('ETA: unknown');
  });

  it('says what is blocked and what to do, with messages as text and not as Markdown', () => {
    const markdown = dashboardMarkdown(state({ status: 'blocked', blocked: [blocked] }));
    expect(markdown).toContain('└── Status: Blocked (copy:users)');
    expect(markdown).toContain('\\*nothing\\*');
    expect(markdown).toContain('- Look at the locks.');
    expect(markdown).toContain('```\n{\n  "action": "retry",\n  "step": "copy:users",\n  "by": "your name"\n}\n```');
    expect(markdown).toContain('(/namespaces/{namespace}/workflows?query=');
    expect(dashboardText(state({ status: 'blocked', blocked: [blocked] }))).toContain('Blocked: copy:users (NO_PROGRESS)');
  });

  it('names the approval it waits for', () => {
    expect(dashboardMarkdown(state({ status: 'waiting_for_approval', waitingFor: ['go'] }))).toContain('```\n{\n  "gate": "go",\n  "by": "your name"\n}\n```');
  });

  it('lists the datasets, moving ones first, and cuts a long list', () => {
    const many = Array.from({ length: 60 }, (_, at) => dataset(`d${at}`, at === 59 ? 'copying' : 'done', 1, 1));
    const text = dashboardText(state({}, { datasets: many }));
    expect(text.indexOf('d59 ')).toBeLessThan(text.indexOf('d0 '));
    expect(text).toContain('... and 20 more');
  });

  it('says of each dataset what holds it up', () => {
    const lines = (over: Partial<RunProgress>): string => dashboardText(state(over)).replaceAll(/ +/g, ' ');
    expect(lines({ status: 'blocked', blocked: [{ ...blocked, dataset: 'users' }] })).toContain('users blocked 450,000');
    expect(lines({ status: 'paused' })).toContain('users paused 450,000');
    expect(lines({ status: 'paused' })).toContain('orders waiting');
    expect(lines({ status: 'paused', pausingAfter: ['users'] })).toContain('users copying');
  });

  it('shows alerts that are active', () => {
    const text = dashboardText(state({}, { alerts: [{ alert: 'min_speed', active: true, blocks: false, message: 'slow' }, { alert: 'error_rate', active: false, blocks: true, message: 'quiet' }] }));
    expect(text).toContain('Alert: slow');
    expect(text).not.toContain('quiet');
  });

  it.each([[0.2, '1 second'], [59, '59 seconds'], [60, '1 minute'], [3_599, '1 hour'], [8_100, '2 hours 15 minutes'], [90_000, '1 day 1 hour']])('writes %p seconds as %p', (seconds, text) => {
    expect(humanDuration(seconds)).toBe(text);
  });

  it('groups digits', () => {
    expect([0, 999, 1_000, 1_234_567].map(grouped)).toEqual(['0', '999', '1,000', '1,234,567']);
  });
});

describe('the waits of the orchestration', () => {
  it('grow to their limits', () => {
    expect([100, 700].map((ms) => nextSliceMs(ms, 1_000))).toEqual([200, 1_000]);
    expect([1, 2, 10].map(idleDelayMs)).toEqual([2_000, 4_000, 60_000]);
    expect([0, 1, 9].map(watchWaitMs)).toEqual([60_000, 120_000, 7_200_000]);
    expect([1, 200, 300].map(failedLookPauseMs)).toEqual([20_000, 20_000, 400_000]);
    expect([0, 1, 10].map((sent) => reminderDelayMs(1_800_000, sent))).toEqual([1_800_000, 3_600_000, 14_400_000]);
  });

  it('keep half a year of watching below the limit of one history', () => {
    let looks = 0;
    for (let ms = 0; ms < 182 * 86_400_000; ms += watchPauseMs(looks)) looks++;
    expect(looks * 11).toBeLessThan(51_200 * 0.8);
    expect(watchPauseMs(200)).toBe(0);
  });
});

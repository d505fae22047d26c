import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parsePlan } from '../../migration/plan/parse';
import { strategyHtml, strategyMarkdown } from '../../scripts/report/render-strategy';
import { shapeStrategy, type Section, type StrategyRequest } from '../../scripts/report/strategy';
import type { ReportData } from '../../workers/door';

const shop = parsePlan(readFileSync(path.join(__dirname, '../../examples/shop.yaml'), 'utf8')).plan;
const { plan } = parsePlan({
  migration: 'platform', project: 'New <platform> | 2', approach: 'phased', downtime_tolerance: '15m', compliance: ['GDPR'], backup: {}, rehearsal: {}, sign_off: ['data_owner'], roles: { data_owner: {} },
  gates: [{ gate: 'team_briefed', before: 'production' }], groups: { first: {} }, cutover: { switch: [{ name: 'shop', command: 'switch' }] }, success: { migrated: '100%' },
  datasets: { users: { group: 'first', source: { connection: 'old_db' }, target: { connection: 'new_db' }, validation: { required: ['email'] }, pii: ['email'] } },
});
const at = new Date('2026-11-25T12:00:00Z');
const TITLES = ['Overview', 'Inventory', 'Approach', 'Phases', 'Validation', 'Rollback plan', 'Performance', 'Monitoring', 'Security', 'Testing', 'Success criteria', 'Sign-off'];

const rehearsal: ReportData['preparation']['rehearsals'][number] = {
  id: 1, planHash: 'p', schemaDigest: 's', state: 'passed', openedAt: '2026-11-24T10:00:00.000Z', closedAt: '2026-11-24T10:05:00.000Z', ageMs: 1,
  evidence: { rows: 1234, datasets: [], failures: [], rollback: { rows: 1234, milliseconds: 2000, equal: true }, stages: [{ stage: 'write', rowsPerSecond: 5000, bytesPerSecond: 100_000, milliseconds: 250 }], bottleneck: { stage: 'write', advice: 'raise batch.checkpoint_interval' } },
};
const data: ReportData = {
  status: {
    migration: 'platform', control: 'new_db', workflowId: 'w', firstRunId: 'r', namespace: 'default', uiLink: null, lease: 1, planHash: 'p', phase: 'validation', status: 'complete', detail: null, blocked: [],
    startedAt: '2026-11-24T10:00:00.000Z', updatedAt: '2026-11-24T12:00:00.000Z', finishedAt: '2026-11-24T12:00:00.000Z', seenSeconds: 1,
    progress: { datasets: [], total: 100, counts: { read: 100, written: 100, unchanged: 0, quarantined: 0, filtered: 0 }, openQuarantine: 0, rowsPerSecond: 0, alerts: [], version: '1' },
  },
  plan, decisions: [], skipped: [], quarantine: [], objects: [], undo: [], datasets: [{ dataset: 'users', generation: 1, commits: 2, splits: 1, firstCommitAt: null, lastCommitAt: null }],
  approvals: [{ gate: 'team_briefed', by: 'Ann', at: '2026-11-24T11:00:00.000Z', identity: 'claimed' }],
  checks: (['counts', 'sample', 'rows'] as const).map((stage) => ({ stage, at: '2026-11-24T11:30:00.000Z', outcome: { name: stage, kind: 'count', verdict: 'passed', detail: '', dataset: 'users' } })),
  audit: [], steps: [{ id: 1, attempt: 1, step: 'shop', state: 'done', epoch: 1, undo: { do: 'switch_application', application: 'shop', to: 'legacy' }, evidence: null, openedAt: '2026-11-24T11:40:00.000Z', closedAt: '2026-11-24T11:40:01.000Z' }],
  trail: { migration: 'platform', entries: [], head: null, unchained: 0 },
  preparation: {
    at: '2026-11-24T10:00:00.000Z', rehearsals: [rehearsal], findings: {
      personal_data: [{ dataset: 'users', column: 'phone', side: 'source', classes: ['phone'], by: 'both', declared: false, share: 1 }],
      systems: [{ connection: 'old_db', roles: ['source'], version: '16', user: 'reader', encryption: { state: 'plain', version: null, cipher: null }, surplus: [], missing: [], limits: { maxConnections: 100, reserved: 3, inUse: 5, sharedBuffersBytes: 1, workMemBytes: 1, maintenanceWorkMemBytes: 1, maxWalBytes: 1, databaseBytes: 5_000_000 } }],
    },
    backups: [{ id: 1, lease: 1, side: 'target', connection: 'new_db', state: 'verified', takenAt: '2026-11-24T10:00:00.000Z', verifiedAt: '2026-11-24T10:01:00.000Z', evidence: { by: 'built in', host: 'h', rows: 7, bytes: 7, tables: [], left: [], takenMs: 1 } }],
  },
};

const strategy = (request: StrategyRequest) => shapeStrategy(request, at);
const boxesOf = (sections: Section[]) => sections.flatMap(({ blocks }) => blocks).flatMap((block) => (block.kind === 'boxes' ? block.boxes : []));

test('before any run the plan and the sizes of its tables are enough, and every box is open', () => {
  const before = strategy({ plan, data: null, sizes: new Map([['users', { rows: 5000, bytes: 1_000_000 }]]) });
  expect(before.sections.map(({ title }) => title)).toEqual(TITLES);
  expect(boxesOf(before.sections).length).toBeGreaterThan(8);
  expect(before.ticked).toBe(0);
  const text = strategyMarkdown(before);
  expect(text).toContain('5,000 rows');
  expect(text).toContain('| Downtime tolerance | 15');
  for (const one of [before, strategy({ plan: shop, data: null, sizes: new Map() })]) expect(strategyMarkdown(one) + strategyHtml(one)).not.toMatch(/undefined|NaN|\[object|<%/);
});

test('a box is ticked by its evidence and by nothing else', () => {
  const after = strategy({ plan, data, sizes: new Map() });
  const ticked = boxesOf(after.sections).filter(({ evidence }) => evidence !== null).map(({ text }) => text);
  const open = boxesOf(after.sections).filter(({ evidence }) => evidence === null).map(({ text }) => text);
  expect(open).toEqual(['old_db: the connection is encrypted', 'data owner']);
  expect(ticked).toEqual(expect.arrayContaining(['team briefed', 'A sample went through the whole process', 'Rollback rehearsed and compared row by row', 'shop works on the new side', 'Every row compared by hash', 'Migrated: at least 100 %']));
  const failed = structuredClone(data);
  failed.checks[2]!.outcome.verdict = 'failed';
  failed.preparation.rehearsals[0]!.state = 'failed';
  failed.preparation.backups[0]!.state = 'failed';
  const left = boxesOf(strategy({ plan, data: failed, sizes: new Map() }).sections).filter(({ evidence }) => evidence === null).map(({ text }) => text);
  expect(left).toEqual(expect.arrayContaining(['Every row compared by hash', 'A sample went through the whole process', 'Backup of source and target, verified by restoring it']));
});

test('Markdown keeps its tables and the page escapes what people write', () => {
  const after = strategy({ plan, data, sizes: new Map() });
  const text = strategyMarkdown(after);
  expect(text).toMatch(/^# Migration strategy: New <platform> \| 2\n\nMigration `platform`/);
  expect(text).toMatch(/\n## 4\. Phases\n/);
  expect(text).toMatch(/- \[x\] team briefed \(Ann, 2026-11-24 11:00 UTC\)\n/);
  expect(text).toMatch(/\n\| users \| phone \| phone \| both \| not declared \|\n/);
  expect(text).not.toMatch(/\n{3}/);
  const page = strategyHtml(after);
  expect(page).toContain('New &lt;platform&gt; | 2');
  expect(page).not.toMatch(/<script|https?:/);
});

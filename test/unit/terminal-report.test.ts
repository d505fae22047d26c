import { planSchema } from '../../migration/plan/schema';
import { entryHash, type AuditEntry } from '../../migration/audit-trail';
import { evidenceFaults, readEvidence, sealed } from '../../scripts/report/evidence';
import { renderReport } from '../../scripts/report/render';
import { shapeStrategy } from '../../scripts/report/strategy';
import { shapeReport } from '../../scripts/report/shape';
import type { ReportData } from '../../workers/door-contract';

const counts = { read: 1000, written: 990, unchanged: 0, quarantined: 10, filtered: 0 };
const entry = (seq: number, prev: string, event: string): AuditEntry => {
  const one = { seq, prev, at: `2026-01-01T00:00:0${seq}.000001Z`, actor: 'Ada Lovelace é', event, body: '{"phase": "validation"}', hash: '' };
  return { ...one, hash: entryHash('shop', one) };
};
const first = entry(1, '', 'admitted');
const second = entry(2, first.hash, 'phase_entered');
const third = entry(3, second.hash, 'closed');
const evil = '<script>alert(1)</script> & "x"';
const data: ReportData = {
  status: {
    migration: 'shop', control: 'new', workflowId: 'migration-shop', firstRunId: 'r', namespace: 'default', uiLink: null, lease: 1, planHash: 'a'.repeat(64),
    phase: 'validation', status: 'complete', detail: null, blocked: [], startedAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-01T00:10:00.000Z', finishedAt: '2026-01-01T00:10:00.000Z', seenSeconds: 0,
    progress: { datasets: [{ dataset: 'users', state: 'done', total: 1000, counts }], total: 1000, counts, openQuarantine: 4, rowsPerSecond: 0, alerts: [], version: '1' },
  },
  plan: planSchema.parse({
    migration: 'shop', project: evil, success: { migrated: '100%', error_rate: '1%' }, sign_off: ['data_owner'],
    datasets: { users: { source: { connection: 'legacy', table: 'users' }, target: { connection: 'new' } }, later: { source: { connection: 'legacy' }, target: { connection: 'new' } } },
  }),
  decisions: [{ at: '2026-01-01T00:05:00.000Z', step: 'copy:users', action: 'retry', by: 'Ada', reason: evil }],
  skipped: [{ step: 'rows:users', by: 'Ada', reason: 'checked by hand' }],
  approvals: [{ gate: 'go', by: evil, identity: 'claimed', at: '2026-01-01T00:00:00.000Z' }],
  checks: [{ stage: 'after', at: '2026-01-01T00:09:00.000Z', outcome: { name: 'totals', kind: 'business_rule', verdict: 'failed', detail: evil } }],
  quarantine: [
    { dataset: 'users', rule: 'format:email', column: 'email', state: 'open', rows: 4 },
    { dataset: 'users', rule: 'format:email', column: 'email', state: 'waived', rows: 6 },
  ],
  audit: [
    { at: '2026-01-01T00:00:00.000Z', actor: 'tester', event: 'admitted', body: { secret: 'never shown' } },
    { at: '2026-01-01T00:00:01.000Z', actor: 'caravan', event: 'schema_created', body: { left_out: [{ dataset: 'users', what: 'access method', name: 'heap2', reason: 'there is none' }] } },
  ],
  steps: [{ id: 1, attempt: 1, step: 'block writes on the source', state: 'done', epoch: 1, undo: { do: 'allow_writes', side: 'source' }, evidence: { what: evil }, openedAt: '2026-01-01T00:00:01.000Z', closedAt: '2026-01-01T00:00:02.500Z' }],
  preparation: { findings: {}, at: null, backups: [], rehearsals: [] },
  trail: { migration: 'shop', entries: [first, second, third], head: { seq: 3, hash: third.hash }, unchained: 0 },
  undo: [{ dataset: 'orders', images: 0, conflicts: 2, exports: 5, purgedAt: null }, { dataset: 'users', images: 0, conflicts: 0, exports: 0, purgedAt: '2026-02-01T00:00:00.000Z' }],
  objects: [
    { source: 'legacy', kind: 'view', name: 'app.totals', state: 'made', datasets: [], reason: null },
    { source: 'legacy', kind: 'materialized_view', name: 'app.ranking', state: 'waiting', datasets: ['later'], reason: null },
    { source: 'legacy', kind: 'trigger', name: 'app.users.loud', state: 'left', datasets: [], reason: evil },
  ],
  datasets: [{ dataset: 'users', generation: 1, commits: 5, splits: 2, firstCommitAt: '2026-01-01T00:00:10.000Z', lastCommitAt: '2026-01-01T00:00:20.000Z' }],
};

test('the report counts, judges and times', () => {
  const view = shapeReport(data, new Date('2026-01-02T00:00:00Z'));
  expect(view).toMatchObject({
    durationMs: 600_000, openQuarantine: 4, waived: 6,
    datasets: [{ name: 'users', copyMs: 10_000, rowsPerSecond: 100 }, { name: 'later', copyMs: null, rowsPerSecond: null, state: 'waiting' }],
    quarantine: [{ dataset: 'users', rule: 'format:email', column: 'email', open: 4, waived: 6, replayed: 0, gone: 0 }],
    criteria: [{ name: 'Migrated', wanted: 'at least 100 %', found: '99.6 %', met: false }, { name: 'Error rate', wanted: 'at most 1 %', found: '1 %', met: true }, { name: 'Zero loss', found: '0 of 2 datasets', met: false }],
    phases: [{ phase: 'preparation', startedAt: '2026-01-01T00:00:01.000001Z', durationMs: 1_000 }, { phase: 'validation', durationMs: 1_000, endedAt: '2026-01-01T00:00:03.000001Z' }],
    steps: [{ step: 'block writes on the source', state: 'done', tookMs: 1_500, undo: 'allow writes on the source' }],
  });
});

test('the page is one self-contained document in which nothing foreign is markup', () => {
  const page = renderReport(sealed(shapeReport(data, new Date('2026-01-02T00:00:00Z'))));
  expect(page).not.toContain('<script');
  expect(page).toContain('&lt;script&gt;');
  expect(page).not.toMatch(/(?:src|href)=|url\(|@import/);
  expect(page).not.toContain('never shown');
  expect(page).not.toContain('undefined');
  expect(page).toContain('format:email');
});

test('the page names what the target has not got, and why', () => {
  const view = shapeReport(data, new Date('2026-01-02T00:00:00Z'));
  expect(view.carried).toEqual([{ kind: 'view', count: 1 }]);
  expect(view.notCarried).toEqual([
    { kind: 'access method', names: ['heap2 (users)'], reason: 'there is none' },
    { kind: 'materialized view', names: ['app.ranking'], reason: 'it waits for the rows of later' },
    { kind: 'trigger', names: ['app.users.loud'], reason: evil },
  ]);
  const page = renderReport(sealed(view));
  for (const name of ['app.ranking', 'app.users.loud', 'heap2 (users)']) expect(page).toContain(name);
});

test('the page says what people decided and what was left out', () => {
  const page = renderReport(sealed(shapeReport(data, new Date('2026-01-02T00:00:00Z'))));
  expect(page).toMatch(/Left out by a person<\/h2>\s*<div[^>]*><b[^>]*>rows:users<\/b> <span[^>]*>by Ada<\/span><p>checked by hand<\/p>/);
  expect(page).toMatch(/<td>copy:users<\/td><td>try again<\/td><td>Ada<\/td>/);
  const without = renderReport(sealed(shapeReport({ ...data, decisions: [], skipped: [] }, new Date('2026-01-02T00:00:00Z'))));
  expect(without).not.toMatch(/Decisions|Left out by a person/);
});

test('the page holds planned beside actual times, and the strategy document, in the page and in its evidence', () => {
  const at = new Date('2026-01-02T00:00:00Z');
  const view = { ...shapeReport(data, at), strategy: shapeStrategy({ plan: data.plan, data, sizes: new Map() }, at) };
  const page = renderReport(sealed(view));
  expect(page).toMatch(/<td><b>production<\/b><\/td><td class="what">–<\/td><td class="what">not begun<\/td><td class="what"><\/td><td class="n">–<\/td>/);
  expect(page).toMatch(/<h2 id="strategy">Strategy<\/h2>[\s\S]*<h3>1\. Overview<\/h3>[\s\S]*<h3>12\. Sign-off<\/h3>/);
  expect(page).not.toMatch(/undefined|NaN|\[object|<script/);
  expect(readEvidence(page, 'r.html')).toMatchObject({ plannedPhases: [{ phase: 'preparation' }, { phase: 'production' }, { phase: 'validation' }], strategy: { boxes: view.strategy.boxes } });
});

describe('a report as evidence', () => {
  const evidence = sealed(shapeReport(data, new Date('2026-01-02T00:00:00Z')));
  const { trail } = data;

  test('is read back from the page and from JSON, and stands', () => {
    expect(readEvidence(renderReport(evidence), 'r.html')).toEqual(JSON.parse(JSON.stringify(evidence)));
    expect(evidenceFaults(readEvidence(JSON.stringify(evidence), 'r.json'), trail)).toEqual([]);
    expect(() => readEvidence('<html></html>', 'other.html')).toThrow('other.html is not a report of this version');
  });

  test.each([
    ['a figure', { ...evidence, openQuarantine: 0 }, ['the report was changed after it was made: its digest does not fit']],
    ['an entry', sealed({ ...evidence, trail: { ...trail, entries: [first, { ...second, actor: 'Eve' }, third] } }), ["in the report's audit trail, entry 2 was changed"]],
    ['an entry and its hash', sealed({ ...evidence, trail: { ...trail, entries: [first, entry(2, first.hash, 'nothing'), third] } }), ["in the report's audit trail, entry 3 does not follow from the one before it"]],
    ['one removed', sealed({ ...evidence, trail: { ...trail, entries: [first, third] } }), ["in the report's audit trail, entry 2 is missing"]],
    ['the order', sealed({ ...evidence, trail: { ...trail, entries: [second, first, third] } }), [
      "in the report's audit trail, entry 1 is missing", "in the report's audit trail, entry 1 stands in the wrong place", "in the report's audit trail, entry 2 is missing",
    ]],
    ['the end', sealed({ ...evidence, trail: { ...trail, entries: [first, second] } }), ["in the report's audit trail, the trail ends at entry 2, but was written up to 3"]],
  ])('changed: %s', (_, changed, faults) => {
    expect(evidenceFaults(changed, trail)).toEqual(faults);
  });

  test('a control store that was written anew does not fit an older report', () => {
    const anew = [first, entry(2, first.hash, 'other'), entry(3, entry(2, first.hash, 'other').hash, 'closed')];
    expect(evidenceFaults(evidence, { ...trail, entries: anew, head: { seq: 3, hash: anew[2]?.hash ?? '' } })).toEqual(["the control store's audit trail is not the one of the report: its entry 3 is another or is gone"]);
  });
});

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { admit } from '../../activities/admit';
import { closeRun } from '../../activities/close-run';
import { recordApproval } from '../../activities/record-approval';
import { recordDecision } from '../../activities/record-decision';
import { recordStatus } from '../../activities/record-status';
import { readMigrationReport, readStatus } from '../../activities/status-reading';
import { admission, ControlBench, planOf } from '../fixtures/control-bench';
import { query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('records of a run', () => {
  test('status, blocked steps, approvals and the outcome are seen without Temporal; starting again finds nothing to do', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a', { plan: planOf({ gates: ['go'] }) }));
    const blocked = [{ step: 'open users', occurrence: 1, workflowId: 'w', code: 'TARGET_NOT_EMPTY' as const, kind: 'config' as const, message: 'm', remedies: ['r'], since: '2026-01-01T00:00:00Z', skippable: false }];
    await recordStatus(deps, { ref, phase: 'production', status: 'blocked', blocked, detail: 'one step' });
    await recordApproval(deps, { ref, approval: { gate: 'go', by: 'ann', role: 'data_owner' } });
    await recordApproval(deps, { ref, approval: { gate: 'go', by: 'ben' } });
    const { migrations: [status], unreachable } = await readStatus(deps, 'http://ui', 'shop');
    expect(unreachable).toEqual([]);
    expect(status).toMatchObject({ migration: 'shop', phase: 'production', status: 'blocked', blocked, detail: 'one step', uiLink: 'http://ui/namespaces/default/workflows/workflow-a', finishedAt: null, progress: { total: 0 } });
    expect((await readMigrationReport(deps, null, 'shop')).approvals).toMatchObject([{ gate: 'go', by: 'ann' }]);

    const resumed = await admit(deps, admission('b', { plan: planOf({ gates: ['go'] }) }));
    expect(resumed).toMatchObject({ complete: false, approved: ['go'] });
    await closeRun(deps, { ref: resumed.ref, outcome: 'complete' });
    await closeRun(deps, { ref: resumed.ref, outcome: 'complete' });
    const again = await admit(deps, admission('c', { plan: planOf({ gates: ['go'] }) }));
    expect(again).toMatchObject({ complete: true, ref: { lease: 3 } });
    await closeRun(deps, { ref: again.ref, outcome: 'cancelled' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete', lease: 3 }]);
    // An edited plan runs again, and asks for its gates again.
    expect(await admit(deps, admission('d', { plan: planOf({ gates: ['go'], project: 'x' }) }))).toMatchObject({ complete: false, approved: [] });
  });

  test('a migration in which a copy was skipped is not complete: the next run goes on; a skipped check is decided', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a'));
    const decision = { action: 'skip' as const, step: 'copy:users', occurrence: 1, by: 'ann', reason: 'later' };
    await recordDecision(deps, { ref, decision });
    await recordDecision(deps, { ref, decision });
    await recordDecision(deps, { ref, decision: { action: 'retry', step: 'copy:users', occurrence: 2, overrides: { batchSize: 10 } } });
    await closeRun(deps, { ref, outcome: 'complete', skipped: [{ step: 'copy:users', by: 'ann', reason: 'later' }, 'rows:orders'] });
    const report = await readMigrationReport(deps, null, 'shop');
    expect(report.skipped).toEqual([{ step: 'copy:users', by: 'ann', reason: 'later' }, { step: 'rows:orders' }]);
    expect(report.decisions).toMatchObject([{ step: 'copy:users', action: 'skip', by: 'ann', reason: 'later' }, { action: 'retry', by: null }]);
    expect(report.audit.filter(({ event }) => event === 'closed')).toMatchObject([{ body: { outcome: 'complete', skipped: [{ step: 'copy:users' }, {}] } }]);

    const again = await admit(deps, admission('b'));
    expect(again.complete).toBe(false);
    await closeRun(deps, { ref: again.ref, outcome: 'complete', skipped: [{ step: 'rows:users', by: 'ann' }] });
    expect(await admit(deps, admission('c'))).toMatchObject({ complete: true });
    expect((await readMigrationReport(deps, null, 'shop')).skipped).toEqual([{ step: 'rows:users', by: 'ann' }]);
    await expect(recordDecision(deps, { ref, decision })).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });

  test('a control store that an earlier version made is read, and admitted into', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    await query(bench.target, 'ALTER TABLE caravan.migration DROP COLUMN skipped');
    expect((await readMigrationReport(deps, null, 'shop')).skipped).toEqual([]);
    expect(await admit(deps, admission('b'))).toMatchObject({ complete: true });
  });

  test('a closed run that works again holds its lease again; what was complete at admission stays complete', async () => {
    const deps = bench.dependencies({ owner: 'running' });
    const { ref } = await admit(deps, admission('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    await recordStatus(deps, { ref, phase: 'production', status: 'running', blocked: [] });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'running', finishedAt: null }]);
    await expect(admit(deps, admission('b'))).rejects.toMatchObject({ code: 'LEASE_HELD' });
    await closeRun(deps, { ref, outcome: 'complete' });
    const idle = await admit(deps, admission('b'));
    expect(idle.complete).toBe(true);
    await recordStatus(deps, { ref: idle.ref, phase: 'preparation', status: 'running', blocked: [] });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete', finishedAt: expect.any(String) as string }]);
    expect(await admit(deps, admission('c'))).toMatchObject({ complete: true });
  });

  test('a validation by name uses the admitted plan, not the file; a file of another migration is refused', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    writeFileSync(path.join(bench.plans, 'shop.yaml'), 'migration: shop\ndatasets:\n  others: { source: { connection: legacy }, target: { connection: new } }\n');
    const check = await admit(deps, admission('b', { plan: 'shop', purpose: 'validate' }));
    expect(check).toMatchObject({ ref: { planHash: ref.planHash }, datasets: [{ name: 'users' }] });
    await closeRun(deps, { ref: check.ref, outcome: 'complete' });
    writeFileSync(path.join(bench.plans, 'spring.yaml'), 'migration: shop\ndatasets:\n  users: { source: { connection: legacy }, target: { connection: new } }\n');
    const refused = admit(deps, admission('c', { plan: 'spring', purpose: 'validate' }));
    await expect(refused).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
    await expect(refused).rejects.toThrow('{"migration": "shop"}');
    await expect(admit(deps, admission('d', { plan: 'nothing', purpose: 'validate' }))).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
  });

  test('a lease to validate gives the migration back as it was', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    const check = await admit(deps, admission('b', { purpose: 'validate' }));
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'running', phase: 'validation' }]);
    await closeRun(deps, { ref: check.ref, outcome: 'failed' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete' }]);
    expect(await admit(deps, admission('c'))).toMatchObject({ complete: true });
  });

  test('a migration that was only validated is not complete', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a', { purpose: 'validate' }));
    await closeRun(deps, { ref, outcome: 'complete' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'cancelled' }]);
    expect(await admit(deps, admission('b'))).toMatchObject({ complete: false });
  });
});

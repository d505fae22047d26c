import { admit } from '../../activities/admit';
import { closeRun } from '../../activities/close-run';
import { recordStatus } from '../../activities/record-status';
import { forgetRuns, loadRun } from '../../activities/run-context';
import { admission, ControlBench } from '../fixtures/control-bench';
import { query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('the lease', () => {
  test('two admissions at the same moment: one run has it, the other is refused with a link', async () => {
    const results = await Promise.allSettled([admit(bench.dependencies({ owner: 'running' }), admission('a')), admit(bench.dependencies({ owner: 'running' }), admission('b'))]);
    const won = results.filter((result) => result.status === 'fulfilled');
    const lost = results.filter((result) => result.status === 'rejected');
    expect([won.length, lost.length]).toEqual([1, 1]);
    expect(won[0]?.value.ref.lease).toBe(1);
    expect(lost[0]?.reason).toMatchObject({ code: 'LEASE_HELD' });
    expect((lost[0]?.reason as Error).message).toMatch(/http:\/\/127\.0\.0\.1:8233\/namespaces\/default\/workflows\/workflow-[ab]/);
    const rows = await query<{ lease: string }>(bench.target, 'SELECT lease FROM caravan.migration');
    expect(rows).toEqual([{ lease: '1' }]);
  });

  test('the same run asking again has the same lease, once in the audit', async () => {
    const deps = bench.dependencies({ owner: 'running' });
    const first = await admit(deps, admission('a'));
    expect((await admit(deps, admission('a'))).ref).toEqual(first.ref);
    expect(await query(bench.target, `SELECT event FROM caravan.audit WHERE event LIKE 'admitted%'`)).toEqual([{ event: 'admitted' }]);
  });

  test('a closed owner is taken over at once, with the next number; the former run is stopped', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const first = await admit(deps, admission('a'));
    await loadRun(deps, first.ref);
    const second = await admit(deps, admission('b'));
    expect(second.ref.lease).toBe(first.ref.lease + 1);
    forgetRuns(deps);
    await expect(loadRun(deps, first.ref)).rejects.toMatchObject({ code: 'LEASE_LOST', kind: 'fenced' });
    await expect(recordStatus(deps, { ref: first.ref, phase: 'production', status: 'running', blocked: [] })).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(closeRun(deps, { ref: first.ref, outcome: 'complete' })).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(loadRun(deps, second.ref)).resolves.toMatchObject({ ref: second.ref });
    expect(await query(bench.target, `SELECT count(*)::int AS n FROM caravan.audit WHERE event = 'lease_taken_over'`)).toEqual([{ n: 1 }]);
  });

  test('three runs after a closed owner: each lease number is given once', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    await admit(deps, admission('a'));
    const views = await Promise.all(['b', 'c', 'd'].map((run) => admit(deps, admission(run))));
    expect(views.map((view) => view.ref.lease).sort()).toEqual([2, 3, 4]);
  });

  test('an owner nobody knows holds on while it was heard of, and is taken over when silent', async () => {
    const deps = bench.dependencies({ owner: 'not_found' });
    await admit(deps, admission('a'));
    await expect(admit(deps, admission('b'))).rejects.toMatchObject({ code: 'SYSTEM_BUSY', kind: 'transient' });
    await query(bench.target, `UPDATE caravan.migration SET lease_seen_at = now() - interval '46 seconds'`);
    await expect(admit(deps, admission('b'))).resolves.toMatchObject({ ref: { lease: 2 } });
  });
});

import { MockActivityEnvironment } from '@temporalio/testing';
import { admit } from '../../activities/admit';
import { LEDGER_SCHEMA } from '../../activities/stores/ledger-schema';
import { watchProgress } from '../../activities/watch-progress';
import type { Progress } from '../../migration/protocol';
import { admission, ControlBench, inActivity, planOf } from '../fixtures/control-bench';
import { query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('watching', () => {
  const ledger = (read: number, quarantined: number): string => `${LEDGER_SCHEMA}
    INSERT INTO caravan.dataset (migration, dataset, generation, state, keyed, base, target_schema, target_table, plan_hash, mapping_digest, engine_version, rows_estimate, opened_at)
      VALUES ('shop', 'users', 2, 'open', true, 'empty', 'public', 'users', 'h', 'd', 'v', 10000, now() - interval '5 minutes');
    INSERT INTO caravan.split (migration, dataset, generation, ordinal, read_rows, written_rows) VALUES ('shop', 'users', 1, 0, 99, 99);
    INSERT INTO caravan.split (migration, dataset, generation, ordinal, commit_no, read_rows, written_rows, quarantined_rows) VALUES ('shop', 'users', 2, 0, 1, ${read}, ${read - quarantined}, ${quarantined});
    INSERT INTO caravan.commit (migration, dataset, generation, ordinal, commit_no, fence, read_rows, written_rows, unchanged_rows, quarantined_rows, filtered_rows, committed_at)
      VALUES ('shop', 'users', 2, 0, 1, 1, ${read}, ${read - quarantined}, 0, ${quarantined}, 0, clock_timestamp() - interval '10 seconds');
    INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, reasons, columns, content)
      SELECT 'shop', 'users', 2, 0, 1, '[]', '{}', '{}' FROM generate_series(1, ${quarantined})`;

  test('answers at once, then with news, at the latest after maxWaitMs; counts the current generation only', async () => {
    const deps = bench.dependencies();
    const { ref } = await admit(deps, admission('a'));
    const watch = (seen: string | null, maxWaitMs: number): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen, maxWaitMs }));
    const nothing = await watch(null, 60_000);
    expect(nothing).toMatchObject({ total: 0, openQuarantine: 0, datasets: [{ dataset: 'users', state: 'waiting' }] });
    const began = Date.now();
    expect((await watch(nothing.version, 700)).version).toBe(nothing.version);
    expect(Date.now() - began).toBeGreaterThanOrEqual(690);

    const news = watch(nothing.version, 30_000);
    await query(bench.target, ledger(5000, 10));
    const progress = await news;
    expect(Date.now() - began).toBeLessThan(20_000);
    expect(progress).toMatchObject({ total: 10000, counts: { read: 5000, written: 4990, quarantined: 10 }, openQuarantine: 10, datasets: [{ state: 'copying' }] });
    expect(progress.rowsPerSecond).toBeGreaterThan(200);
    expect(progress.rowsPerSecond).toBeLessThan(600);
    await query(bench.target, `UPDATE caravan.split SET read_rows = 5001, written_rows = 4991 WHERE generation = 2`);
    expect((await watch(progress.version, 0)).version).toBe(progress.version);
    await query(bench.target, `UPDATE caravan.split SET read_rows = 5100, written_rows = 5090 WHERE generation = 2`);
    expect((await watch(progress.version, 0)).version).not.toBe(progress.version);
  });

  test('an ordinary change waits for minWaitMs, a change of state does not; the lease is kept meanwhile', async () => {
    const deps = bench.dependencies();
    const { ref } = await admit(deps, admission('a'));
    await query(bench.target, ledger(5000, 10));
    const watch = (seen: string | null, minWaitMs: number): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen, maxWaitMs: 20_000, minWaitMs }));
    const first = await watch(null, 10_000);
    await query(bench.target, `UPDATE caravan.split SET read_rows = 6000, written_rows = 5990 WHERE generation = 2; UPDATE caravan.migration SET lease_seen_at = now() - interval '1 hour'`);
    const began = Date.now();
    const second = await watch(first.version, 2_500);
    expect(Date.now() - began).toBeGreaterThanOrEqual(2_490);
    expect(Date.now() - began).toBeLessThan(8_000);
    expect(second.counts.read).toBe(6000);
    expect(await query(bench.target, `SELECT lease_seen_at > now() - interval '10 seconds' AS fresh FROM caravan.migration`)).toEqual([{ fresh: true }]);
    await query(bench.target, `UPDATE caravan.dataset SET state = 'copied'`);
    const then = Date.now();
    expect((await watch(second.version, 15_000)).datasets).toMatchObject([{ state: 'finishing' }]);
    expect(Date.now() - then).toBeLessThan(10_000);
  });

  test('the speed of rare commits is that over the last two; building indexes is not slow', async () => {
    const deps = bench.dependencies();
    const { ref } = await admit(deps, admission('a', { plan: planOf({ alerts: { min_speed: '1000/min' } }) }));
    await query(bench.target, ledger(5000, 0));
    await query(bench.target, `UPDATE caravan.migration SET status_since = now() - interval '1 hour'; UPDATE caravan.commit SET committed_at = clock_timestamp() - interval '160 seconds';
      INSERT INTO caravan.commit (migration, dataset, generation, ordinal, commit_no, fence, read_rows, written_rows, unchanged_rows, quarantined_rows, filtered_rows, committed_at)
        VALUES ('shop', 'users', 2, 0, 2, 1, 5000, 5000, 0, 0, 0, clock_timestamp() - interval '70 seconds')`);
    const watch = (): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    const { rowsPerSecond, alerts } = await watch();
    expect(rowsPerSecond).toBeGreaterThan(50);
    expect(rowsPerSecond).toBeLessThan(70);
    expect(alerts).toMatchObject([{ alert: 'min_speed', active: false }]);
    await query(bench.target, `UPDATE caravan.commit SET committed_at = committed_at - interval '30 minutes'`);
    expect((await watch()).alerts).toMatchObject([{ active: true }]);
    await query(bench.target, `UPDATE caravan.dataset SET state = 'copied'`);
    expect((await watch()).alerts).toMatchObject([{ active: false }]);
  });

  test('alerts: the error rate, and the speed of a run that has had its grace', async () => {
    const deps = bench.dependencies();
    const { ref } = await admit(deps, admission('a', { plan: planOf({ alerts: { error_rate: '0.5%', min_speed: '100000/min', on_alert: 'block' } }) }));
    await query(bench.target, ledger(5000, 50));
    const watch = (): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    expect((await watch()).alerts).toMatchObject([{ alert: 'error_rate', active: true, blocks: true }, { alert: 'min_speed', active: false }]);
    await query(bench.target, `UPDATE caravan.migration SET status_since = now() - interval '2 minutes'`);
    expect((await watch()).alerts).toMatchObject([{ active: true }, { alert: 'min_speed', active: true }]);
    await query(bench.target, `UPDATE caravan.migration SET status = 'paused'; UPDATE caravan.quarantine SET state = 'waived'`);
    expect((await watch()).alerts).toMatchObject([{ active: false }, { active: false }]);
  });

  test('refreshes the lease, stops when it is lost and when it is cancelled', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, admission('a'));
    await query(bench.target, `UPDATE caravan.migration SET lease_seen_at = now() - interval '1 hour'`);
    const { version } = await inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    expect(await query(bench.target, `SELECT lease_seen_at > now() - interval '10 seconds' AS fresh FROM caravan.migration`)).toEqual([{ fresh: true }]);
    const environment = new MockActivityEnvironment();
    const cancelled = environment.run(() => watchProgress(deps, { ref, seen: version, maxWaitMs: 60_000 }));
    setTimeout(() => environment.cancel(), 200);
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledFailure' });
    await admit(deps, admission('b'));
    await expect(inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }))).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });
});

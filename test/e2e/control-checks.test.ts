import { MockActivityEnvironment } from '@temporalio/testing';
import { admit } from '../../activities/admit';
import { asPostgres } from '../../activities/connectors/postgres/system';
import type { ActivityDependencies } from '../../activities/dependencies';
import { runChecks } from '../../activities/run-checks';
import { readCheckResults, storeCheckResults } from '../../activities/stores/control-store';
import { LEDGER_SCHEMA } from '../../activities/stores/ledger-schema';
import type { RunView } from '../../migration/protocol';
import { admission, ControlBench, inActivity, planOf } from '../fixtures/control-bench';
import { query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('checks', () => {
  let runs = 0;
  beforeEach(async () => {
    await query(bench.legacy, `CREATE TABLE orders (id int PRIMARY KEY, email text, total numeric(20,2)); INSERT INTO orders VALUES (1, 'a@x', 1.10), (2, 'b@x', 9007199254740993.01), (3, NULL, 5)`);
    await query(bench.target, `CREATE TABLE orders (id int PRIMARY KEY, email text, total numeric); INSERT INTO orders VALUES (1, 'a@x', 1.1), (2, 'b@x', 9007199254740993.010), (3, NULL, 5)`);
  });

  const checked = async (checks: object, more: object = {}): Promise<{ deps: ActivityDependencies; view: RunView; run(when: 'before' | 'after'): ReturnType<typeof runChecks> }> => {
    const deps = bench.dependencies({ owner: 'closed' });
    runs += 1;
    const view = await admit(deps, admission(`run-${runs}`, { plan: planOf({ checks, ...more }) }));
    return { deps, view, run: async (when) => {
      const { outcomes, failed } = await inActivity(() => runChecks(deps, { ref: view.ref, when }));
      // Those of objects have their own test (mutations.test.ts).
      return { outcomes: outcomes.filter(({ kind }) => kind !== 'objects'), failed };
    } };
  };
  const both = (sql: string, more: object = {}): object => ({ source: sql, target: sql, ...more });
  const sum = both('SELECT sum(total) FROM orders -- all');
  const nulls = 'SELECT count(*) FROM orders WHERE email IS NULL';

  test('probes are timed on both sides and compared with what the plan allows', async () => {
    const slow = 'SELECT pg_sleep(0.06), count(*) FROM orders';
    const { run } = await checked({}, {
      success: { performance_within: '10%' },
      probes: { same: 'SELECT count(*) FROM orders', slower: { source: 'SELECT pg_sleep(0.03)', target: slow }, faster: { source: slow, target: 'SELECT 1' }, broken: 'SELECT nothing FROM orders', alone: { target: 'SELECT 1' } },
    });
    const { outcomes, failed } = await run('after');
    expect(failed).toBe(0);
    const verdicts = Object.fromEntries(outcomes.map(({ name, verdict, kind }) => [name, `${kind} ${verdict}`]));
    expect(verdicts).toEqual({ same: 'performance passed', slower: 'performance warned', faster: 'performance passed', broken: 'performance warned' });
    expect(outcomes.find(({ name }) => name === 'slower')?.detail).toMatch(/^old side \d+(\.\d)? ms, new side \d+(\.\d)? ms, medians of 5: \d+ % slower; allowed: 10 % slower$/);
    expect(outcomes.find(({ name }) => name === 'broken')?.detail).toContain('nothing');
  });

  test('equal numbers pass whatever their scale; a difference fails, or is explained by quarantine; never silently', async () => {
    const { deps, view, run } = await checked({ business_rules: { totals: sum, emails: both('SELECT min(email) FROM orders') } });
    expect((await run('before')).outcomes).toMatchObject([{ name: 'totals', side: 'source', verdict: 'passed' }, { name: 'emails', verdict: 'passed' }]);
    expect(await run('after')).toMatchObject({ failed: 0, outcomes: [{ name: 'totals', verdict: 'passed' }, { name: 'emails', verdict: 'passed' }] });
    await query(bench.target, `UPDATE orders SET total = total + 1 WHERE id = 2; UPDATE orders SET email = 'c@x' WHERE id = 1`);
    const failed = await run('after');
    expect(failed).toMatchObject({ failed: 2, outcomes: [{ verdict: 'failed' }, { verdict: 'failed' }] });
    expect(JSON.stringify(failed)).not.toContain('@x');
    await query(bench.target, `${LEDGER_SCHEMA} INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, reasons, columns, content) VALUES ('${view.ref.migration}', 'users', 1, 0, 1, '[]', '{}', '{}')`);
    // Quarantine alone explains nothing while rows may be missing beside it.
    const doubtful = await run('after');
    expect(doubtful).toMatchObject({ failed: 2, outcomes: [{ verdict: 'failed', detail: expect.stringMatching(/1 open.*row comparisons do not say so of: users/) as string }, { verdict: 'failed' }] });
    const compared = { dataset: 'users', compared: 3, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 1, repaired: 0, detail: 'd' };
    const control = asPostgres(deps.systems.open('new'));
    await storeCheckResults(control, view.ref, 'rows', [{ ...compared, missing: 1, verdict: 'failed' }]);
    expect(await run('after')).toMatchObject({ failed: 2 });
    await storeCheckResults(control, view.ref, 'rows', [{ ...compared, verdict: 'explained' }]);
    expect(await readCheckResults(control, 'shop', 'rows')).toMatchObject([{ dataset: 'users', missing: 0, verdict: 'explained' }]);
    expect(await query(bench.target, `SELECT count(*)::int AS n FROM caravan.check_result WHERE stage = 'rows'`)).toEqual([{ n: 1 }]);
    expect(await run('after')).toMatchObject({ failed: 0, outcomes: [{ verdict: 'explained', detail: expect.stringContaining('1 open') as string }, { verdict: 'explained' }] });
    expect(await query(bench.target, `SELECT count(*)::int AS n FROM caravan.check_result WHERE outcome::text LIKE '%@x%'`)).toEqual([{ n: 0 }]);
  });

  test('integrity: zero passes; with warn, not more than before; more than before fails', async () => {
    const { run } = await checked({ integrity: { clean: both('SELECT 0'), dirty: both(nulls, { on_fail: 'warn' }), strict: both(nulls) } });
    expect(await run('before')).toMatchObject({ failed: 1, outcomes: [{ verdict: 'passed' }, { verdict: 'warned' }, { name: 'strict', verdict: 'failed' }] });
    expect((await run('after')).outcomes).toMatchObject([{ verdict: 'passed', side: 'target' }, { verdict: 'warned' }, { verdict: 'failed' }]);
    await query(bench.target, 'UPDATE orders SET email = NULL WHERE id = 1');
    expect((await run('after')).outcomes).toMatchObject([{ verdict: 'passed' }, { name: 'dirty', verdict: 'failed' }, { verdict: 'failed' }]);
  });

  test('check SQL cannot write, runs one statement, and must answer one value', async () => {
    await query(bench.legacy, 'CREATE SEQUENCE touched');
    const attempt = async (sql: string): Promise<unknown> => (await checked({ business_rules: { bad: { source: sql, target: 'SELECT 1' } } })).run('before');
    await expect(attempt(`SELECT nextval('touched')`)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect(await attempt('SELECT id FROM orders')).toMatchObject({ outcomes: [{ verdict: 'failed', detail: expect.stringContaining('not one value') as string }] });
    const missing = attempt('SELECT count(*) FROM ordrs');
    await expect(missing).rejects.toMatchObject({ code: 'OBJECT_MISSING' });
    await expect(missing).rejects.toThrow('check bad, source');
    await expect(attempt(`SELECT 1 FROM orders) AS x; DELETE FROM orders; SELECT (1`)).rejects.toThrow();
    expect(await query(bench.legacy, 'SELECT count(*)::int AS n FROM orders')).toEqual([{ n: 3 }]);
  });

  test('a cancelled check ends its query in the server', async () => {
    const { deps, view } = await checked({ business_rules: { slow: both(`SELECT count(*) FROM (SELECT pg_sleep(50)) s`) } });
    const environment = new MockActivityEnvironment();
    const cancelled = environment.run(() => runChecks(deps, { ref: view.ref, when: 'before' }));
    setTimeout(() => environment.cancel(), 700);
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledFailure' });
    const left = await asPostgres(deps.systems.open('legacy')).use((client) => client.query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(50)%' AND state = 'active' AND pid <> pg_backend_pid()`));
    expect(left.rowCount).toBe(0);
  });
});

import { createServer, type IncomingMessage } from 'node:http';
import { createHmac } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { Client } from 'pg';
import { admit } from '../../activities/admit';
import { closeRun } from '../../activities/close-run';
import { asPostgres, type PostgresSystem } from '../../activities/connectors/postgres/system';
import type { ActivityDependencies, OwnerLookup } from '../../activities/dependencies';
import { notify } from '../../activities/notify';
import { recordDecision } from '../../activities/record-decision';
import { recordApproval } from '../../activities/record-approval';
import { recordStatus } from '../../activities/record-status';
import { forgetRuns, loadDataset, loadRun } from '../../activities/run-context';
import { runChecks } from '../../activities/run-checks';
import { readMigrationReport, readStatus } from '../../activities/status-reading';
import { LEDGER_SCHEMA } from '../../activities/stores/ledger-schema';
import { readCheckResults, storeCheckResults } from '../../activities/stores/control-store';
import { watchProgress } from '../../activities/watch-progress';
import type { AdmitInput, NotifyInput, Progress, RunView } from '../../migration/protocol';
import { readConnections } from '../../workers/connections';
import { buildDependencies } from '../../workers/dependencies';
import { createDatabase, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(60_000);

let legacy: TestDatabase;
let target: TestDatabase;
let plans: string;
const opened: ActivityDependencies[] = [];

beforeEach(async () => {
  [legacy, target] = await Promise.all([createDatabase('legacy', 'control'), createDatabase('new', 'control')]);
  plans = mkdtempSync(path.join(tmpdir(), 'caravan-plans-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((deps) => deps.systems.close()));
  await Promise.all([legacy.drop(), target.drop()]);
  rmSync(plans, { recursive: true, force: true });
});

type OwnerState = Awaited<ReturnType<OwnerLookup['state']>>;

function dependencies(options: { owner?: OwnerState; env?: Record<string, string> } = {}): ActivityDependencies {
  const env = { CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: target.url, ...options.env };
  const owners: OwnerLookup = { namespace: 'default', uiUrl: 'http://127.0.0.1:8233', state: () => Promise.resolve(options.owner ?? 'not_found'), serves: () => Promise.resolve(true) };
  const deps = buildDependencies({ connections: readConnections({ env, cwd: plans }), env, log: pino({ level: 'silent' }), plansFolder: plans, owners });
  opened.push(deps);
  return deps;
}

function planOf(more: object = {}, dataset: object = {}): object {
  return { migration: 'shop', datasets: { users: { source: { connection: 'legacy' }, target: { connection: 'new' }, ...dataset } }, ...more };
}

const start = (run: string, more: Partial<AdmitInput> = {}): AdmitInput => ({ plan: planOf(), workflowId: `workflow-${run}`, firstRunId: run, ...more });
const systemOf = (deps: ActivityDependencies, name: string): PostgresSystem => asPostgres(deps.systems.open(name));

async function query<T extends object>(database: TestDatabase, sql: string): Promise<T[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

const inActivity = <T>(work: () => Promise<T>, attempt = 1): Promise<T> => new MockActivityEnvironment({ attempt }).run(work);

describe('the lease', () => {
  test('two admissions at the same moment: one run has it, the other is refused with a link', async () => {
    const results = await Promise.allSettled([admit(dependencies({ owner: 'running' }), start('a')), admit(dependencies({ owner: 'running' }), start('b'))]);
    const won = results.filter((result) => result.status === 'fulfilled');
    const lost = results.filter((result) => result.status === 'rejected');
    expect([won.length, lost.length]).toEqual([1, 1]);
    expect(won[0]?.value.ref.lease).toBe(1);
    expect(lost[0]?.reason).toMatchObject({ code: 'LEASE_HELD' });
    expect((lost[0]?.reason as Error).message).toMatch(/http:\/\/127\.0\.0\.1:8233\/namespaces\/default\/workflows\/workflow-[ab]/);
    const rows = await query<{ lease: string }>(target, 'SELECT lease FROM caravan.migration');
    expect(rows).toEqual([{ lease: '1' }]);
  });

  test('the same run asking again has the same lease, once in the audit', async () => {
    const deps = dependencies({ owner: 'running' });
    const first = await admit(deps, start('a'));
    expect((await admit(deps, start('a'))).ref).toEqual(first.ref);
    expect(await query(target, `SELECT event FROM caravan.audit WHERE event LIKE 'admitted%'`)).toEqual([{ event: 'admitted' }]);
  });

  test('a closed owner is taken over at once, with the next number; the former run is stopped', async () => {
    const deps = dependencies({ owner: 'closed' });
    const first = await admit(deps, start('a'));
    await loadRun(deps, first.ref);
    const second = await admit(deps, start('b'));
    expect(second.ref.lease).toBe(first.ref.lease + 1);
    forgetRuns(deps);
    await expect(loadRun(deps, first.ref)).rejects.toMatchObject({ code: 'LEASE_LOST', kind: 'fenced' });
    await expect(recordStatus(deps, { ref: first.ref, phase: 'production', status: 'running', blocked: [] })).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(closeRun(deps, { ref: first.ref, outcome: 'complete' })).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(loadRun(deps, second.ref)).resolves.toMatchObject({ ref: second.ref });
    expect(await query(target, `SELECT count(*)::int AS n FROM caravan.audit WHERE event = 'lease_taken_over'`)).toEqual([{ n: 1 }]);
  });

  test('three runs after a closed owner: each lease number is given once', async () => {
    const deps = dependencies({ owner: 'closed' });
    await admit(deps, start('a'));
    const views = await Promise.all(['b', 'c', 'd'].map((run) => admit(deps, start(run))));
    expect(views.map((view) => view.ref.lease).sort()).toEqual([2, 3, 4]);
  });

  test('an owner nobody knows holds on while it was heard of, and is taken over when silent', async () => {
    const deps = dependencies({ owner: 'not_found' });
    await admit(deps, start('a'));
    await expect(admit(deps, start('b'))).rejects.toMatchObject({ code: 'SYSTEM_BUSY', kind: 'transient' });
    await query(target, `UPDATE caravan.migration SET lease_seen_at = now() - interval '46 seconds'`);
    await expect(admit(deps, start('b'))).resolves.toMatchObject({ ref: { lease: 2 } });
  });
});

describe('admission', () => {
  test('a plan by name; all its problems at once; unknown connections and approaches by name', async () => {
    const deps = dependencies();
    writeFileSync(path.join(plans, 'shop.yaml'), 'migration: shop\ndatasets:\n  users: { source: { connection: legacy }, target: { connection: new } }\n');
    await expect(admit(deps, start('a', { plan: 'shop' }))).resolves.toMatchObject({ ref: { migration: 'shop', control: 'new' }, datasets: [{ name: 'users' }], searchAttributes: false });
    await expect(admit(deps, start('a', { plan: 'shap' }))).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
    const broken = admit(deps, start('a', { plan: planOf({ aproach: 'x' }, { prioriti: 'high' }) }));
    await expect(broken).rejects.toMatchObject({ code: 'PLAN_INVALID' });
    await expect(broken).rejects.toThrow(/aproach[\s\S]*prioriti|prioriti[\s\S]*aproach/);
    await expect(admit(deps, start('a', { plan: planOf({ approach: 'trickle' }) }))).rejects.toMatchObject({ code: 'APPROACH_NOT_BUILT' });
    await expect(admit(deps, start('a', { plan: planOf({}, { source: { connection: 'old' } }) }))).rejects.toThrow('There are: legacy, new');
  });

  test('a server that is away is transient, a refused password is not; neither message has the password', async () => {
    const away = dependencies({ env: { CARAVAN_CONNECTION_LEGACY: 'postgres://u:hunter2@127.0.0.1:9/x' } });
    await expect(admit(away, start('a'))).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE', kind: 'transient', message: expect.not.stringContaining('hunter2') });
    const url = new URL(legacy.url);
    url.pathname = '/no_such_database';
    const refused = dependencies({ env: { CARAVAN_CONNECTION_LEGACY: url.href } });
    await expect(admit(refused, start('a'))).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' });
  });

  test('another database behind a connection is noticed, at admission and in a run', async () => {
    const { ref } = await admit(dependencies(), start('a'));
    const elsewhere = await createDatabase('legacy', 'elsewhere');
    try {
      const moved = dependencies({ owner: 'closed', env: { CARAVAN_CONNECTION_LEGACY: elsewhere.url } });
      await expect(loadRun(moved, ref)).rejects.toMatchObject({ code: 'SYSTEM_CHANGED' });
      await expect(loadDataset(moved, { ref, dataset: 'users' })).rejects.toThrow('connection legacy');
      await expect(admit(moved, start('b'))).rejects.toMatchObject({ code: 'SYSTEM_CHANGED' });
      await expect(loadRun(dependencies(), ref)).resolves.toMatchObject({ ref });
    } finally {
      await Promise.all(opened.splice(0).map((deps) => deps.systems.close()));
      await elsewhere.drop();
    }
  });

  test('a worker that knows one side only loads a dataset, and fails where it needs the other', async () => {
    const { ref } = await admit(dependencies(), start('a'));
    const oneSided = dependencies({ env: { CARAVAN_CONNECTION_LEGACY: '' } });
    const context = await loadDataset(oneSided, { ref, dataset: 'users' });
    expect(context.target.config.name).toBe('new');
    expect(context.sourceSelection).toEqual({ table: 'users' });
    expect(context.targetTable).toEqual({ schema: 'public', table: 'users' });
    expect(() => context.source).toThrow('connection legacy is not known here');
    await expect(loadDataset(oneSided, { ref, dataset: 'toString' })).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
  });

  test('after rows were copied, data edits are refused by dataset and operational edits go through', async () => {
    const deps = dependencies({ owner: 'closed' });
    await admit(deps, start('a'));
    const edited = planOf({}, { transformations: [{ old_field: 'a', new_field: 'b' }] });
    await expect(admit(deps, start('b', { plan: edited }))).resolves.toMatchObject({ ref: { lease: 2 } });
    await query(target, `${LEDGER_SCHEMA}
      INSERT INTO caravan.dataset (migration, dataset, generation, state, keyed, base, target_schema, target_table, plan_hash, mapping_digest, engine_version)
        VALUES ('shop', 'users', 1, 'open', true, 'empty', 'public', 'users', 'h', 'd', 'v');
      INSERT INTO caravan.split (migration, dataset, generation, ordinal, commit_no) VALUES ('shop', 'users', 1, 0, 1)`);
    const refused = admit(deps, start('c'));
    await expect(refused).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
    await expect(refused).rejects.toThrow('users');
    const operational = { ...edited, project: 'Shop', batch: { batch_size: 7 }, alerts: { error_rate: '1%' }, gates: ['go'] };
    const view = await admit(deps, start('d', { plan: operational }));
    expect(view.gates).toEqual(['go']);
    // A refused admission leaves the lease where it was.
    expect(view.ref.lease).toBe(3);
    await expect(admit(deps, start('e', { plan: { ...operational, approach: 'phased' } }))).rejects.toThrow('approach');
  });
});

describe('records of a run', () => {
  test('status, blocked steps, approvals and the outcome are seen without Temporal; starting again finds nothing to do', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a', { plan: planOf({ gates: ['go'] }) }));
    const blocked = [{ step: 'open users', occurrence: 1, workflowId: 'w', code: 'TARGET_NOT_EMPTY' as const, kind: 'config' as const, message: 'm', remedies: ['r'], since: '2026-01-01T00:00:00Z', skippable: false }];
    await recordStatus(deps, { ref, phase: 'production', status: 'blocked', blocked, detail: 'one step' });
    await recordApproval(deps, { ref, approval: { gate: 'go', by: 'ann', role: 'data_owner' } });
    await recordApproval(deps, { ref, approval: { gate: 'go', by: 'ben' } });
    const { migrations: [status], unreachable } = await readStatus(deps, 'http://ui', 'shop');
    expect(unreachable).toEqual([]);
    expect(status).toMatchObject({ migration: 'shop', phase: 'production', status: 'blocked', blocked, detail: 'one step', uiLink: 'http://ui/namespaces/default/workflows/workflow-a', finishedAt: null, progress: { total: 0 } });
    expect((await readMigrationReport(deps, null, 'shop')).approvals).toMatchObject([{ gate: 'go', by: 'ann' }]);

    const resumed = await admit(deps, start('b', { plan: planOf({ gates: ['go'] }) }));
    expect(resumed).toMatchObject({ complete: false, approved: ['go'] });
    await closeRun(deps, { ref: resumed.ref, outcome: 'complete' });
    await closeRun(deps, { ref: resumed.ref, outcome: 'complete' });
    const again = await admit(deps, start('c', { plan: planOf({ gates: ['go'] }) }));
    expect(again).toMatchObject({ complete: true, ref: { lease: 3 } });
    await closeRun(deps, { ref: again.ref, outcome: 'cancelled' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete', lease: 3 }]);
    // An edited plan runs again, and asks for its gates again.
    expect(await admit(deps, start('d', { plan: planOf({ gates: ['go'], project: 'x' }) }))).toMatchObject({ complete: false, approved: [] });
  });

  test('a migration in which a copy was skipped is not complete: the next run goes on; a skipped check is decided', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a'));
    const decision = { action: 'skip' as const, step: 'copy:users', occurrence: 1, by: 'ann', reason: 'later' };
    await recordDecision(deps, { ref, decision });
    await recordDecision(deps, { ref, decision });
    await recordDecision(deps, { ref, decision: { action: 'retry', step: 'copy:users', occurrence: 2, overrides: { batchSize: 10 } } });
    await closeRun(deps, { ref, outcome: 'complete', skipped: [{ step: 'copy:users', by: 'ann', reason: 'later' }, 'rows:orders'] });
    const report = await readMigrationReport(deps, null, 'shop');
    expect(report.skipped).toEqual([{ step: 'copy:users', by: 'ann', reason: 'later' }, { step: 'rows:orders' }]);
    expect(report.decisions).toMatchObject([{ step: 'copy:users', action: 'skip', by: 'ann', reason: 'later' }, { action: 'retry', by: null }]);
    expect(report.audit.filter(({ event }) => event === 'closed')).toMatchObject([{ body: { outcome: 'complete', skipped: [{ step: 'copy:users' }, {}] } }]);

    const again = await admit(deps, start('b'));
    expect(again.complete).toBe(false);
    await closeRun(deps, { ref: again.ref, outcome: 'complete', skipped: [{ step: 'rows:users', by: 'ann' }] });
    expect(await admit(deps, start('c'))).toMatchObject({ complete: true });
    expect((await readMigrationReport(deps, null, 'shop')).skipped).toEqual([{ step: 'rows:users', by: 'ann' }]);
    await expect(recordDecision(deps, { ref, decision })).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });

  test('a control store that an earlier version made is read, and admitted into', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    await query(target, 'ALTER TABLE caravan.migration DROP COLUMN skipped');
    expect((await readMigrationReport(deps, null, 'shop')).skipped).toEqual([]);
    expect(await admit(deps, start('b'))).toMatchObject({ complete: true });
  });

  test('a closed run that works again holds its lease again; what was complete at admission stays complete', async () => {
    const deps = dependencies({ owner: 'running' });
    const { ref } = await admit(deps, start('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    await recordStatus(deps, { ref, phase: 'production', status: 'running', blocked: [] });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'running', finishedAt: null }]);
    await expect(admit(deps, start('b'))).rejects.toMatchObject({ code: 'LEASE_HELD' });
    await closeRun(deps, { ref, outcome: 'complete' });
    const idle = await admit(deps, start('b'));
    expect(idle.complete).toBe(true);
    await recordStatus(deps, { ref: idle.ref, phase: 'preparation', status: 'running', blocked: [] });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete', finishedAt: expect.any(String) as string }]);
    expect(await admit(deps, start('c'))).toMatchObject({ complete: true });
  });

  test('a validation by name uses the admitted plan, not the file; a file of another migration is refused', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    writeFileSync(path.join(plans, 'shop.yaml'), 'migration: shop\ndatasets:\n  others: { source: { connection: legacy }, target: { connection: new } }\n');
    const check = await admit(deps, start('b', { plan: 'shop', purpose: 'validate' }));
    expect(check).toMatchObject({ ref: { planHash: ref.planHash }, datasets: [{ name: 'users' }] });
    await closeRun(deps, { ref: check.ref, outcome: 'complete' });
    writeFileSync(path.join(plans, 'spring.yaml'), 'migration: shop\ndatasets:\n  users: { source: { connection: legacy }, target: { connection: new } }\n');
    const refused = admit(deps, start('c', { plan: 'spring', purpose: 'validate' }));
    await expect(refused).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
    await expect(refused).rejects.toThrow('{"migration": "shop"}');
    await expect(admit(deps, start('d', { plan: 'nothing', purpose: 'validate' }))).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
  });

  test('a lease to validate gives the migration back as it was', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a'));
    await closeRun(deps, { ref, outcome: 'complete' });
    const check = await admit(deps, start('b', { purpose: 'validate' }));
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'running', phase: 'validation' }]);
    await closeRun(deps, { ref: check.ref, outcome: 'failed' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'complete' }]);
    expect(await admit(deps, start('c'))).toMatchObject({ complete: true });
  });

  test('a migration that was only validated is not complete', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a', { purpose: 'validate' }));
    await closeRun(deps, { ref, outcome: 'complete' });
    expect((await readStatus(deps, null)).migrations).toMatchObject([{ status: 'cancelled' }]);
    expect(await admit(deps, start('b'))).toMatchObject({ complete: false });
  });
});

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
    const deps = dependencies();
    const { ref } = await admit(deps, start('a'));
    const watch = (seen: string | null, maxWaitMs: number): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen, maxWaitMs }));
    const nothing = await watch(null, 60_000);
    expect(nothing).toMatchObject({ total: 0, openQuarantine: 0, datasets: [{ dataset: 'users', state: 'waiting' }] });
    const began = Date.now();
    expect((await watch(nothing.version, 700)).version).toBe(nothing.version);
    expect(Date.now() - began).toBeGreaterThanOrEqual(690);

    const news = watch(nothing.version, 30_000);
    await query(target, ledger(5000, 10));
    const progress = await news;
    expect(Date.now() - began).toBeLessThan(20_000);
    expect(progress).toMatchObject({ total: 10000, counts: { read: 5000, written: 4990, quarantined: 10 }, openQuarantine: 10, datasets: [{ state: 'copying' }] });
    expect(progress.rowsPerSecond).toBeGreaterThan(200);
    expect(progress.rowsPerSecond).toBeLessThan(600);
    await query(target, `UPDATE caravan.split SET read_rows = 5001, written_rows = 4991 WHERE generation = 2`);
    expect((await watch(progress.version, 0)).version).toBe(progress.version);
    await query(target, `UPDATE caravan.split SET read_rows = 5100, written_rows = 5090 WHERE generation = 2`);
    expect((await watch(progress.version, 0)).version).not.toBe(progress.version);
  });

  test('an ordinary change waits for minWaitMs, a change of state does not; the lease is kept meanwhile', async () => {
    const deps = dependencies();
    const { ref } = await admit(deps, start('a'));
    await query(target, ledger(5000, 10));
    const watch = (seen: string | null, minWaitMs: number): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen, maxWaitMs: 20_000, minWaitMs }));
    const first = await watch(null, 10_000);
    await query(target, `UPDATE caravan.split SET read_rows = 6000, written_rows = 5990 WHERE generation = 2; UPDATE caravan.migration SET lease_seen_at = now() - interval '1 hour'`);
    const began = Date.now();
    const second = await watch(first.version, 2_500);
    expect(Date.now() - began).toBeGreaterThanOrEqual(2_490);
    expect(Date.now() - began).toBeLessThan(8_000);
    expect(second.counts.read).toBe(6000);
    expect(await query(target, `SELECT lease_seen_at > now() - interval '10 seconds' AS fresh FROM caravan.migration`)).toEqual([{ fresh: true }]);
    await query(target, `UPDATE caravan.dataset SET state = 'copied'`);
    const then = Date.now();
    expect((await watch(second.version, 15_000)).datasets).toMatchObject([{ state: 'finishing' }]);
    expect(Date.now() - then).toBeLessThan(10_000);
  });

  test('the speed of rare commits is that over the last two; building indexes is not slow', async () => {
    const deps = dependencies();
    const { ref } = await admit(deps, start('a', { plan: planOf({ alerts: { min_speed: '1000/min' } }) }));
    await query(target, ledger(5000, 0));
    await query(target, `UPDATE caravan.migration SET status_since = now() - interval '1 hour'; UPDATE caravan.commit SET committed_at = clock_timestamp() - interval '160 seconds';
      INSERT INTO caravan.commit (migration, dataset, generation, ordinal, commit_no, fence, read_rows, written_rows, unchanged_rows, quarantined_rows, filtered_rows, committed_at)
        VALUES ('shop', 'users', 2, 0, 2, 1, 5000, 5000, 0, 0, 0, clock_timestamp() - interval '70 seconds')`);
    const watch = (): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    const { rowsPerSecond, alerts } = await watch();
    expect(rowsPerSecond).toBeGreaterThan(50);
    expect(rowsPerSecond).toBeLessThan(70);
    expect(alerts).toMatchObject([{ alert: 'min_speed', active: false }]);
    await query(target, `UPDATE caravan.commit SET committed_at = committed_at - interval '30 minutes'`);
    expect((await watch()).alerts).toMatchObject([{ active: true }]);
    await query(target, `UPDATE caravan.dataset SET state = 'copied'`);
    expect((await watch()).alerts).toMatchObject([{ active: false }]);
  });

  test('alerts: the error rate, and the speed of a run that has had its grace', async () => {
    const deps = dependencies();
    const { ref } = await admit(deps, start('a', { plan: planOf({ alerts: { error_rate: '0.5%', min_speed: '100000/min', on_alert: 'block' } }) }));
    await query(target, ledger(5000, 50));
    const watch = (): Promise<Progress> => inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    expect((await watch()).alerts).toMatchObject([{ alert: 'error_rate', active: true, blocks: true }, { alert: 'min_speed', active: false }]);
    await query(target, `UPDATE caravan.migration SET status_since = now() - interval '2 minutes'`);
    expect((await watch()).alerts).toMatchObject([{ active: true }, { alert: 'min_speed', active: true }]);
    await query(target, `UPDATE caravan.migration SET status = 'paused'; UPDATE caravan.quarantine SET state = 'waived'`);
    expect((await watch()).alerts).toMatchObject([{ active: false }, { active: false }]);
  });

  test('refreshes the lease, stops when it is lost and when it is cancelled', async () => {
    const deps = dependencies({ owner: 'closed' });
    const { ref } = await admit(deps, start('a'));
    await query(target, `UPDATE caravan.migration SET lease_seen_at = now() - interval '1 hour'`);
    const { version } = await inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }));
    expect(await query(target, `SELECT lease_seen_at > now() - interval '10 seconds' AS fresh FROM caravan.migration`)).toEqual([{ fresh: true }]);
    const environment = new MockActivityEnvironment();
    const cancelled = environment.run(() => watchProgress(deps, { ref, seen: version, maxWaitMs: 60_000 }));
    setTimeout(() => environment.cancel(), 200);
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledFailure' });
    await admit(deps, start('b'));
    await expect(inActivity(() => watchProgress(deps, { ref, seen: null, maxWaitMs: 0 }))).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });
});

describe('checks', () => {
  beforeEach(async () => {
    await query(legacy, `CREATE TABLE orders (id int PRIMARY KEY, email text, total numeric(20,2)); INSERT INTO orders VALUES (1, 'a@x', 1.10), (2, 'b@x', 9007199254740993.01), (3, NULL, 5)`);
    await query(target, `CREATE TABLE orders (id int PRIMARY KEY, email text, total numeric); INSERT INTO orders VALUES (1, 'a@x', 1.1), (2, 'b@x', 9007199254740993.010), (3, NULL, 5)`);
  });

  const checked = async (checks: object): Promise<{ deps: ActivityDependencies; view: RunView; run(when: 'before' | 'after'): ReturnType<typeof runChecks> }> => {
    const deps = dependencies({ owner: 'closed' });
    const view = await admit(deps, start(`run-${opened.length}`, { plan: planOf({ checks }) }));
    return { deps, view, run: (when) => inActivity(() => runChecks(deps, { ref: view.ref, when })) };
  };
  const both = (sql: string, more: object = {}): object => ({ source: sql, target: sql, ...more });
  const sum = both('SELECT sum(total) FROM orders -- all');
  const nulls = 'SELECT count(*) FROM orders WHERE email IS NULL';

  test('equal numbers pass whatever their scale; a difference fails, or is explained by quarantine; never silently', async () => {
    const { deps, view, run } = await checked({ business_rules: { totals: sum, emails: both('SELECT min(email) FROM orders') } });
    expect((await run('before')).outcomes).toMatchObject([{ name: 'totals', side: 'source', verdict: 'passed' }, { name: 'emails', verdict: 'passed' }]);
    expect(await run('after')).toMatchObject({ failed: 0, outcomes: [{ name: 'totals', verdict: 'passed' }, { name: 'emails', verdict: 'passed' }] });
    await query(target, `UPDATE orders SET total = total + 1 WHERE id = 2; UPDATE orders SET email = 'c@x' WHERE id = 1`);
    const failed = await run('after');
    expect(failed).toMatchObject({ failed: 2, outcomes: [{ verdict: 'failed' }, { verdict: 'failed' }] });
    expect(JSON.stringify(failed)).not.toContain('@x');
    await query(target, `${LEDGER_SCHEMA} INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, reasons, columns, content) VALUES ('${view.ref.migration}', 'users', 1, 0, 1, '[]', '{}', '{}')`);
    // Quarantine alone explains nothing while rows may be missing beside it.
    const doubtful = await run('after');
    expect(doubtful).toMatchObject({ failed: 2, outcomes: [{ verdict: 'failed', detail: expect.stringMatching(/1 open.*row comparisons do not say so of: users/) as string }, { verdict: 'failed' }] });
    const compared = { dataset: 'users', compared: 3, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 1, repaired: 0, detail: 'd' };
    const control = systemOf(deps, 'new');
    await storeCheckResults(control, view.ref, 'rows', [{ ...compared, missing: 1, verdict: 'failed' }]);
    expect(await run('after')).toMatchObject({ failed: 2 });
    await storeCheckResults(control, view.ref, 'rows', [{ ...compared, verdict: 'explained' }]);
    expect(await readCheckResults(control, 'shop', 'rows')).toMatchObject([{ dataset: 'users', missing: 0, verdict: 'explained' }]);
    expect(await query(target, `SELECT count(*)::int AS n FROM caravan.check_result WHERE stage = 'rows'`)).toEqual([{ n: 1 }]);
    expect(await run('after')).toMatchObject({ failed: 0, outcomes: [{ verdict: 'explained', detail: expect.stringContaining('1 open') as string }, { verdict: 'explained' }] });
    expect(await query(target, `SELECT count(*)::int AS n FROM caravan.check_result WHERE outcome::text LIKE '%@x%'`)).toEqual([{ n: 0 }]);
  });

  test('integrity: zero passes; with warn, not more than before; more than before fails', async () => {
    const { run } = await checked({ integrity: { clean: both('SELECT 0'), dirty: both(nulls, { on_fail: 'warn' }), strict: both(nulls) } });
    expect(await run('before')).toMatchObject({ failed: 1, outcomes: [{ verdict: 'passed' }, { verdict: 'warned' }, { name: 'strict', verdict: 'failed' }] });
    expect((await run('after')).outcomes).toMatchObject([{ verdict: 'passed', side: 'target' }, { verdict: 'warned' }, { verdict: 'failed' }]);
    await query(target, 'UPDATE orders SET email = NULL WHERE id = 1');
    expect((await run('after')).outcomes).toMatchObject([{ verdict: 'passed' }, { name: 'dirty', verdict: 'failed' }, { verdict: 'failed' }]);
  });

  test('check SQL cannot write, runs one statement, and must answer one value', async () => {
    await query(legacy, 'CREATE SEQUENCE touched');
    const attempt = async (sql: string): Promise<unknown> => (await checked({ business_rules: { bad: { source: sql, target: 'SELECT 1' } } })).run('before');
    await expect(attempt(`SELECT nextval('touched')`)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect(await attempt('SELECT id FROM orders')).toMatchObject({ outcomes: [{ verdict: 'failed', detail: expect.stringContaining('not one value') as string }] });
    const missing = attempt('SELECT count(*) FROM ordrs');
    await expect(missing).rejects.toMatchObject({ code: 'OBJECT_MISSING' });
    await expect(missing).rejects.toThrow('check bad, source');
    await expect(attempt(`SELECT 1 FROM orders) AS x; DELETE FROM orders; SELECT (1`)).rejects.toThrow();
    expect(await query(legacy, 'SELECT count(*)::int AS n FROM orders')).toEqual([{ n: 3 }]);
  });

  test('a cancelled check ends its query in the server', async () => {
    const { deps, view } = await checked({ business_rules: { slow: both(`SELECT count(*) FROM (SELECT pg_sleep(50)) s`) } });
    const environment = new MockActivityEnvironment();
    const cancelled = environment.run(() => runChecks(deps, { ref: view.ref, when: 'before' }));
    setTimeout(() => environment.cancel(), 700);
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledFailure' });
    const left = await systemOf(deps, 'legacy').use((client) => client.query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(50)%' AND state = 'active' AND pid <> pg_backend_pid()`));
    expect(left.rowCount).toBe(0);
  });
});

describe('notify', () => {
  const input = (view: RunView): NotifyInput => ({ ref: view.ref, event: 'blocked', blocked: [], message: 'users is blocked' });
  const notifying = { alerts: { notify: { webhook: 'ops', command: 'pager' } } };

  test('posts signed JSON to the webhook and gives it to the command', async () => {
    const bodies: { body: string; request: IncomingMessage }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => { body += part.toString(); });
      request.on('end', () => {
        bodies.push({ body, request });
        response.writeHead(bodies.length === 1 ? 503 : 204).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const file = path.join(plans, 'told');
    const deps = dependencies({ env: {
      CARAVAN_WEBHOOK_OPS: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, CARAVAN_WEBHOOK_OPS_SECRET: 'key', CARAVAN_COMMAND_PAGER: `cat > '${file}'`,
    } });
    const view = await admit(deps, start('a', { plan: planOf(notifying) }));
    await inActivity(() => notify(deps, input(view)));
    server.close();
    expect(bodies).toHaveLength(2);
    const { body, request } = bodies[1] ?? { body: '', request: undefined };
    expect(JSON.parse(body)).toMatchObject({ event: 'blocked', migration: 'shop', link: 'http://127.0.0.1:8233/namespaces/default/workflows/workflow-a' });
    const [, seconds, signature] = /^t=(\d+),v1=(.*)$/.exec(String(request?.headers['x-caravan-signature'])) ?? [];
    expect(signature).toBe(createHmac('sha256', 'key').update(`${String(seconds)}.${body}`).digest('hex'));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ message: 'users is blocked' });
  });

  test('people hear also while the control store is away', async () => {
    const deps = dependencies();
    const view = await admit(deps, start('a', { plan: planOf({ project: 'Shop', ...notifying }) }));
    expect(view.notify).toEqual({ webhook: 'ops', command: 'pager', project: 'Shop' });
    const file = path.join(plans, 'told');
    const away = dependencies({ env: { CARAVAN_CONNECTION_NEW: 'postgres://u@127.0.0.1:9/x', CARAVAN_COMMAND_PAGER: `cat > '${file}'` } });
    await inActivity(() => notify(away, { ...input(view), to: { command: 'pager', project: 'Shop' }, workflowId: 'workflow-a' }));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      project: 'Shop', message: 'users is blocked', workflow_id: 'workflow-a', link: 'http://127.0.0.1:8233/namespaces/default/workflows/workflow-a',
    });
    await expect(inActivity(() => notify(away, { ...input(view), to: {} }))).resolves.toBeUndefined();
    await expect(inActivity(() => notify(away, input(view)))).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
  });

  test('a message that cannot be delivered is a transient failure, however often it was tried', async () => {
    const deps = dependencies({ env: { CARAVAN_COMMAND_PAGER: 'exit 3' } });
    const view = await admit(deps, start('a', { plan: planOf({ alerts: { notify: { command: 'pager' } } }) }));
    await expect(inActivity(() => notify(deps, input(view)))).rejects.toMatchObject({ code: 'NOTIFY_FAILED', kind: 'transient' });
    await expect(inActivity(() => notify(deps, input(view)), 4)).rejects.toMatchObject({ code: 'NOTIFY_FAILED' });
  });
});

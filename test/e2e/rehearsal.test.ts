import { asPostgres } from '../../activities/connectors/postgres/system';
import { readFindings } from '../../activities/stores/preparation-store';
import { readRehearsals } from '../../activities/stores/rehearsal-store';
import type { OpenedRehearsal, RehearsalResult, RehearsedRollback, RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(180_000);

/** A cycle between staff and teams, a self-reference, a composite key, a table without a key, and three quarters of the orders with one customer. */
const TABLES = `CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, tier text CHECK (tier IN ('a', 'b')));
  CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff, team text, name text);
  CREATE TABLE teams (code text PRIMARY KEY, lead int REFERENCES staff);
  ALTER TABLE staff ADD FOREIGN KEY (team) REFERENCES teams DEFERRABLE INITIALLY DEFERRED;
  CREATE TABLE orders (shop text, no int, customer bigint REFERENCES customers, seller int REFERENCES staff, total numeric(12, 2), at timestamptz DEFAULT now(), PRIMARY KEY (shop, no));
  CREATE TABLE lines (shop text, no int, what text, FOREIGN KEY (shop, no) REFERENCES orders)`;
const ROWS = `INSERT INTO customers SELECT g, 'c' || g || '@x.org', CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 3000) g;
  BEGIN; INSERT INTO staff SELECT g, CASE WHEN g > 1 THEN g - 1 END, 't' || g % 9, 's' || g FROM generate_series(1, 60) g; INSERT INTO teams SELECT 't' || g, 60 - g FROM generate_series(0, 8) g; COMMIT;
  INSERT INTO orders SELECT 's"\\' || g % 3, g, CASE WHEN g % 4 = 0 THEN g % 3000 + 1 ELSE 7 END, g % 60 + 1, g / 7.0, timestamptz '2024-01-01' + g * interval '1.000001 s' FROM generate_series(1, 8000) g;
  INSERT INTO lines SELECT 's"\\' || g % 3, g, 'w' || g % 5 FROM generate_series(1, 8000) g; INSERT INTO lines VALUES (NULL, NULL, 'loose'); ANALYZE`;
const NAMES = ['customers', 'staff', 'teams', 'orders', 'lines'];

let run: ActivitiesRun;
beforeEach(async () => {
  run = await activitiesRun('rehearse');
  await run.legacy.query(`${TABLES}; ${ROWS}`);
  await run.target.query(TABLES);
});
afterEach(() => run.close());

const side = { source: { connection: 'legacy' }, target: { connection: 'new' } };
const planned = (more: object = {}) => ({ migration: 'shop', rehearsal: { sample: 100, seed: 5, schema: 'scratch' }, datasets: Object.fromEntries(NAMES.map((name) => [name, side])), ...more });
const admitted = async (plan: object = planned()): Promise<RunRef> => (await run.admit(plan)).ref;
const open = (ref: RunRef): Promise<OpenedRehearsal> => run.call(run.activities.openRehearsal, { ref });
const control = () => asPostgres(run.deps.systems.open('new'));
const on = async <T extends object>(sql: string): Promise<T[]> => (await run.target.query<T>(sql)).rows;
const state = (ref: RunRef) => run.call(run.activities.rehearsalState, { ref });

/** What `productionMigration` and `validation` do with it. */
async function carryOut({ ref, view }: OpenedRehearsal, before: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  for (const { name } of view.datasets) {
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
  }
  await run.call(run.activities.settleReferences, { ref, datasets: view.datasets.map(({ name }) => name) });
  await before();
  for (const { name: dataset } of view.datasets) {
    await run.call(run.activities.compareCounts, { ref, dataset });
    await run.call(run.activities.compareSample, { ref, dataset });
    await run.call(run.activities.compareRows, { ref, dataset, repair: false });
  }
}

const close = (ref: RunRef, opened: OpenedRehearsal, skipped: string[] = [], rollback?: RehearsedRollback): Promise<RehearsalResult> => run.call(run.activities.closeRehearsal, { ref, id: opened.id, rehearsal: opened.ref, skipped, rollback });

test('the sample holds every row that its rows refer to, keeps the skew, and is drawn again by the same seed; it goes through the process and passes', async () => {
  const ref = await admitted();
  await run.call(run.activities.assessPreparation, { ref });
  const first = await open(ref);
  expect(JSON.stringify(first)).not.toContain('@x.org');
  const plans = () => on<{ body: { datasets: Record<string, { source: { where: string } }> } }>(`SELECT body FROM caravan.plan WHERE migration = 'shop-rehearsal'`);
  const [drawn] = await plans();
  const again = await open(ref);
  expect((await plans()).map(({ body }) => body)).toEqual([drawn?.body]);
  const [other] = await plans().then(async () => { await open(await admitted(planned({ rehearsal: { sample: 100, seed: 6, schema: 'scratch' } }))); return plans(); });
  expect(other?.body.datasets['customers']?.source.where).not.toBe(drawn?.body.datasets['customers']?.source.where);

  const current = await admitted();
  const opened = await open(current);
  await carryOut(opened);
  expect(await on(`SELECT count(*)::int AS n FROM caravan.quarantine WHERE migration = 'shop-rehearsal'`)).toEqual([{ n: 0 }]);
  for (const name of NAMES) expect([name, (await on<{ n: number }>(`SELECT count(*)::int AS n FROM scratch.${name}`))[0]?.n]).toEqual([name, (await counted(opened, name)).total]);
  expect((await counted(opened, 'orders')).drawn).toBe(100);
  // Nobody above a seller is missing: a chain of sixty.
  expect(await on(`SELECT count(*)::int AS n FROM scratch.staff WHERE boss IS NOT NULL AND boss NOT IN (SELECT id FROM scratch.staff)`)).toEqual([{ n: 0 }]);
  const [skew] = await on<{ share: number }>(`SELECT (count(*) FILTER (WHERE customer = 7))::float8 / count(*) AS share FROM scratch.orders`);
  expect(skew!.share).toBeGreaterThan(0.6);
  expect(skew!.share).toBeLessThan(0.9);
  expect(await on(`SELECT conname FROM pg_constraint WHERE connamespace = 'scratch'::regnamespace AND contype IN ('f', 'c') ORDER BY 1`)).toEqual(
    await on(`SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c') ORDER BY 1`));
  expect(await on('SELECT count(*)::int AS n FROM public.orders')).toEqual([{ n: 0 }]);

  const target = { ref: current, id: opened.id, rehearsal: opened.ref };
  await run.call(run.activities.measureRehearsal, target);
  const rollback = await run.call(run.activities.rehearseRollback, target);
  expect(rollback).toMatchObject({ equal: true, different: [], rows: opened.rows });
  expect(await on('SELECT count(*)::int AS n FROM scratch.orders')).toEqual([{ n: 0 }]);
  expect(await close(current, opened, [], rollback)).toMatchObject({ passed: true, failures: [] });
  const [recorded] = await readRehearsals(control(), 'shop');
  expect(recorded).toMatchObject({ state: 'passed', planHash: current.planHash, evidence: { rollback: { equal: true }, speed: { from: 'rehearsal' }, bottleneck: { advice: expect.stringContaining('batch.') as string } } });
  expect(recorded?.evidence.stages?.map(({ stage }) => stage)).toEqual(['read', 'transform', 'validate', 'write']);
  expect((await readFindings(control(), 'shop')).findings.forecast?.speed.from).toBe('rehearsal');
  // Nothing of the rows is left.
  expect(await on(`SELECT nspname FROM pg_namespace WHERE nspname = 'scratch'`)).toEqual([]);
  expect(await plans()).toEqual([]);
  expect(again.rows).toBe(first.rows);
});

async function counted({ id }: OpenedRehearsal, dataset: string): Promise<{ drawn: number; total: number }> {
  const evidence = (await readRehearsals(control(), 'shop')).find((one) => one.id === id)?.evidence;
  const found = evidence?.datasets.find((one) => one.dataset === dataset);
  return { drawn: found?.drawn ?? 0, total: (found?.drawn ?? 0) + (found?.brought ?? 0) };
}

test('a comparison that failed, or that nobody made, or that a person skipped, is no pass; what failed is kept until the next one', async () => {
  const ref = await admitted();
  const opened = await open(ref);
  await carryOut(opened, async () => { await on(`UPDATE scratch.customers SET tier = CASE tier WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = (SELECT min(id) FROM scratch.customers)`); });
  const failed = await close(ref, opened);
  expect(failed).toMatchObject({ passed: false });
  expect(failed.failures.join()).toMatch(/customers: rows differ/);
  expect(await state(ref)).toEqual({ open: false, why: 'the last rehearsal failed' });
  expect(await on(`SELECT count(*)::int > 0 AS kept FROM scratch.customers`)).toEqual([{ kept: true }]);
  const second = await open(ref);
  expect((await close(ref, second)).failures).toEqual(expect.arrayContaining(['customers was not copied to its end', 'customers: rows were not compared']));
  const third = await open(ref);
  await carryOut(third);
  await on(`UPDATE scratch.lines SET what = 'theirs' WHERE ctid = (SELECT min(ctid) FROM scratch.lines)`);
  await expect(run.call(run.activities.rehearseRollback, { ref, id: third.id, rehearsal: third.ref })).rejects.toMatchObject({ code: 'ROLLBACK_CONFLICT' });
  expect(await close(ref, third, ['rows:orders'])).toMatchObject({ passed: false, failures: ['rows:orders was skipped'] });
});

test('it opens production while plan and source schema stay as they are and it is not too old; a named waiver does, too', async () => {
  const ref = await admitted();
  expect(await state(ref)).toEqual({ open: false, why: 'there was no rehearsal yet' });
  const opened = await open(ref);
  expect(await state(ref)).toEqual({ open: false, why: 'the last rehearsal did not come to its end' });
  await carryOut(opened);
  await close(ref, opened);
  expect(await state(ref)).toEqual({ open: true, why: null });
  await on(`UPDATE caravan.rehearsal SET closed_at = closed_at - interval '8 days'`);
  expect((await state(ref)).why).toBe('the last rehearsal is 8 days old, and rehearsal.max_age is 7 days');
  await on(`UPDATE caravan.rehearsal SET closed_at = clock_timestamp()`);
  await run.legacy.query('ALTER TABLE customers ADD COLUMN note text');
  expect((await state(ref)).why).toBe('the schema of the source has changed since the last rehearsal');
  await run.legacy.query('ALTER TABLE customers DROP COLUMN note');
  expect((await state(ref)).open).toBe(true);
  const edited = await admitted(planned({ datasets: Object.fromEntries(NAMES.map((name) => [name, { ...side, ...(name === 'lines' ? { validation: { required: ['what'] } } : {}) }])) }));
  expect((await state(edited)).why).toBe('the plan has changed since the last rehearsal');
  await run.call(run.activities.waiveRehearsal, { ref: edited, by: 'Ann', reason: 'rehearsed elsewhere' });
  expect((await state(edited)).open).toBe(true);
  expect(await on(`SELECT actor, body->>'reason' AS reason FROM caravan.audit WHERE event = 'rehearsal_waived'`)).toEqual([{ actor: 'Ann', reason: 'rehearsed elsewhere' }]);
});

test('a scratch schema that is somebody else\'s is left alone', async () => {
  await run.target.query('CREATE SCHEMA scratch; CREATE TABLE scratch.customers (theirs int)');
  await expect(open(await admitted())).rejects.toMatchObject({ code: 'REHEARSAL_FAILED', message: expect.stringContaining('rehearsal.schema') as string });
  expect(await on('SELECT * FROM scratch.customers')).toEqual([]);
});

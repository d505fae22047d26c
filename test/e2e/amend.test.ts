import { amendPlan, proposeAmendment } from '../../activities/amend-plan';
import { forgetRuns } from '../../activities/run-context';
import { parsePlan } from '../../migration/plan/parse';
import type { Plan } from '../../migration/plan/schema';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { until } from '../fixtures/until';

jest.setTimeout(120_000);

const ROWS = 3_000;
const TABLES = `
CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, note text);
CREATE INDEX people_note ON people (note);
CREATE TABLE payments (id bigint PRIMARY KEY, person_id bigint NOT NULL REFERENCES people (id), amount numeric(20, 4));
CREATE TABLE events (at text, what text);`;

function planOf(edit: { people?: object; payments?: object | null; events?: object | null; more?: object; target?: object } = {}): object {
  const one = (name: string, more: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new', ...(name === 'people' ? edit.target : {}) }, ...more });
  return {
    migration: 'shop',
    datasets: {
      people: one('people', edit.people),
      ...(edit.payments === null ? {} : { payments: one('payments', { after: ['people'], ...edit.payments }) }),
      ...(edit.events === null ? {} : { events: one('events', edit.events) }),
    },
    batch: { batch_size: 200, checkpoint_interval: 400, parallel_workers: 2 }, ...edit.more,
  };
}
const LOWER = { transformations: [{ old_field: 'email', new_field: 'email', transform: 'lower' }] };

/** The real activities against real servers; what the workflows do about it is in test/workflows/amended.test.ts. */
describe('an amended plan', () => {
  let run: ActivitiesRun;
  beforeEach(async () => {
    run = await activitiesRun('amend');
    await run.legacy.query(`${TABLES}
      INSERT INTO people SELECT i, 'P' || i || '@Example.org', 'n' || i % 7 FROM generate_series(1, ${ROWS}) i;
      INSERT INTO payments SELECT i, i, i / 7.0 FROM generate_series(1, ${ROWS}) i;
      INSERT INTO events SELECT i::text, 'e' || i FROM generate_series(1, ${ROWS}) i; ANALYZE`);
    await run.target.query(TABLES);
  });
  afterEach(() => run.close());

  const plan = (given: object): Plan => parsePlan(given, { transforms: run.deps.transforms }).plan;
  const amend = async (given: object, again?: string[]): Promise<RunRef> => {
    const { formerHash } = await proposeAmendment(run.deps, plan(given), again);
    await amendPlan(run.deps, plan(given), { by: 'ann', reason: 'test', formerHash, again });
    return (await run.admit(given)).ref;
  };
  const rows = async <T>(sql: string): Promise<T[]> => (await run.target.query(sql)).rows as T[];
  const single = async (sql: string): Promise<unknown> => Object.values((await rows<object>(sql))[0] ?? {})[0];
  const close = (ref: RunRef, dataset: string) => run.call(run.activities.closeDataset, { ref, dataset });
  const settle = (ref: RunRef, datasets: string[]) => run.call(run.activities.settleReferences, { ref, datasets });
  const finish = async (ref: RunRef): Promise<void> => {
    for (const dataset of ['people', 'payments', 'events']) {
      await run.copy(ref, dataset);
      await close(ref, dataset);
    }
    await settle(ref, ['people', 'payments', 'events']);
    await run.call(run.activities.closeRun, { ref, outcome: 'complete' });
  };
  const objects = () => rows(`SELECT conname AS name, pg_get_constraintdef(oid) AS definition, convalidated FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexname, indexdef, true FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`);

  test('in the middle of a copy: the old one is fenced off, and the new generation holds every row once', async () => {
    const { ref } = await run.admit(planOf());
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'people' });
    const slice = { ref, dataset: 'people', generation: opened.generation, ordinal: 0, sliceMs: 1 };
    await run.call(run.activities.copySplit, slice);
    expect(Number(await single('SELECT count(*) FROM people'))).toBeGreaterThan(0);

    const edited = planOf({ people: LOWER });
    await expect(run.admit(edited)).rejects.toMatchObject({ code: 'PLAN_CHANGED', message: expect.stringContaining('npx caravan amend PLAN') as string });
    expect(await proposeAmendment(run.deps, plan(edited))).toMatchObject({ edited: true, refusals: [], datasets: [{ dataset: 'people', kind: 'changed', fields: ['transformations'] }] });
    const { formerHash } = await proposeAmendment(run.deps, plan(edited));
    // A slice that is at work ends with the commit at hand: it waits for a lock here while the plan is amended.
    await run.target.query('BEGIN; LOCK TABLE people IN SHARE MODE');
    const before = Number(await single('SELECT count(*) FROM people'));
    const atWork = run.call(run.activities.copySplit, { ...slice, sliceMs: 60_000 });
    const ended = expect(atWork).rejects.toMatchObject({ code: 'FENCED' });
    // Of this database only, and not by pg_stat_activity: a transaction sees that as it was at its first look.
    const waiting = (n: number) => until(async () => Number(await single(`SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted
      AND pid IN (SELECT pid FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)) >= n);
    await waiting(1);
    const amending = amendPlan(run.deps, plan(edited), { by: 'ann', formerHash });
    await waiting(2);
    await run.target.query('COMMIT');
    await amending;
    await ended;
    // The one at hand, and one that may have come before the fence.
    expect(Number(await single('SELECT count(*) FROM people'))).toBeLessThanOrEqual(before + 800);
    // One that begins later hears of it from the control store.
    forgetRuns(run.deps);
    await expect(run.call(run.activities.copySplit, slice)).rejects.toMatchObject({ code: 'PLAN_AMENDED' });
    await run.call(run.activities.watchProgress, { ref, seen: null, maxWaitMs: 0 }).then(() => { throw new Error('the look must fail'); }, (error: unknown) => expect(error).toMatchObject({ code: 'PLAN_AMENDED' }));

    const view = await run.call(run.activities.readmit, { ref });
    expect(view.ref).toMatchObject({ lease: ref.lease, migration: 'shop' });
    expect(view.ref.planHash).not.toBe(ref.planHash);
    expect((await run.copy(view.ref, 'people')).generation).toBe(2);
    // Opening it once more starts nothing again.
    expect(await run.call(run.activities.openDataset, { ref: view.ref, dataset: 'people' })).toMatchObject({ generation: 2, unfinished: [] });
    expect(await single('SELECT count(*) FROM people')).toBe(String(ROWS));
    expect(await single('SELECT count(*) FROM people WHERE email <> lower(email)')).toBe('0');
    expect(await rows(`SELECT DISTINCT generation FROM caravan.split UNION SELECT DISTINCT generation FROM caravan.commit`)).toEqual([{ generation: 2 }]);
    await close(view.ref, 'people');
    expect(await rows(`SELECT actor, body -> 'changed' AS changed FROM caravan.audit WHERE event = 'amended'`)).toEqual([{ actor: 'ann', changed: ['people'] }]);
  });

  test('after the end: only the changed dataset is copied again, and indexes and foreign keys are as they were', async () => {
    const { ref } = await run.admit(planOf());
    await finish(ref);
    const standing = await objects();
    expect((await run.admit(planOf())).complete).toBe(true);
    const payments = await single('SELECT string_agg(xmin::text, \',\' ORDER BY id) FROM payments');

    const again = await amend(planOf({ people: LOWER }));
    expect((await run.admit(planOf({ people: LOWER }))).complete).toBe(false);
    expect(await run.copy({ ...again, lease: again.lease + 1 }, 'people')).toMatchObject({ generation: 2 });
    const now = { ...again, lease: again.lease + 1 };
    await close(now, 'people');
    expect(await run.call(run.activities.openDataset, { ref: now, dataset: 'payments' })).toMatchObject({ done: true, generation: 1 });
    await settle(now, ['people', 'payments', 'events']);
    await run.call(run.activities.closeRun, { ref: now, outcome: 'complete' });
    expect((await run.admit(planOf({ people: LOWER }))).complete).toBe(true);
    expect(await objects()).toEqual(standing);
    expect(await single('SELECT string_agg(xmin::text, \',\' ORDER BY id) FROM payments')).toBe(payments);
    expect(await single('SELECT count(*) FROM people WHERE email = lower(email)')).toBe(String(ROWS));
  });

  test('a dataset without a key, and one that is to be copied again as it is', async () => {
    const { ref } = await run.admit(planOf());
    await finish(ref);
    const narrowed = await amend(planOf({ events: { source: { connection: 'legacy', where: 'length(what) > 4' } } }), ['payments']);
    for (const dataset of ['payments', 'events']) {
      expect(await run.copy(narrowed, dataset)).toMatchObject({ generation: 2 });
      await close(narrowed, dataset);
    }
    expect(await single('SELECT count(*) FROM events')).toBe(String((await run.legacy.query<{ n: string }>('SELECT count(*) AS n FROM events WHERE length(what) > 4')).rows[0]?.n));
    expect(await single('SELECT count(*) FROM payments')).toBe(String(ROWS));
    expect(await run.call(run.activities.openDataset, { ref: narrowed, dataset: 'people' })).toMatchObject({ generation: 1, done: true });
  });

  test('rows that others added stay, and block; so does a table that was merged into', async () => {
    const { ref } = await run.admit(planOf());
    await finish(ref);
    await run.target.query(`INSERT INTO people VALUES (-1, 'new@example.org', 'theirs')`);
    const edited = await amend(planOf({ people: LOWER }));
    await expect(run.call(run.activities.openDataset, { ref: edited, dataset: 'people' })).rejects.toMatchObject({ code: 'PLAN_CHANGED', message: expect.stringContaining('1 more rows') as string });
    expect(await single('SELECT count(*) FROM people')).toBe(String(ROWS + 1));
    expect(await single(`SELECT generation FROM caravan.dataset WHERE dataset = 'people'`)).toBe(1);
    await run.target.query('DELETE FROM people WHERE id = -1');
    expect(await run.copy(edited, 'people')).toMatchObject({ generation: 2 });
  });

  test('what was merged into rows of others, or has another target now, is refused and nothing changes', async () => {
    await run.target.query(`INSERT INTO people VALUES (1, 'old@example.org', NULL), (-7, 'theirs@example.org', NULL)`);
    const merging = { target: { on_conflict: 'update' } };
    const { ref } = await run.admit(planOf(merging));
    await run.copy(ref, 'people');
    const edited = planOf({ ...merging, people: LOWER });
    const merged = await proposeAmendment(run.deps, plan(edited));
    expect(merged.refusals).toEqual([expect.stringContaining('among rows of others')]);
    await expect(amendPlan(run.deps, plan(edited), { by: 'ann', formerHash: merged.formerHash })).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
    const moved = await proposeAmendment(run.deps, plan(planOf({ target: { on_conflict: 'update', table: 'other' } })));
    expect(moved.refusals).toEqual([expect.stringContaining('another name')]);
    expect((await proposeAmendment(run.deps, plan(planOf({ ...merging, more: { approach: 'phased' } })))).refusals).toEqual([expect.stringContaining('approach')]);
    expect(await single('SELECT count(*) FROM people')).toBe(String(ROWS + 1));
    expect(await single('SELECT plan_hash FROM caravan.migration')).toBe(ref.planHash);
  });

  test('a dataset that leaves keeps its rows and gets its objects back; one that comes is copied', async () => {
    const { ref } = await run.admit(planOf({ events: null }));
    await run.copy(ref, 'people');
    await run.copy(ref, 'payments');
    const edited = planOf({ payments: null });
    await expect(run.admit(edited)).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
    expect((await proposeAmendment(run.deps, plan(edited))).datasets).toMatchObject([{ dataset: 'events', kind: 'added' }, { dataset: 'payments', kind: 'removed', rows: ROWS }]);
    const now = await amend(edited);
    const view = await run.call(run.activities.readmit, { ref: now });
    expect(view.removed).toMatchObject([{ name: 'payments' }]);
    for (const dataset of ['people', 'events']) {
      await run.copy(now, dataset);
      await close(now, dataset);
    }
    await settle(now, ['people', 'events']);
    expect(await run.call(run.activities.restoreObjects, { ref: now, datasets: ['payments'] })).toMatchObject({ left: [] });
    expect(await single('SELECT count(*) FROM payments')).toBe(String(ROWS));
    expect(await single(`SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated AND conrelid = 'payments'::regclass`)).toBe('1');
    // Back in the plan, its rows are of unknown making: it is copied again.
    const back = await amend(planOf());
    expect(await run.copy(back, 'payments')).toMatchObject({ generation: 2 });
    expect(await single('SELECT count(*) FROM payments')).toBe(String(ROWS));
  });

  test('two people at once: the second is told to look again; operational edits touch no dataset', async () => {
    const { ref } = await run.admit(planOf());
    await run.copy(ref, 'people');
    const smaller = planOf({ more: { batch: { batch_size: 50 } } });
    const seen = await proposeAmendment(run.deps, plan(smaller));
    expect(seen).toMatchObject({ datasets: [], operational: expect.arrayContaining(['batch.batch_size']) as string[] });
    await amendPlan(run.deps, plan(smaller), { by: 'ann', formerHash: seen.formerHash });
    await expect(amendPlan(run.deps, plan(planOf({ people: LOWER })), { by: 'bob', formerHash: seen.formerHash })).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
    const view = await run.call(run.activities.readmit, { ref });
    expect(await run.call(run.activities.openDataset, { ref: view.ref, dataset: 'people' })).toMatchObject({ generation: 1, unfinished: [] });
  });
});

import type { BundleProof, BundleResult, RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

const TABLES = ['tiny_a', 'tiny_b', 'tiny_c', 'keyless', 'empty'];
const CREATE = TABLES.map((name) => `CREATE TABLE ${name} (id int${name === 'keyless' ? '' : ' PRIMARY KEY'}, name text); CREATE INDEX ${name}_name ON ${name} (name);`).join('\n');
const DIGEST = TABLES.map((name) => `SELECT '${name}' AS name, count(*)::int AS rows, md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) AS digest FROM ${name} t`).join(' UNION ALL ');

describe('tiny datasets in one activity', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const move = (datasets = TABLES, sliceMs = 60_000) => run.call(run.activities.moveBundle, { ref, datasets, sliceMs });
  const compare = (more: { everyRow?: boolean; repair?: boolean } = {}) => run.call(run.activities.compareBundle, { ref, datasets: TABLES, sliceMs: 60_000, everyRow: true, repair: false, ...more });
  const bothSides = async () => [(await run.legacy.query(DIGEST)).rows, (await run.target.query(DIGEST)).rows];
  const states = async () => (await run.target.query<{ dataset: string; state: string }>('SELECT dataset, state FROM caravan.dataset ORDER BY 1')).rows;

  beforeEach(async () => {
    run = await activitiesRun('bundles');
    await run.legacy.query(`${CREATE} ${TABLES.filter((name) => name !== 'empty').map((name) => `INSERT INTO ${name} SELECT g, '${name} ' || g FROM generate_series(1, 50) g;`).join(' ')}`);
    await run.target.query(CREATE);
    const dataset = { source: { connection: 'legacy' }, target: { connection: 'new' } };
    ({ ref } = await run.admit({ migration: 'bundles', datasets: Object.fromEntries(TABLES.map((name) => [name, dataset])) }));
  });
  afterEach(() => run.close());

  test('each is opened, copied and closed; again, nothing is written twice', async () => {
    expect(await move()).toEqual({ done: TABLES, left: [] });
    const [source, target] = await bothSides();
    expect(target).toEqual(source);
    expect((await states()).map(({ state }) => state)).toEqual(TABLES.map(() => 'closed'));
    expect((await run.target.query(`SELECT count(*)::int AS n FROM pg_indexes WHERE schemaname = 'public'`)).rows).toEqual([{ n: 9 }]);
    const commits = async () => (await run.target.query<{ n: number }>('SELECT count(*)::int AS n FROM caravan.commit')).rows[0]?.n;
    const before = await commits();
    expect(await move()).toEqual({ done: TABLES, left: [] });
    expect(await commits()).toBe(before);
    expect((await bothSides())[1]).toEqual(source);
  });

  test('what stands in the way of one leaves that one out, and it alone', async () => {
    await run.target.query(`INSERT INTO tiny_b VALUES (1, 'not ours'); DROP TABLE tiny_c`);
    expect(await move()).toEqual<BundleResult>({ done: ['tiny_a', 'keyless', 'empty'], left: ['tiny_b', 'tiny_c'] });
    expect((await run.target.query('SELECT * FROM tiny_b')).rows).toEqual([{ id: 1, name: 'not ours' }]);
    // Mended by a person, it moves by its own steps.
    await run.target.query('TRUNCATE tiny_b; CREATE TABLE tiny_c (id int PRIMARY KEY, name text)');
    await run.copy(ref, 'tiny_b');
    await run.call(run.activities.closeDataset, { ref, dataset: 'tiny_b' });
    expect((await move(['tiny_b', 'tiny_c'])).done).toEqual(['tiny_b', 'tiny_c']);
    const [source, target] = await bothSides();
    expect(target).toEqual(source);
  });

  test('the time is looked at between datasets, and one is always done', async () => {
    expect(await move(TABLES, 0)).toEqual({ done: ['tiny_a'], left: [] });
    expect(await states()).toEqual([{ dataset: 'tiny_a', state: 'closed' }]);
  });

  test('a run that lost its lease moves nothing', async () => {
    await run.target.query('UPDATE caravan.migration SET lease = lease + 1');
    await expect(move()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(run.call(run.activities.planWork, { ref, page: 0 })).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });

  test('proof: what is equal is counted, what is not is left to steps of its own; a repair mends it here', async () => {
    await move();
    expect(await compare()).toMatchObject<Partial<BundleProof>>({ done: TABLES, left: [], tally: { passed: 5, compared: 200, checks: [], comparisons: [], more: 0 } });
    await run.target.query(`UPDATE tiny_a SET name = 'changed' WHERE id = 7; DELETE FROM tiny_c WHERE id = 9`);
    expect(await compare()).toMatchObject({ done: ['tiny_b', 'keyless', 'empty'], left: ['tiny_a', 'tiny_c'], tally: { passed: 3 } });
    expect(await compare({ repair: true })).toMatchObject({ left: [] });
    const [source, target] = await bothSides();
    expect(target).toEqual(source);
  });

  test('pages of work follow the inventory; datasets to leave out must exist', async () => {
    await run.call(run.activities.takeInventory, ref);
    const { units, last } = await run.call(run.activities.planWork, { ref, page: 0 });
    expect(last).toBe(true);
    expect(units).toMatchObject([{ name: '2-bundle-empty', bundle: ['empty', 'keyless', 'tiny_a', 'tiny_b', 'tiny_c'] }]);
    expect((await run.call(run.activities.planWork, { ref, page: 0, leaveOut: ['tiny_a'] })).units[0]?.bundle).toEqual(['empty', 'keyless', 'tiny_b', 'tiny_c']);
    expect(await run.call(run.activities.planWork, { ref, page: 1 })).toEqual({ units: [], last: true });
    await expect(run.call(run.activities.planWork, { ref, page: 0, leaveOut: ['nothing'] })).rejects.toMatchObject({ code: 'PLAN_INVALID' });
  });

  test('settling and restoring by group, or for all, is the same as by names', async () => {
    await move();
    const byGroup = await run.call(run.activities.settleReferences, { ref, group: 'ungrouped' });
    expect(await run.call(run.activities.settleReferences, { ref, datasets: TABLES })).toEqual(byGroup);
    expect(await run.call(run.activities.restoreObjects, { ref })).toEqual({ restored: 0, left: [] });
  });
});

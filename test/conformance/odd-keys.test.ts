import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { rowsDigest } from '../fixtures/rows-digest';

const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };

describe('keys of odd types', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('odd_keys');
    await run.legacy.query(`CREATE TYPE pair AS (a int, b text); CREATE TABLE composite (k pair PRIMARY KEY, v int);
      CREATE TABLE named (k regclass PRIMARY KEY, v int); INSERT INTO named SELECT oid, row_number() OVER (ORDER BY oid) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' LIMIT 40`);
  }, 60_000);
  afterAll(() => run.close());

  test.each([['composite', /key column k is of type public\.pair.*leave key out/], ['named', /key column k is of type regclass.*leave key out/]])('a declared key of type %s is refused with the remedy', async (table, says) => {
    await run.target.query(`CREATE TABLE ${table}_declared (k text PRIMARY KEY, v int)`);
    const { ref } = await run.admit({ migration: `declared-${table}`, datasets: { [`${table}_declared`]: { source: { connection: 'legacy', table, key: ['k'] }, target: { connection: 'new' } } } });
    await expect(run.call(run.activities.openDataset, { ref, dataset: `${table}_declared` })).rejects.toMatchObject({ code: 'MAPPING_INVALID', message: expect.stringMatching(says) as string });
  });

  test('rows of others are updated and repaired by a key that names tables', async () => {
    await run.target.query(`CREATE TABLE named (k regclass PRIMARY KEY, v int); INSERT INTO named VALUES ('pg_catalog.pg_type', -1), ('information_schema.tables', -2)`);
    const { ref } = await run.admit({ migration: 'named', datasets: { named: { ...sides, target: { connection: 'new', on_conflict: 'update', key: ['k'] } } } });
    await run.copy(ref, 'named');
    await run.call(run.activities.closeDataset, { ref, dataset: 'named' });
    await run.target.query(`UPDATE named SET v = -3 WHERE k = 'pg_class'::regclass; DELETE FROM named WHERE k = 'pg_proc'::regclass`);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'named', repair: true })).toMatchObject({ verdict: 'passed' });
    await run.target.query(`DELETE FROM named WHERE v = -2`);
    expect(await rowsDigest(run.target, 'named', run.target, 'named')).toEqual(await rowsDigest(run.legacy, 'named', run.target, 'named'));
  }, 60_000);
});

describe('keys whose characters the target database cannot hold', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('latin_keys', { encodings: { new: 'LATIN1' } });
    for (const client of [run.legacy, run.target]) await client.query('CREATE TABLE words (k text PRIMARY KEY, v int)');
    await run.legacy.query(`INSERT INTO words SELECT CASE g % 4 WHEN 0 THEN 'plain' WHEN 1 THEN 'é' WHEN 2 THEN 'Ω' ELSE '👩' END || g, g FROM generate_series(1, 60) g`);
  }, 60_000);
  afterAll(() => run.close());

  test('they are in quarantine, the rest arrives, and the copy goes on behind them', async () => {
    const { ref } = await run.admit({ migration: 'words', batch: { batch_size: 5, checkpoint_interval: 5 }, datasets: { words: sides } });
    await run.copy(ref, 'words');
    await run.call(run.activities.closeDataset, { ref, dataset: 'words' });
    expect((await run.target.query(`SELECT count(*)::int AS n FROM words`)).rows).toEqual([{ n: 30 }]);
    expect((await run.target.query(`SELECT count(*)::int AS n FROM caravan.quarantine`)).rows).toEqual([{ n: 30 }]);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'words', repair: false })).toMatchObject({ verdict: 'explained' });
  }, 60_000);
});

describe('keys whose characters the source database itself does not define', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('loose_keys', { encodings: { legacy: 'WIN1252' } });
    await run.legacy.query(`SET client_encoding = 'SQL_ASCII'; CREATE TABLE words (k text PRIMARY KEY, v text); INSERT INTO words VALUES (E'a\\x80', E'\\x81'), ('b', E'\\xe9'), (E'c\\x81', 'x')`);
    await run.target.query('CREATE TABLE words (k text PRIMARY KEY, v text)');
  }, 60_000);
  afterAll(() => run.close());

  test('say what to do: no cursor can be made of them', async () => {
    const { ref } = await run.admit({ migration: 'loose', datasets: { words: sides } });
    await expect(run.copy(ref, 'words')).rejects.toMatchObject({ code: 'ROW_REFUSED', message: expect.stringMatching(/a key holds bytes that mean nothing in the encoding of the database.*query without a key/) as string });
  });

  test('do no harm where no key is read by, and such values are in quarantine', async () => {
    await run.target.query('CREATE TABLE no_key (k text, v text)');
    const { ref } = await run.admit({ migration: 'loose-no-key', datasets: { no_key: { source: { connection: 'legacy', query: `SELECT * FROM words WHERE k <> 'é'` }, target: { connection: 'new' } } } });
    await run.copy(ref, 'no_key');
    await run.call(run.activities.closeDataset, { ref, dataset: 'no_key' });
    expect((await run.target.query('SELECT k, v FROM no_key')).rows).toEqual([{ k: 'b', v: 'é' }]);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'no_key', repair: false })).toMatchObject({ verdict: 'explained' });
    expect(await run.call(run.activities.compareSample, { ref, dataset: 'no_key' })).toMatchObject({ verdict: 'explained' });
  });
});

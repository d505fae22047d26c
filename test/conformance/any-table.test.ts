import { PostgresSource } from '../../activities/connectors/postgres/source';
import { planBounds } from '../../activities/connectors/postgres/split-planning';
import { asPostgres } from '../../activities/connectors/postgres/system';
import { compareSides } from '../../activities/reconciliation/compare-sides';
import { openSides } from '../../activities/reconciliation/open-sides';
import { loadDataset } from '../../activities/run-context';
import type { RunRef, SliceInput } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { rowsDigest } from '../fixtures/rows-digest';
import { until } from '../fixtures/until';

const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };

describe('tables as they are found', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('any_table'); }, 60_000);
  afterAll(() => run.close());
  const both = async (sql: string) => { await run.legacy.query(sql); await run.target.query(sql); };
  const sameRows = async (table: string) => expect(await rowsDigest(run.target, table, run.target, table)).toEqual(await rowsDigest(run.legacy, table, run.target, table));

  test.each([
    ['skewed', 'k', 'CASE WHEN g % 10 = 0 THEN g::bigint * 1000000000 ELSE g END', 200_000],
    ['few prefixes', 'tenant, k', 'g', 200_000],
    ['statistics ten times too high', 'k', 'g', 2_000_000],
  ])('a sample cuts evenly: %s', async (_, key, value, rowsEstimate) => {
    const columns = key.split(', ');
    await run.legacy.query(`DROP TABLE IF EXISTS spread; CREATE TABLE spread (tenant int NOT NULL, k bigint NOT NULL, pad text, PRIMARY KEY (${key}));
      INSERT INTO spread SELECT CASE WHEN g < 150000 THEN 1 ELSE g % 3 END, ${value}, repeat('x', 40) FROM generate_series(1, 200000) g`);
    const bounds = await planBounds(run.legacy, { selection: { table: 'spread' }, key: columns, rowsPerSplit: 20_000, rowsEstimate, exactRowsMax: 1_000 });
    expect(bounds.length).toBeGreaterThanOrEqual(8);
    const sizes: number[] = [];
    for (const { after, upTo } of bounds) {
      const compare = (operator: string, mark: string[] | null) => (mark ? `(${key}) ${operator} (${mark.map((text) => `'${text}'`).join(', ')})` : 'true');
      const { rows } = await run.legacy.query<{ n: number }>(`SELECT count(*)::int AS n FROM spread WHERE ${compare('>', after)} AND ${compare('<=', upTo)}`);
      sizes.push(rows[0]?.n ?? -1);
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(200_000);
    expect(Math.max(...sizes)).toBeLessThan(40_000);
    expect(Math.min(...sizes)).toBeGreaterThan(5_000);
  }, 60_000);

  test('a sample that finds almost nothing is not believed', async () => {
    await run.legacy.query('CREATE TABLE emptied (k int PRIMARY KEY); INSERT INTO emptied SELECT generate_series(1, 50)');
    expect(await planBounds(run.legacy, { selection: { table: 'emptied' }, key: ['k'], rowsPerSplit: 10, rowsEstimate: 50_000_000, exactRowsMax: 1_000 })).toHaveLength(5);
  });

  test('others write meanwhile: nothing is doubled or lost for good, and repair brings the target to what the source says', async () => {
    await both('CREATE TABLE moving (id int PRIMARY KEY, v text)');
    await run.legacy.query(`INSERT INTO moving SELECT g, 'v' || g FROM generate_series(1, 4000) g`);
    const { ref } = await run.admit({ migration: 'moving', batch: { batch_size: 100, checkpoint_interval: 200 }, datasets: { moving: sides } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'moving' });
    const slice: SliceInput = { ref, dataset: 'moving', generation: opened.generation, ordinal: 0, sliceMs: 1 };
    const changes = [
      'UPDATE moving SET id = id + 100000 WHERE id % 50 = 1', `DELETE FROM moving WHERE id % 50 = 2`, `UPDATE moving SET v = 'changed' WHERE id % 50 = 3`,
      `INSERT INTO moving SELECT -g, 'late' FROM generate_series(1, 100) g`, 'UPDATE moving SET id = id - 100000 WHERE id > 102000', 'VACUUM FULL moving', 'CLUSTER moving USING moving_pkey',
    ];
    for (;;) {
      const result = await run.call(run.activities.copySplit, slice);
      const change = changes.shift();
      if (change) await run.legacy.query(change);
      else if (result.state === 'done') break;
    }
    await run.call(run.activities.closeDataset, { ref, dataset: 'moving' });
    const { rows: [account] } = await run.target.query(`SELECT sum(read_rows)::int = (SELECT count(*) FROM moving) AS exact FROM caravan.split WHERE dataset = 'moving'`);
    expect(account).toEqual({ exact: true });
    const found = await run.call(run.activities.compareRows, { ref, dataset: 'moving', repair: false });
    expect(found.verdict).toBe('failed');
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'moving', repair: true })).toMatchObject({ verdict: 'passed', missing: 0, extra: 0, different: 0 });
    await sameRows('moving');
  }, 120_000);

  test('a source that is truncated in mid-copy is drift as well', async () => {
    await both('CREATE TABLE truncated (id int PRIMARY KEY, v text)');
    await run.legacy.query(`INSERT INTO truncated SELECT g, 'v' FROM generate_series(1, 1000) g`);
    const { ref } = await run.admit({ migration: 'truncated', batch: { batch_size: 100, checkpoint_interval: 200 }, datasets: { truncated: sides } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'truncated' });
    await run.call(run.activities.copySplit, { ref, dataset: 'truncated', generation: opened.generation, ordinal: 0, sliceMs: 1 });
    await run.legacy.query(`TRUNCATE truncated; INSERT INTO truncated VALUES (7, 'new')`);
    await run.copy(ref, 'truncated');
    await run.call(run.activities.closeDataset, { ref, dataset: 'truncated' });
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'truncated', repair: true })).toMatchObject({ verdict: 'passed' });
    await sameRows('truncated');
  }, 60_000);

  async function killed(name: string, kill: (pid: number) => Promise<unknown>): Promise<RunRef> {
    await run.legacy.query(`CREATE TABLE ${name}_base (a int, b text); INSERT INTO ${name}_base SELECT g % 40, 'x' FROM generate_series(1, 1500) g;
      CREATE VIEW ${name} AS SELECT a, b || left(pg_sleep(0.002)::text, 0) AS b FROM ${name}_base`);
    await run.target.query(`CREATE TABLE ${name} (a int, b text)`);
    const { ref } = await run.admit({ migration: name, batch: { batch_size: 50, checkpoint_interval: 100 }, datasets: { [name]: sides } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: name });
    const copying = run.call(run.activities.copyGeneration, { ref, dataset: name, generation: opened.generation, ordinal: 0, sliceMs: 1 }).then(() => null, (error: unknown) => error as { code: string });
    const split = async () => (await run.target.query<{ commit_no: string; holder_pid: number }>('SELECT commit_no, holder_pid FROM caravan.split WHERE dataset = $1', [name])).rows[0];
    await until(async () => Number((await split())?.commit_no) >= 3);
    await kill((await split())?.holder_pid ?? 0);
    expect(await copying).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    return ref;
  }
  const killSource = (name: string) => () => run.legacy.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT%${name}%' AND pid <> pg_backend_pid()`);
  test.each([
    ['killed_target', (pid: number) => run.target.query('SELECT pg_terminate_backend($1)', [pid])],
    ['killed_source', killSource('killed_source')],
  ])('a keyless copy whose backend is killed (%s) begins anew as another generation: nothing stays of the first', async (name, kill) => {
    const ref = await killed(name, kill);
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    const { rows: [row] } = await run.target.query('SELECT d.generation, s.read_rows::int AS read, s.written_rows::int AS written, (SELECT count(DISTINCT generation)::int FROM caravan.commit c WHERE c.dataset = d.dataset) AS generations FROM caravan.dataset d JOIN caravan.split s USING (migration, dataset, generation) WHERE d.dataset = $1', [name]);
    expect(row).toEqual({ generation: 2, read: 1500, written: 1500, generations: 1 });
    // The base of the view answers the same without waiting.
    expect((await rowsDigest(run.legacy, `${name}_base`, run.target, name))).toEqual(await rowsDigest(run.target, name, run.target, name));
  }, 120_000);

  test('a row that is there n times and m times is found, and held once', async () => {
    await both('CREATE TABLE equal_rows (a int, b text)');
    await run.legacy.query(`INSERT INTO equal_rows SELECT 1, 'same' FROM generate_series(1, 60000); INSERT INTO equal_rows VALUES (2, 'other')`);
    const { ref } = await run.admit({ migration: 'equal-rows', datasets: { equal_rows: sides } });
    await run.copy(ref, 'equal_rows');
    await run.call(run.activities.closeDataset, { ref, dataset: 'equal_rows' });
    await run.target.query(`DELETE FROM equal_rows WHERE ctid IN (SELECT ctid FROM equal_rows WHERE a = 1 LIMIT 40000); INSERT INTO equal_rows VALUES (2, 'other')`);
    const opened = await openSides(run.deps, await loadDataset(run.deps, { ref, dataset: 'equal_rows' }));
    const missing = new Set<unknown>();
    const comparison = await compareSides(opened, { signal: new AbortController().signal, onDifferences: (batch) => { for (const row of batch.missing) missing.add(row); return Promise.resolve(); } });
    expect(comparison).toMatchObject({ missing: 40_000, extra: 1, different: 0 });
    expect(missing.size).toBe(1);
  }, 60_000);
});

describe('a reader with few rights', () => {
  let run: ActivitiesRun;
  const role = `reader_${process.pid}`;
  beforeAll(async () => {
    run = await activitiesRun('rights', { through: (connection, url) => Promise.resolve(connection === 'legacy' ? url.replace(/\/\/[^@]*@/, `//${role}:secret@`) : url) });
    await run.legacy.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret' NOBYPASSRLS;
      CREATE TABLE hidden (id int PRIMARY KEY, mine boolean); INSERT INTO hidden SELECT g, g % 2 = 0 FROM generate_series(1, 100) g;
      ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON hidden USING (mine); GRANT SELECT ON hidden TO ${role};
      CREATE TABLE partly (id int PRIMARY KEY, a text, secret text); INSERT INTO partly SELECT g, 'a', 's' FROM generate_series(1, 100) g; GRANT SELECT (id, a) ON partly TO ${role}`);
    await run.target.query('CREATE TABLE hidden (id int PRIMARY KEY, mine boolean); CREATE TABLE partly (id int PRIMARY KEY, a text, secret text)');
  }, 60_000);
  afterAll(async () => {
    await run.legacy.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await run.close();
  });

  test('rows hidden by row security are an error, never silently absent', async () => {
    const source = new PostgresSource(asPostgres(run.deps.systems.open('legacy')), 'datasets.hidden.source');
    const selection = { table: 'hidden' };
    await expect(source.describe(selection)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    // Also where the rows are not counted first.
    const columns = [{ name: 'id', kind: 'integer' as const, type: 'integer', nullable: false }];
    const read = async () => {
      for await (const { batch } of source.read({ selection, columns, key: ['id'], bounds: { after: null, upTo: null }, cursor: null, encoding: 'values', limits: { rowsMax: 10, bytesMax: 1_000 }, signal: new AbortController().signal })) expect(batch.rowCount).toBe(0);
    };
    await expect(read()).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    await expect(source.planSplits(selection, ['id'], 10)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
  });

  test('columns that may not be read are named with the remedy, and the others can be moved without them', async () => {
    const whole = await run.admit({ migration: 'partly', datasets: { partly: sides } });
    await expect(run.call(run.activities.openDataset, { ref: whole.ref, dataset: 'partly' })).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING', message: expect.stringMatching(/may not read column secret of partly.*GRANT SELECT \("secret"\) ON TABLE "public"."partly".*transform: drop/s) as string });
    const { ref } = await run.admit({ migration: 'partly-left', datasets: { partly: { ...sides, transformations: [{ old_field: 'secret', transform: 'drop' }] } } });
    await run.copy(ref, 'partly');
    await run.call(run.activities.closeDataset, { ref, dataset: 'partly' });
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'partly', repair: false })).toMatchObject({ verdict: 'passed', compared: 100 });
    expect((await run.target.query('SELECT count(*)::int AS n, count(secret)::int AS s FROM partly')).rows).toEqual([{ n: 100, s: 0 }]);
  }, 60_000);
});

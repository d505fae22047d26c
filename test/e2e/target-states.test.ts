import type { Client } from 'pg';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

type State = 'empty' | 'ours' | 'foreign';
interface Cell { state: State; conflict: 'none' | 'update'; existing: 'refuse' | 'append' | 'replace' }

const CELLS: Cell[] = (['empty', 'ours', 'foreign'] as const).flatMap((state) =>
  (['none', 'update'] as const).flatMap((conflict) => (['refuse', 'append', 'replace'] as const).map((existing) => ({ state, conflict, existing }))))
  .filter(({ conflict, existing }) => !(conflict === 'update' && existing === 'replace'));
const nameOf = ({ state, conflict, existing }: Cell): string => `${state}_${conflict}_${existing}`;
const refused = ({ state, conflict, existing }: Cell): boolean => state === 'foreign' && conflict === 'none' && existing === 'refuse';

/** What was in the target before: a row of a key that the source has too, an equal one, and one that the source does not know. */
const FOREIGN = [[5, 'theirs', '5.00'], [30, 'v30', '30.50'], [1000, 'theirs', null]] as const;
const SOURCE = `SELECT g, 'v' || g, g + 0.5 FROM generate_series(1, 60) g`;
const source = Array.from({ length: 60 }, (_, at) => [at + 1, `v${at + 1}`, `${at + 1}.50`] as const);

/** The rows that a cell must leave, worked out by hand. */
function wanted({ state, conflict, existing }: Cell): readonly (readonly unknown[])[] {
  if (state !== 'foreign' || existing === 'replace') return source;
  const theirs = new Map<number, readonly unknown[]>(FOREIGN.map((row) => [row[0], row]));
  if (conflict === 'update') return [...source, FOREIGN[2]];
  return existing === 'append' ? [...source.map((row) => theirs.get(row[0]) ?? row), FOREIGN[2]] : FOREIGN;
}

const rowsOf = async (client: Client, table: string): Promise<unknown[][]> =>
  (await client.query<{ id: number; v: string; n: string }>(`SELECT id, v, n::text FROM ${table} ORDER BY id`)).rows.map(({ id, v, n }) => [id, v, n]);

describe('every state that a target table may be in, under every setting of the plan', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const cells = CELLS.filter((cell) => !refused(cell));
  const plan = () => ({
    migration: 'states', batch: { batch_size: 10, checkpoint_interval: 20, parallel_workers: 1 },
    datasets: Object.fromEntries(CELLS.map((cell) => [nameOf(cell), { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: cell.conflict, on_existing: cell.existing } }])),
  });
  const quarantined = async (dataset: string) => (await run.target.query<{ key: string; rule: string }>(
    `SELECT source_key[1] AS key, reasons -> 0 ->> 'rule' AS rule FROM caravan.quarantine WHERE dataset = $1 AND state = 'open' ORDER BY source_key[1]::int`, [dataset])).rows.map(({ key, rule }) => `${key} ${rule}`);
  const oneCommit = async (dataset: string): Promise<void> => {
    const { generation } = await run.call(run.activities.openDataset, { ref, dataset });
    const result = await run.call(run.activities.copySplit, { ref, dataset, generation, ordinal: 0, sliceMs: 0 });
    expect(result).toMatchObject({ state: 'more', commits: 1 });
  };

  beforeAll(async () => {
    run = await activitiesRun('states');
    for (const cell of CELLS) {
      const name = nameOf(cell);
      await run.legacy.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text, n numeric(10,2)); INSERT INTO ${name} ${SOURCE}`);
      await run.target.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text, n numeric(10,2)); CREATE INDEX ON ${name} (v)`);
      if (cell.state === 'foreign') for (const row of FOREIGN) await run.target.query(`INSERT INTO ${name} VALUES ($1, $2, $3)`, [...row]);
    }
    ({ ref } = await run.admit(plan()));
  });
  afterAll(() => run.close());

  test('foreign rows and a plan that says nothing about them: refused with the ways on, and nothing is touched', async () => {
    const dataset = nameOf({ state: 'foreign', conflict: 'none', existing: 'refuse' });
    await expect(run.call(run.activities.openDataset, { ref, dataset })).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY', message: expect.stringMatching(/on_existing: append .*on_existing: replace .*on_conflict: update/) as string });
    expect(await rowsOf(run.target, dataset)).toEqual(FOREIGN);
    expect((await run.target.query(`SELECT FROM caravan.owned_table WHERE table_name = $1`, [dataset])).rows).toEqual([]);
  });

  test('updating what was just emptied makes no sense and is refused with the plan', async () => {
    const both = { migration: 'both', datasets: { t: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update', on_existing: 'replace' } } } };
    await expect(run.admit(both)).rejects.toMatchObject({ code: 'PLAN_INVALID' });
  });

  test.each(cells.map((cell) => [nameOf(cell), cell] as const))('%s: begun, left, begun again, finished, and run once more', async (dataset, cell) => {
    const { restoreObjects, closeDataset, compareRows, openDataset } = run.activities;
    await oneCommit(dataset);
    // `ours`: what is there comes from this migration, and the next run finds it; the others are aborted in between.
    if (cell.state !== 'ours') await run.call(restoreObjects, { ref, datasets: [dataset] });
    ({ ref } = await run.admit(plan()));
    await run.copy(ref, dataset);
    await run.call(closeDataset, { ref, dataset });
    expect(await rowsOf(run.target, dataset)).toEqual(wanted(cell));
    const keeps = cell.state === 'foreign' && cell.conflict === 'none' && cell.existing === 'append';
    expect(await quarantined(dataset)).toEqual(keeps ? ['5 target:23505', '30 target:23505'] : []);
    expect(await run.call(compareRows, { ref, dataset, repair: false })).toMatchObject({ missing: 0, extra: 0, different: 0, explained: keeps ? 2 : 0 });

    ({ ref } = await run.admit(plan()));
    expect(await run.call(openDataset, { ref, dataset })).toMatchObject({ done: true, unfinished: [] });
    await run.copy(ref, dataset);
    expect(await rowsOf(run.target, dataset)).toEqual(wanted(cell));
    expect((await run.target.query(`SELECT count(*)::int AS n FROM pg_indexes WHERE tablename = $1`, [dataset])).rows).toEqual([{ n: 2 }]);
  });

  test('the ledger knows the rows that it brought into a table of others, and only those are extra and removed', async () => {
    const names = [nameOf({ state: 'foreign', conflict: 'update', existing: 'refuse' }), nameOf({ state: 'foreign', conflict: 'none', existing: 'append' })];
    for (const dataset of names) {
      expect((await run.target.query(`SELECT count(*)::int AS n FROM caravan.merged_key WHERE dataset = $1 AND inserted`, [dataset])).rows).toEqual([{ n: 58 }]);
      // Gone from the source since: a row that was brought (7), one that met a row of theirs (5), one equal to theirs (30). New on their side: 2000.
      await run.legacy.query(`DELETE FROM ${dataset} WHERE id IN (5, 7, 30); UPDATE ${dataset} SET v = 'moved' WHERE id = 8`);
      await run.target.query(`INSERT INTO ${dataset} VALUES (2000, 'theirs', 1)`);
      const repaired = await run.call(run.activities.compareRows, { ref, dataset, repair: true });
      expect(repaired).toMatchObject({ repaired: 2 });
      const left = await rowsOf(run.target, dataset);
      expect(left.map(([id]) => id)).toEqual([...source.map(([id]) => id).filter((id) => id !== 7), 1000, 2000]);
      expect(left[6]).toEqual([8, 'moved', '8.50']);
    }
    // The merge had changed 5: it still holds what the source said, so it stays told; nothing of the append is left to tell.
    expect(await run.call(run.activities.compareRows, { ref, dataset: names[0] ?? '', repair: false })).toMatchObject({ missing: 0, different: 0, extra: 1 });
    expect(await run.call(run.activities.compareRows, { ref, dataset: names[1] ?? '', repair: false })).toMatchObject({ missing: 0, different: 0, extra: 0 });
  });

  test('a repair of an append changes no row of others; one of a merge keeps it first as it was', async () => {
    const [merged = '', appended = ''] = [nameOf({ state: 'foreign', conflict: 'update', existing: 'append' }), nameOf({ state: 'foreign', conflict: 'none', existing: 'append' })];
    for (const dataset of [merged, appended]) {
      await run.target.query(`INSERT INTO ${dataset} VALUES (3000, 'theirs', 1)`);
      await run.legacy.query(`INSERT INTO ${dataset} VALUES (3000, 'late', 2)`);
      await run.call(run.activities.compareRows, { ref, dataset, repair: true });
    }
    const late = async (table: string) => (await rowsOf(run.target, table)).filter(([id]) => id === 3000);
    expect(await late(appended)).toEqual([[3000, 'theirs', '1.00']]);
    expect(await quarantined(appended)).toContain('3000 target:23505');
    expect(await late(merged)).toEqual([[3000, 'late', '2.00']]);
    expect((await run.target.query(`SELECT split_part(btrim(image #>> '{}', '()'), ',', 2) AS v FROM caravan.before_image WHERE dataset = $1 AND target_key = '{3000}'`, [merged])).rows).toEqual([{ v: 'theirs' }]);
  });
});

describe('tables that hold rows of others', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('foreign'); });
  afterAll(() => run.close());

  async function migrate(name: string, target: object, more: object = {}): Promise<RunRef> {
    const { ref } = await run.admit({ migration: `foreign-${name}`, batch: { batch_size: 10, checkpoint_interval: 20 }, datasets: { [name]: { source: { connection: 'legacy' }, target: { connection: 'new', ...target }, ...more } } });
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    await run.call(run.activities.settleReferences, { ref, datasets: [name] });
    return ref;
  }
  const both = (sql: string) => Promise.all([run.legacy.query(sql), run.target.query(sql)]);
  const column = async (sql: string) => (await run.target.query<{ x: unknown }>(sql)).rows.map((row) => row.x);

  test('keys of every spelling are known again: boolean, padded, numeric, with time', async () => {
    await both('CREATE TABLE spelled (b boolean, c char(5), n numeric, at timestamptz, v text, PRIMARY KEY (b, c, n, at))');
    await run.legacy.query(`INSERT INTO spelled SELECT g % 2 = 0, 'x' || g, g + 0.10, '2024-01-01 00:00:00.000001+00', 'v' FROM generate_series(1, 50) g`);
    await run.target.query(`INSERT INTO spelled VALUES (true, 'mine', 1, now(), 'theirs')`);
    const ref = await migrate('spelled', { on_existing: 'append' });
    await run.legacy.query(`DELETE FROM spelled WHERE c IN ('x3', 'x4')`);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'spelled', repair: false })).toMatchObject({ extra: 2 });
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'spelled', repair: true })).toMatchObject({ extra: 0, repaired: 2, verdict: 'passed' });
    expect(await column('SELECT count(*)::int AS x FROM spelled')).toEqual([49]);
    expect(await column(`SELECT count(*)::int AS x FROM caravan.merged_key WHERE dataset = 'spelled'`)).toEqual([48]);
  });

  test('the pass over unique values keeps rows of others, also when the source knows their key', async () => {
    await both('CREATE TABLE people (id int PRIMARY KEY, email text)');
    await run.legacy.query(`INSERT INTO people SELECT g, 'u' || g FROM generate_series(1, 30) g; UPDATE people SET email = 'same' WHERE id IN (3, 9)`);
    // Theirs: a value of ours (u2), the value that ours share, twins among themselves, and a key that the source has.
    await run.target.query(`INSERT INTO people VALUES (9, 'same'), (500, 'u2'), (501, 'twin'), (502, 'twin')`);
    const ref = await migrate('people', { on_existing: 'append' }, { validation: { unique: ['email'] } });
    expect(await column(`SELECT id AS x FROM people WHERE email IN ('same', 'u2', 'twin') ORDER BY id`)).toEqual([9, 500, 501, 502]);
    expect(await column(`SELECT source_key[1] || ' ' || (reasons -> 0 ->> 'rule') AS x FROM caravan.quarantine WHERE dataset = 'people' ORDER BY source_key[1]::int`)).toEqual(['2 unique', '3 unique', '9 target:23505']);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'people', repair: false })).toMatchObject({ missing: 0, extra: 0, different: 0, verdict: 'explained' });
  });

  test('an append into a table without a key works, and nothing of it ever counts as ours to remove', async () => {
    await run.legacy.query(`CREATE TABLE loose (id int PRIMARY KEY, v text); INSERT INTO loose SELECT g, 'v' FROM generate_series(1, 30) g`);
    await run.target.query(`CREATE TABLE loose (id int, v text); INSERT INTO loose VALUES (1, 'theirs')`);
    const ref = await migrate('loose', { on_existing: 'append' });
    expect(await column('SELECT count(*)::int AS x FROM loose')).toEqual([31]);
    await run.legacy.query('DELETE FROM loose WHERE id = 4');
    await run.call(run.activities.compareRows, { ref, dataset: 'loose', repair: true });
    expect(await column('SELECT count(*)::int AS x FROM loose')).toEqual([31]);
  });

  test('a merge into a partitioned table moves rows between partitions of different shape; keys that NULLs share are one row where the index says so', async () => {
    await run.legacy.query(`CREATE TABLE parted (id int PRIMARY KEY, part int NOT NULL, v text); INSERT INTO parted SELECT g, g % 2, 'v' || g FROM generate_series(1, 60) g`);
    await run.target.query(`CREATE TABLE parted (id int, part int NOT NULL, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
      CREATE TABLE parted_0 (gone int, v text, part int NOT NULL, id int NOT NULL); ALTER TABLE parted_0 DROP COLUMN gone; ALTER TABLE parted ATTACH PARTITION parted_0 FOR VALUES IN (0);
      CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1); INSERT INTO parted VALUES (2, 0, 'theirs'), (3, 1, 'v3'), (99, 1, 'theirs')`);
    const ref = await migrate('parted', { on_conflict: 'update' });
    expect(await column(`SELECT count(*) || ' ' || count(*) FILTER (WHERE v = 'v' || id) AS x FROM parted`)).toEqual(['61 60']);
    expect(await column(`SELECT count(*)::int AS x FROM caravan.merged_key WHERE dataset = 'parted' AND inserted`)).toEqual([58]);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'parted', repair: false })).toMatchObject({ verdict: 'passed' });

    await run.legacy.query(`CREATE TABLE nulled (id int PRIMARY KEY, code text, v text); INSERT INTO nulled VALUES (1, NULL, 'one'), (2, NULL, 'two'), (3, 'c', 'three')`);
    await run.target.query(`CREATE TABLE nulled (id int, code text, v text, UNIQUE NULLS NOT DISTINCT (code)); INSERT INTO nulled VALUES (-1, NULL, 'theirs')`);
    await migrate('nulled', { on_conflict: 'update', key: ['code'] });
    expect(await column(`SELECT id || ' ' || v AS x FROM nulled ORDER BY id`)).toEqual(['1 one', '3 three']);
    expect(await column(`SELECT source_key[1] AS x FROM caravan.quarantine WHERE dataset = 'nulled'`)).toEqual(['2']);
  });

  test('a merged row that breaks another unique index of the target goes to quarantine, alone', async () => {
    await both('CREATE TABLE logins (id int PRIMARY KEY, email text)');
    await run.legacy.query(`INSERT INTO logins SELECT g, 'u' || g FROM generate_series(1, 30) g`);
    await run.target.query(`CREATE UNIQUE INDEX ON logins (email); INSERT INTO logins VALUES (900, 'u7'), (8, 'old')`);
    await migrate('logins', { on_conflict: 'update' });
    expect(await column(`SELECT source_key[1] || ' ' || (reasons -> 0 ->> 'rule') AS x FROM caravan.quarantine WHERE dataset = 'logins'`)).toEqual(['7 target:23505']);
    expect(await column(`SELECT id AS x FROM logins WHERE email = 'u' || id ORDER BY id`)).toEqual(source.slice(0, 30).map(([id]) => id).filter((id) => id !== 7));
  });

  test('a merge of as many columns as its stage can hold works; of one more it is refused before any row moves', async () => {
    for (const [table, columns] of [['widest', 1_599], ['too_wide', 1_600]] as const) {
      const list = Array.from({ length: columns - 1 }, (_, at) => `c${at} boolean`).join(', ');
      await both(`CREATE TABLE ${table} (id int PRIMARY KEY, ${list})`);
      await run.legacy.query(`INSERT INTO ${table} (id, c7) SELECT g, g % 2 = 0 FROM generate_series(1, 5) g`);
      await run.target.query(`INSERT INTO ${table} (id, c7) VALUES (1, true), (900, true)`);
    }
    await migrate('widest', { on_conflict: 'update' });
    expect(await column('SELECT id || coalesce(c7::text, \'-\') AS x FROM widest ORDER BY id')).toEqual(['1false', '2true', '3false', '4true', '5false', '900true']);
    await expect(migrate('too_wide', { on_conflict: 'update' })).rejects.toMatchObject({ code: 'MAPPING_INVALID', message: expect.stringMatching(/1599 columns at most, and 1600 are written/) as string });
    expect(await column('SELECT id AS x FROM too_wide ORDER BY id')).toEqual([1, 900]);
  });

  test('an update without a unique index to go by is refused before any row moves', async () => {
    await both('CREATE TABLE byname (id int PRIMARY KEY, name text)');
    await run.legacy.query(`INSERT INTO byname VALUES (1, 'a')`);
    await run.target.query(`INSERT INTO byname VALUES (1, 'theirs')`);
    await expect(migrate('byname', { on_conflict: 'update', key: ['name'] })).rejects.toMatchObject({ code: 'MAPPING_INVALID', message: expect.stringContaining('no unique index covers exactly these columns') as string });
    expect(await column('SELECT name AS x FROM byname')).toEqual(['theirs']);
  });
});

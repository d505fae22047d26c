import { asPostgres } from '../../activities/connectors/postgres/system';
import { compareSides } from '../../activities/reconciliation/compare-sides';
import { openSides } from '../../activities/reconciliation/open-sides';
import { readControlEvidence } from '../../activities/report-data';
import { loadDataset } from '../../activities/run-context';
import type { CompareResult, RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(60_000);
const ROWS = 1200;
const COLUMNS = `id bigint PRIMARY KEY, name text, nick text, first text, last text, price numeric, fixed numeric(12,4), score double precision, ratio real,
  seen timestamptz, big bigint, code char(6), data jsonb, raw bytea, born date, flag boolean`;
const FILL = `SELECT g, 'name ' || g, CASE WHEN g % 5 = 0 THEN NULL WHEN g % 7 = 0 THEN '' ELSE 'nick' END, 'first' || g, 'last' || g, g * 1.10, g * 1.25, g / 3.0, g / 7.0,
  timestamptz '2020-01-01+00' + g * interval '1.000001 second', 9007199254740992 + g, 'c' || g % 10, jsonb_build_object('b', g, 'a', 12345678901234567890),
  decode(lpad(to_hex(g), 8, '0'), 'hex'), date '2000-01-01' + g, g % 2 = 0 FROM generate_series(1, ${ROWS}) g`;

/** Each plants one kind of damage in the target. Rows are apart, so that every one counts. */
const MUTATIONS: [name: string, sql: string, kind: 'missing' | 'extra' | 'different', rows: number][] = [
  ['missing rows', 'DELETE FROM items WHERE id IN (10, 20, 30)', 'missing', 3],
  ['extra rows', `INSERT INTO items SELECT id + 100000, name FROM items WHERE id IN (40, 41)`, 'extra', 2],
  ['changed text', `UPDATE items SET name = 'Name 50' WHERE id = 50`, 'different', 1],
  ['changed number', 'UPDATE items SET big = big + 1 WHERE id = 60', 'different', 1],
  ['NULL for empty', `UPDATE items SET nick = NULL WHERE id = 77`, 'different', 1],
  ['empty for NULL', `UPDATE items SET nick = '' WHERE id = 80`, 'different', 1],
  ['swapped columns', 'UPDATE items SET first = last, last = first WHERE id = 90', 'different', 1],
  ['minus zero', `UPDATE items SET score = '-0' WHERE id = 100`, 'different', 1],
  ['trailing blank', `UPDATE items SET name = name || ' ' WHERE id = 110`, 'different', 1],
  ['one microsecond', `UPDATE items SET seen = seen + interval '1 microsecond' WHERE id = 120`, 'different', 1],
  ['scale of a plain numeric', 'UPDATE items SET price = trim_scale(price) WHERE id = 130', 'different', 1],
  ['one bit of bytes', `UPDATE items SET raw = set_bit(raw, 3, 1 - get_bit(raw, 3)) WHERE id = 140`, 'different', 1],
  ['a digit deep in JSON', `UPDATE items SET data = jsonb_set(data, '{a}', '12345678901234567891') WHERE id = 150`, 'different', 1],
  ['a boolean', 'UPDATE items SET flag = NOT flag WHERE id = 160', 'different', 1],
  ['a date', 'UPDATE items SET born = born + 1 WHERE id = 170', 'different', 1],
  ['rows with exchanged content', `UPDATE items i SET name = o.name FROM items o WHERE (i.id, o.id) IN ((180, 181), (181, 180))`, 'different', 2],
  ['a float in its last place', `UPDATE items SET score = score + 1e-13 WHERE id = 190`, 'different', 1],
];

test('thousands of rows of others in the target do not hold the comparison up', async () => {
  const run = await activitiesRun('reconcile_others');
  try {
    await run.legacy.query(`CREATE TABLE shared (id int PRIMARY KEY, name text); INSERT INTO shared SELECT g, 'ours ' || g FROM generate_series(1, 3000) g`);
    await run.target.query(`CREATE TABLE shared (id int PRIMARY KEY, name text); INSERT INTO shared SELECT g, repeat('theirs', 10) FROM generate_series(100001, 112000) g`);
    const { ref } = await run.admit({ migration: 'others', datasets: { shared: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update' } } } });
    await run.copy(ref, 'shared');
    await run.call(run.activities.closeDataset, { ref, dataset: 'shared' });
    const compare = (repair: boolean) => run.call(run.activities.compareRows, { ref, dataset: 'shared', repair });
    expect(await compare(false)).toMatchObject({ missing: 0, extra: 0, different: 0, verdict: 'passed' });
    await run.legacy.query('DELETE FROM shared WHERE id <= 2500');
    expect(await compare(false)).toMatchObject({ extra: 2500, verdict: 'failed' });
    expect(await compare(true)).toMatchObject({ extra: 0, repaired: 2500, verdict: 'passed' });
    expect((await run.target.query('SELECT count(*)::int AS n FROM shared')).rows).toEqual([{ n: 12_500 }]);
  } finally {
    await run.close();
  }
});

describe('comparing and repairing every row', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const compare = (dataset: string, repair = false): Promise<CompareResult> => run.call(run.activities.compareRows, { ref, dataset, repair });
  const verdict = async (dataset: string) => {
    const { missing, extra, different, unreadable, explained, verdict: said } = await compare(dataset);
    return { missing, extra, different, unreadable, explained, said };
  };
  const clean = { missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, said: 'passed' };

  beforeAll(async () => {
    run = await activitiesRun('reconcile');
    await run.legacy.query(`CREATE TABLE items (${COLUMNS}); INSERT INTO items ${FILL};
      CREATE TABLE words (word text COLLATE "C" PRIMARY KEY, n int);
      INSERT INTO words SELECT DISTINCT ON (w) w, g FROM (SELECT g, CASE g % 4 WHEN 0 THEN 'äb-' WHEN 1 THEN 'Ab_' WHEN 2 THEN 'a b' ELSE 'Z' END || g / 4 AS w FROM generate_series(1, 800) g) x ORDER BY w;
      CREATE TABLE logs (kind text, at timestamptz, amount numeric);
      INSERT INTO logs SELECT 'k' || g % 3, timestamptz '2021-01-01+00' + (g / 2) * interval '1 second', g % 3 FROM generate_series(1, 900) g; INSERT INTO logs SELECT * FROM logs LIMIT 50;
      CREATE TABLE picky (id int PRIMARY KEY, email text); INSERT INTO picky SELECT g, CASE WHEN g % 10 = 0 THEN 'broken' ELSE 'u' || g || '@x.org' END FROM generate_series(1, 200) g`);
    await run.target.query(`CREATE TABLE items (${COLUMNS}); CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = true);
      CREATE TABLE words (word text COLLATE ci PRIMARY KEY, n int); CREATE TABLE logs (kind text, at timestamptz, amount numeric); CREATE TABLE picky (id int PRIMARY KEY, email text)`);
    const dataset = (extra: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new' }, ...extra });
    ({ ref } = await run.admit({
      migration: 'reconcile', checks: { samples: { size: 400 } },
      datasets: { items: dataset(), words: dataset(), logs: dataset(), picky: dataset({ validation: { formats: { email: 'email' } } }) },
    }));
    for (const name of ['items', 'words', 'logs', 'picky']) {
      await run.copy(ref, name);
      await run.call(run.activities.closeDataset, { ref, dataset: name });
    }
  }, 120_000);
  afterAll(() => run.close());

  test('finds nothing where there is nothing, and says what quarantine explains', async () => {
    for (const name of ['items', 'words', 'logs']) expect(await verdict(name)).toEqual(clean);
    expect(await verdict('picky')).toEqual({ ...clean, explained: 20, said: 'explained' });
    for (const name of ['items', 'words', 'logs', 'picky']) {
      const counts = await run.call(run.activities.compareCounts, { ref, dataset: name });
      const sample = await run.call(run.activities.compareSample, { ref, dataset: name });
      expect([name, counts.verdict, sample.verdict]).toEqual([name, ...(name === 'picky' ? ['explained', 'explained'] : ['passed', 'passed'])]);
    }
  });

  test.each(MUTATIONS)('finds and repairs: %s', async (_, sql, kind, rows) => {
    await run.target.query(sql);
    expect(await verdict('items')).toEqual({ ...clean, [kind]: rows, said: 'failed' });
    const repaired = await compare('items', true);
    expect(repaired).toMatchObject({ missing: 0, extra: 0, different: 0, repaired: rows, verdict: 'passed' });
  });

  test('the ledger agrees with what repairs left', async () => {
    expect((await run.call(run.activities.compareCounts, { ref, dataset: 'items' })).verdict).toBe('passed');
  });

  test('many kinds at once are counted exactly, column by column, in several small passes too', async () => {
    for (const [, sql] of MUTATIONS) await run.target.query(sql);
    const result = await compare('items');
    expect(result).toMatchObject({ missing: 3, extra: 2, different: 16, verdict: 'failed' });
    expect(result.detail).toContain('name 4');
    const sides = await openSides(run.deps, await loadDataset(run.deps, { ref, dataset: 'items' }));
    const small = await compareSides(sides, { signal: new AbortController().signal, groupBytes: 1 });
    expect(small).toMatchObject({ missing: 3, extra: 2, different: 16, compared: ROWS });
    const { rows } = await run.target.query(`SELECT kind, count(*)::int AS n FROM caravan.difference WHERE dataset = 'items' GROUP BY 1 ORDER BY 1`);
    expect(rows).toEqual([{ kind: 'different', n: 16 }, { kind: 'extra', n: 2 }, { kind: 'missing', n: 3 }]);
    expect(await compare('items', true)).toMatchObject({ repaired: 21, verdict: 'passed' });
  });

  test('the type\'s own rounding is no difference', async () => {
    expect((await run.target.query(`SELECT count(*)::int AS n FROM items WHERE fixed::text LIKE '%.2500'`)).rows[0]).not.toEqual({ n: 0 });
    expect(await verdict('items')).toEqual(clean);
  });

  test('keys are matched whatever the collations say', async () => {
    await run.target.query(`DELETE FROM words WHERE word = 'Ab_3'; UPDATE words SET n = -1 WHERE word = 'äb-5'; INSERT INTO words VALUES ('AB_4', 1)`);
    expect(await verdict('words')).toEqual({ ...clean, missing: 1, different: 1, extra: 1, said: 'failed' });
    expect(await compare('words', true)).toMatchObject({ repaired: 3, verdict: 'passed' });
  });

  test('a table without a key is a multiset: one copy too many or too few is seen and repaired', async () => {
    await run.target.query(`INSERT INTO logs SELECT * FROM logs LIMIT 2; DELETE FROM logs WHERE ctid = (SELECT ctid FROM logs ORDER BY at DESC LIMIT 1)`);
    const found = await verdict('logs');
    expect(found).toEqual({ ...clean, missing: 1, extra: 2, said: 'failed' });
    expect(await compare('logs', true)).toMatchObject({ repaired: 3, verdict: 'passed' });
  });

  test('what moved in the source since is drift: found, repaired and accounted for', async () => {
    await run.legacy.query(`INSERT INTO picky VALUES (201, 'new@x.org'), (202, 'broken too'); DELETE FROM picky WHERE id = 1; UPDATE picky SET email = 'other@x.org' WHERE id = 2; UPDATE picky SET email = 'bad now' WHERE id = 3`);
    expect(await verdict('picky')).toEqual({ missing: 1, extra: 2, different: 1, unreadable: 2, explained: 20, said: 'failed' });
    expect(await compare('picky', true)).toMatchObject({ missing: 0, extra: 0, different: 0, unreadable: 0, explained: 22, verdict: 'explained' });
    expect((await run.call(run.activities.compareCounts, { ref, dataset: 'picky' })).verdict).toBe('explained');
  });

  test('a row in quarantine that the source has no more leaves the accounts with the next repair', async () => {
    await run.legacy.query(`DELETE FROM picky WHERE id IN (20, 30); UPDATE picky SET id = 400 WHERE id = 40`);
    expect((await run.call(run.activities.compareCounts, { ref, dataset: 'picky' })).verdict).toBe('failed');
    // Of 22 entries three are closed; the row under its new key is refused and comes in.
    expect(await compare('picky', true)).toMatchObject({ missing: 0, extra: 0, different: 0, unreadable: 0, explained: 20, verdict: 'explained' });
    expect((await run.call(run.activities.compareCounts, { ref, dataset: 'picky' })).verdict).toBe('explained');
    const { rows } = await run.target.query(`SELECT source_key[1] AS key, decided_by FROM caravan.quarantine WHERE dataset = 'picky' AND state = 'gone' ORDER BY id`);
    expect(rows).toEqual(['20', '30', '40'].map((key) => ({ key, decided_by: 'repair' })));
  });

  test('quarantine explains every row also when it is many pages long', async () => {
    await run.target.query(`INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, source_key, reasons, columns, content)
      SELECT 'reconcile', 'items', 1, -1, 0, ARRAY[id::text], '[{"rule": "unique"}]', ARRAY['id'], ARRAY[id::text] FROM generate_series(100001, 112000) id`);
    await run.legacy.query(`INSERT INTO items (id) SELECT generate_series(100001, 112000)`);
    expect(await verdict('items')).toEqual({ ...clean, explained: 12000, said: 'explained' });
    await run.legacy.query('DELETE FROM items WHERE id > 100000');
    await run.target.query(`DELETE FROM caravan.quarantine WHERE dataset = 'items'`);
  });

  test('a quarantined row that is in the target after all is extra', async () => {
    await run.target.query(`INSERT INTO picky VALUES (10, 'broken')`);
    expect(await verdict('picky')).toMatchObject({ extra: 1, said: 'failed' });
    await run.target.query('DELETE FROM picky WHERE id = 10');
  });

  test('what is not copied to its end is neither compared nor repaired: the copy that goes on would write the same rows twice', async () => {
    await run.target.query(`UPDATE caravan.dataset SET state = 'open' WHERE dataset = 'logs'; DELETE FROM logs WHERE kind = 'k1'`);
    const before = (await run.target.query<{ n: string }>('SELECT count(*) AS n FROM logs')).rows;
    const { compareCounts, compareSample } = run.activities;
    for (const refused of [() => compare('logs'), () => compare('logs', true), () => run.call(compareCounts, { ref, dataset: 'logs' }), () => run.call(compareSample, { ref, dataset: 'logs' })]) {
      await expect(refused()).rejects.toMatchObject({ code: 'CHECK_FAILED', message: expect.stringContaining('Copy it to its end first') as string });
    }
    expect((await run.target.query('SELECT count(*) AS n FROM logs')).rows).toEqual(before);
    await run.target.query(`UPDATE caravan.dataset SET state = 'copied' WHERE dataset = 'logs'`);
    await expect(compare('logs', true)).rejects.toMatchObject({ code: 'CHECK_FAILED' });
    await run.target.query(`UPDATE caravan.dataset SET state = 'closed' WHERE dataset = 'logs'`);
    expect(await compare('logs', true)).toMatchObject({ verdict: 'passed' });
  });

  test('the latest result of each comparison of a run is kept as evidence', async () => {
    await compare('words', true);
    await run.target.query(`UPDATE words SET n = n + 1 WHERE word = (SELECT min(word) FROM words)`);
    const kept = async () => (await run.target.query<{ verdict: string }>(`SELECT outcome ->> 'verdict' AS verdict FROM caravan.check_result WHERE stage = 'rows' AND name = 'rows:words'`)).rows;
    expect(await kept()).toEqual([{ verdict: 'passed' }]);
    await compare('words');
    expect(await kept()).toEqual([{ verdict: 'failed' }]);
    await compare('words', true);
    await run.call(run.activities.compareCounts, { ref, dataset: 'words' });
    await run.call(run.activities.compareSample, { ref, dataset: 'words' });
    const { checks } = await readControlEvidence(asPostgres(run.deps.systems.open('new')), 'reconcile');
    expect(checks.filter(({ outcome }) => outcome.dataset === 'words')).toMatchObject([
      { stage: 'rows', outcome: { dataset: 'words', repaired: 1, verdict: 'passed' } }, { stage: 'counts', outcome: { verdict: 'passed' } }, { stage: 'sample', outcome: { verdict: 'passed' } },
    ]);
  });

  test('a sample finds damage and names the columns', async () => {
    await run.target.query(`UPDATE items SET first = 'x'`);
    const sample = await run.call(run.activities.compareSample, { ref, dataset: 'items' });
    expect(sample).toMatchObject({ verdict: 'failed', detail: expect.stringMatching(/^400 rows compared; 400 different \(.*first 400/) as string });
  });
});

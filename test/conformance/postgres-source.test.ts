import { postgresConnector } from '../../activities/connectors/postgres';
import { PostgresSource, rowText } from '../../activities/connectors/postgres/source';
import { asPostgres, PostgresSystem } from '../../activities/connectors/postgres/system';
import type { Encoding } from '../../migration/batch';
import type { ReadRequest, Selection } from '../../migration/connector';
import type { KeyText, SplitBounds } from '../../migration/split';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const SETUP = `
CREATE COLLATION natural_order (provider = icu, locale = 'und-u-kn-true');
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE k_composite (a int, b smallint, v text, PRIMARY KEY (a, b));
INSERT INTO k_composite SELECT g % 17 - 8, (g / 17) - 60, 'v' || g FROM generate_series(0, 2000) g;
CREATE TABLE k_text (k text PRIMARY KEY, v int);
INSERT INTO k_text SELECT CASE g % 4 WHEN 0 THEN upper(md5(g::text)) WHEN 1 THEN md5(g::text) WHEN 2 THEN 'é' || g || E'\\t\\\\' || '''"' ELSE 'x' || g END, g FROM generate_series(1, 2000) g;
INSERT INTO k_text VALUES ('', 0), ('\\N', 1), (' ', 2);
CREATE TABLE k_icu (k text COLLATE natural_order PRIMARY KEY, v int);
INSERT INTO k_icu SELECT 'item-' || g, g FROM generate_series(1, 1500) g;
CREATE TABLE k_case (k text COLLATE no_case PRIMARY KEY, v int);
INSERT INTO k_case SELECT CASE WHEN g % 2 = 0 THEN 'Key' ELSE 'kEY' END || g, g FROM generate_series(1, 1500) g;
CREATE TABLE k_uuid (k uuid PRIMARY KEY, v int);
INSERT INTO k_uuid SELECT md5(g::text)::uuid, g FROM generate_series(1, 1500) g;
CREATE TABLE k_time (k timestamptz PRIMARY KEY, v int);
INSERT INTO k_time SELECT timestamptz '2020-01-01+00' + g * interval '1 microsecond', g FROM generate_series(1, 1500) g;
INSERT INTO k_time VALUES ('infinity', -1), ('-infinity', -2), ('0044-03-15 12:00:00 BC', -3), ('12000-01-01', -4);
CREATE TABLE k_numeric (k numeric PRIMARY KEY, v int);
INSERT INTO k_numeric SELECT (g - 700) / 7.0, g FROM generate_series(1, 1500) g;
INSERT INTO k_numeric VALUES ('NaN', -1), ('Infinity', -2), ('-Infinity', -3), (12345678901234567890.12345678901234567890, -4);
CREATE TABLE k_float (k double precision PRIMARY KEY, v int);
INSERT INTO k_float SELECT (g - 700) / 7.0::float8, g FROM generate_series(1, 1500) g;
INSERT INTO k_float VALUES ('NaN', -1), ('Infinity', -2), ('-Infinity', -3);
CREATE TABLE k_real (k real PRIMARY KEY, v int);
INSERT INTO k_real SELECT (g - 700) / 7.0::real, g FROM generate_series(1, 1500) g;
CREATE TABLE k_bytes (k bytea PRIMARY KEY, v int);
INSERT INTO k_bytes SELECT decode(md5(g::text), 'hex'), g FROM generate_series(1, 1500) g;
CREATE TABLE k_char (k char(8) PRIMARY KEY, v int);
INSERT INTO k_char SELECT to_hex(g), g FROM generate_series(1, 1500) g;
CREATE TABLE k_date (k date, f boolean, v int, PRIMARY KEY (k, f));
INSERT INTO k_date SELECT date '2020-01-01' + g / 2, g % 2 = 0, g FROM generate_series(1, 1500) g;
CREATE TABLE k_array (k int[] PRIMARY KEY, v int);
INSERT INTO k_array SELECT ARRAY[g % 7, g], g FROM generate_series(1, 1500) g;
CREATE TABLE k_net (k inet PRIMARY KEY, v int);
INSERT INTO k_net SELECT inet '10.0.0.0' + g, g FROM generate_series(1, 1500) g;
CREATE TABLE k_part (id bigint PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE k_part0 PARTITION OF k_part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE k_part1 PARTITION OF k_part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO k_part SELECT g, 'p' || g FROM generate_series(1, 1500) g;
CREATE TABLE k_parent (id bigint PRIMARY KEY, v text);
CREATE TABLE k_child () INHERITS (k_parent);
INSERT INTO k_parent SELECT g, 'parent' FROM generate_series(1, 1500) g;
INSERT INTO k_child SELECT g, 'child' FROM generate_series(1, 500) g;
CREATE TABLE k_empty (id int PRIMARY KEY);
CREATE TABLE k_one (id int PRIMARY KEY);
INSERT INTO k_one VALUES (7);
CREATE TABLE loose (id int, scale numeric, note text);
INSERT INTO loose SELECT g, g, CASE WHEN g % 3 = 0 THEN NULL ELSE 'n' || g % 2 END FROM generate_series(1, 1500) g;
CREATE TABLE wide (id int PRIMARY KEY, pad text);
INSERT INTO wide SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g;
ANALYZE;
`;

const TABLES = ['k_composite', 'k_text', 'k_icu', 'k_case', 'k_uuid', 'k_time', 'k_numeric', 'k_float', 'k_real', 'k_bytes', 'k_char', 'k_date', 'k_array', 'k_net', 'k_part', 'k_parent', 'k_empty', 'k_one'];

describe('the PostgreSQL source', () => {
  let run: ActivitiesRun;
  let source: PostgresSource;
  beforeAll(async () => {
    run = await activitiesRun('source');
    await run.legacy.query(SETUP);
    source = new PostgresSource(asPostgres(run.deps.systems.open('legacy')), 'datasets.d.source');
  }, 60_000);
  afterAll(() => run.close());

  async function request(selection: Selection, change: Partial<ReadRequest> = {}): Promise<ReadRequest> {
    const { columns, key } = await source.describe(selection);
    return { selection, columns, key, bounds: { after: null, upTo: null }, cursor: null, encoding: 'values', limits: { rowsMax: 97, bytesMax: 1 << 23 }, signal: new AbortController().signal, ...change };
  }

  async function rowsOf(asked: ReadRequest, limit = Infinity): Promise<{ rows: string[]; ends: KeyText[] }> {
    const rows: string[] = [];
    const ends: KeyText[] = [];
    for await (const { batch, endCursor } of source.read(asked)) {
      for (let row = 0; row < batch.rowCount; row += 1) rows.push(JSON.stringify(rowText(batch, row, asked.columns)));
      if (endCursor) ends.push(endCursor);
      if (rows.length >= limit) break;
    }
    return { rows, ends };
  }

  /** What the server itself says is there. */
  async function expected(table: string): Promise<number> {
    return (await run.legacy.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table === 'k_parent' ? 'ONLY ' : ''}${table}`)).rows[0]?.n ?? -1;
  }

  test.each(TABLES)('%s: splits cover every row once, in both encodings, and every batch boundary resumes', async (table) => {
    const asked = await request({ table });
    const splits = await source.planSplits({ table }, asked.key ?? [], 300);
    const count = await expected(table);
    if (count > 1000) expect(splits.length).toBeGreaterThanOrEqual(4);
    else expect(splits).toEqual([{ after: null, upTo: null }]);
    expect(splits[0]?.after).toBeNull();
    expect(splits.at(-1)?.upTo).toBeNull();
    splits.slice(1).forEach((split, i) => expect(split.after).toEqual(splits[i]?.upTo));

    const whole = (await rowsOf(asked)).rows;
    expect(whole).toHaveLength(count);
    expect(new Set(whole).size).toBe(count);
    const encodings: Encoding[] = ['k_array', 'k_net'].includes(table) ? ['values'] : ['values', 'pgcopy'];
    for (const encoding of encodings) {
      const pieces: string[] = [];
      for (const bounds of splits) pieces.push(...(await rowsOf({ ...asked, bounds, encoding })).rows);
      expect(pieces).toEqual(whole);
      const resumable: SplitBounds = splits[1] ?? splits[0]!;
      const { rows, ends } = await rowsOf({ ...asked, bounds: resumable, encoding });
      for (const [at, cursor] of ends.entries()) {
        expect((await rowsOf({ ...asked, bounds: resumable, encoding, cursor })).rows).toEqual(rows.slice((at + 1) * 97));
      }
    }
  }, 60_000);

  test('a query with a declared key, where with NULLs, and the bounds of a split', async () => {
    const selection = { query: 'SELECT id, note FROM loose;', key: ['id'], where: `note <> 'n1' -- comment` };
    const asked = await request(selection);
    expect(asked.key).toEqual(['id']);
    const { rows } = await rowsOf(asked);
    expect(rows).toHaveLength((await run.legacy.query(`SELECT FROM loose WHERE note <> 'n1'`)).rowCount ?? 0);
    expect((await rowsOf({ ...asked, bounds: { after: ['100'], upTo: ['200'] }, cursor: ['150'] })).rows).toEqual(rows.filter((row) => { const id = Number(JSON.parse(row)[0]); return id > 150 && id <= 200; }));
  });

  test('a declared key that repeats blocks before the copy, also when only the server sees that the keys are equal', async () => {
    await run.legacy.query(`CREATE TABLE twins (id numeric, v int); ALTER TABLE twins ALTER id SET NOT NULL; INSERT INTO twins VALUES (1, 1), (2.0, 2), (2.00, 3), (3, 4); CREATE VIEW twins_view AS SELECT * FROM twins`);
    for (const selection of [{ table: 'twins' }, { table: 'twins_view' }, { query: 'SELECT * FROM twins' }]) {
      await expect(source.planSplits({ ...selection, key: ['id'] }, ['id'], 100)).rejects.toMatchObject({ code: 'KEY_NOT_UNIQUE' });
    }
  });

  test('a repeat that appears later blocks the read, and a resume from the very key that repeats', async () => {
    await run.legacy.query(`CREATE TABLE late (id int NOT NULL, v int); INSERT INTO late SELECT g, g FROM generate_series(1, 10) g; INSERT INTO late VALUES (4, 40)`);
    const asked = await request({ table: 'late', key: ['id'] }, { limits: { rowsMax: 4, bytesMax: 1 << 20 } });
    await expect(rowsOf(asked)).rejects.toMatchObject({ code: 'KEY_NOT_UNIQUE' });
    await expect(rowsOf({ ...asked, cursor: ['4'] })).rejects.toMatchObject({ code: 'KEY_NOT_UNIQUE' });
    expect((await rowsOf({ ...asked, cursor: ['5'] })).rows).toHaveLength(5);
  });

  test('a declared key that is NULL somewhere blocks: those rows would be missed', async () => {
    const selection = { query: 'SELECT NULLIF(id, 9) AS id FROM loose', key: ['id'] };
    await expect(source.planSplits(selection, ['id'], 100)).rejects.toMatchObject({ code: 'MAPPING_INVALID' });
  });

  test('batches keep to the byte limit, and a larger row travels alone', async () => {
    const asked = await request({ table: 'wide' }, { limits: { rowsMax: 100_000, bytesMax: 64 * 1024 } });
    let rows = 0;
    for await (const { batch } of source.read(asked)) {
      expect(batch.byteCount).toBeLessThanOrEqual(64 * 1024);
      rows += batch.rowCount;
    }
    expect(rows).toBe(20_000);
    const narrow = { ...asked, limits: { rowsMax: 10, bytesMax: 500 }, bounds: { after: null, upTo: ['3'] } };
    const sizes: number[] = [];
    for await (const { batch } of source.read(narrow)) sizes.push(batch.rowCount);
    expect(sizes).toEqual([1, 1, 1]);
  });

  const backends = async (): Promise<number> => (await run.legacy.query<{ n: number }>(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT%'`)).rows[0]?.n ?? -1;
  async function backendsGone(): Promise<void> {
    for (let i = 0; i < 100 && await backends() > 0; i += 1) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await backends()).toBe(0);
  }

  test('leaving early ends the statement on the server', async () => {
    await rowsOf(await request({ table: 'wide' }), 1);
    await backendsGone();
  }, 20_000);

  test('an abort in mid-read throws its reason and ends the statement, even while the server sends nothing', async () => {
    const stop = new AbortController();
    const slow = await request({ query: 'SELECT id, pg_sleep(0.2)::text AS z FROM generate_series(1, 1000) id', key: ['id'] }, { signal: stop.signal });
    const reading = rowsOf(slow);
    setTimeout(() => stop.abort(new Error('enough')), 500);
    await expect(reading).rejects.toThrow('enough');
    await backendsGone();
  }, 30_000);

  test('text that is not UTF-8 (SQL_ASCII) keeps its bytes, and is refused as a key', async () => {
    const name = `ascii_${process.pid}`;
    await run.legacy.query(`CREATE DATABASE ${name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`);
    const url = new URL(asPostgres(run.deps.systems.open('legacy')).config.url);
    url.pathname = `/${name}`;
    const system = new PostgresSystem({ name: 'ascii', url: url.href }, postgresConnector);
    try {
      await system.use((client) => client.query(`CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, convert_from('\\xff'::bytea, 'SQL_ASCII'))`));
      const ascii = new PostgresSource(system, 'datasets.d.source');
      const { columns, key } = await ascii.describe({ table: 't' });
      const asked = { selection: { table: 't' }, columns, key, bounds: { after: null, upTo: null }, cursor: null, encoding: 'values' as const, limits: { rowsMax: 10, bytesMax: 1_000 }, signal: new AbortController().signal };
      for await (const { batch } of ascii.read(asked)) expect(batch).toMatchObject({ rows: [[1n, '\udcff']] });
      const read = async () => { for await (const { batch } of ascii.read({ ...asked, key: ['v'] })) expect(batch.rowCount).toBe(0); };
      await expect(read()).rejects.toMatchObject({ code: 'ROW_REFUSED', message: expect.stringContaining('no UTF-8') as string });
    } finally {
      await system.close();
      await run.legacy.query(`DROP DATABASE ${name} WITH (FORCE)`);
    }
  }, 30_000);

  test('bounds are frozen: rows and statistics that change later do not move them, and no row falls between', async () => {
    const table = 'CREATE TABLE many (id int PRIMARY KEY)';
    await run.legacy.query(`${table}; INSERT INTO many SELECT generate_series(1, 210000); ANALYZE many`);
    await run.target.query(table);
    const { ref } = await run.admit({ migration: 'frozen', datasets: { many: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    const bounds = async () => (await run.target.query(`SELECT ordinal, after_key, upto_key FROM caravan.split WHERE migration = 'frozen' ORDER BY ordinal`)).rows;
    const { generation, splitCount } = await run.call(run.activities.openDataset, { ref, dataset: 'many' });
    expect(splitCount).toBeGreaterThan(1);
    const before = await bounds();
    while ((await run.call(run.activities.copySplit, { ref, dataset: 'many', generation, ordinal: 0, sliceMs: 10_000 })).state !== 'done');
    await run.legacy.query('INSERT INTO many SELECT generate_series(300001, 400000); ANALYZE many');
    // Opens it again, as a retry does, and copies the other splits.
    await run.copy(ref, 'many');
    expect(await bounds()).toEqual(before);
    expect((await run.target.query('SELECT count(*)::int AS n FROM many')).rows).toEqual([{ n: 310_000 }]);
  }, 60_000);
});

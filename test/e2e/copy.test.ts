import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const LEGACY = `
CREATE TABLE people (
  id bigint PRIMARY KEY, username text NOT NULL, email text, created text, balance numeric(20,6), big bigint, flag boolean,
  seen timestamptz, born date, note text, code char(4), data jsonb, raw bytea, score double precision, ratio real, uid uuid, span interval);
INSERT INTO people
SELECT g, 'user ' || g, CASE WHEN g % 97 = 0 THEN 'broken at' || g ELSE 'User' || g || '@Example.COM' END,
  CASE WHEN g % 53 = 0 THEN 'not a date' WHEN g % 3 = 0 THEN to_char(timestamp '2020-01-01' + g * interval '1 hour', 'DD/MM/YYYY') ELSE to_char(timestamp '2020-01-01' + g * interval '1 hour', 'YYYY-MM-DD HH24:MI:SS') END,
  g * 1.000001, 9223372036854775807 - g, g % 2 = 0, timestamptz '2020-01-01 00:00:00.123456+00' + g * interval '1 minute', date '1999-12-31' + g,
  CASE WHEN g % 5 = 0 THEN NULL WHEN g % 7 = 0 THEN E'tab\\there\\nline \\\\ "quote" \\u2603' ELSE 'plain' END, 'ab', jsonb_build_object('n', g, 'big', 12345678901234567890), decode(lpad(to_hex(g), 8, '0'), 'hex'),
  CASE WHEN g = 1 THEN 'NaN' WHEN g = 2 THEN '-0' ELSE g / 3.0 END, g / 7.0, md5(g::text)::uuid, g * interval '1 day 2 hours'
FROM generate_series(1, 5000) g;
CREATE TABLE events (kind text, at timestamptz, amount numeric);
INSERT INTO events SELECT 'k' || g % 3, timestamptz '2021-01-01+00' + g * interval '1 second', g / 8.0 FROM generate_series(1, 3000) g;
INSERT INTO events SELECT * FROM events LIMIT 100;
CREATE TABLE lines ("order" int, line int, qty int NOT NULL, PRIMARY KEY ("order", line));
INSERT INTO lines SELECT g / 7, g % 7, g FROM generate_series(-700, 2000) g;
`;

const TARGET = `
CREATE TABLE people (
  id bigint PRIMARY KEY, user_name text NOT NULL, email text, created_at timestamptz, balance numeric(20,6), big bigint, flag boolean,
  seen timestamptz, born date, note text, code char(4), data jsonb, raw bytea, score double precision, ratio real, uid uuid, span interval);
CREATE INDEX people_email ON people (email);
CREATE TABLE events (kind text, at timestamptz, amount numeric);
CREATE TABLE lines ("order" int, line int, qty int NOT NULL, PRIMARY KEY ("order", line));
`;

const people = (target: string, extra: object = {}) => ({
  source: { connection: 'legacy', table: 'people' },
  target: { connection: 'new', table: target },
  transformations: [
    { old_field: 'username', new_field: 'user_name' },
    { old_field: 'email', transform: ['trim', 'lower'] },
    { old_field: 'created', new_field: 'created_at', transform: 'to_iso_datetime', formats: ['YYYY-MM-DD HH:mm:ss', 'DD/MM/YYYY'] },
  ],
  validation: { required: ['id'], formats: { email: 'email' } },
  ...extra,
});

const COMPARED = `SELECT md5(string_agg(t::text, '|' ORDER BY id)) AS digest, count(*)::int AS n`;

describe('copying a dataset', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('copy');
    await run.legacy.query(LEGACY);
    await run.target.query(TARGET);
    for (const name of ['people_values', 'people_staged']) await run.target.query(`CREATE TABLE ${name} (LIKE people INCLUDING ALL)`);
  }, 60_000);
  afterAll(() => run.close());

  test('fused, staged, pgcopy and values all give the same rows, and account for every one', async () => {
    const plan = {
      migration: 'copy-modes', batch: { batch_size: 333, checkpoint_interval: 1000 },
      datasets: {
        people: people('people'),
        // A text-typed rule on an interval has no binary codec: this dataset travels as values.
        people_values: people('people_values', { validation: { required: ['id', 'span'], formats: { email: 'email' }, one_of: {}, pattern: { span: '.*' } } }),
        people_staged: people('people_staged', { mode: 'staged' }),
      },
    };
    const { ref } = await run.admit(plan);
    await run.copy(ref, 'people');
    await run.copy(ref, 'people_values');
    await run.copy(ref, 'people_staged', { staged: true });
    const digests = await Promise.all(['people', 'people_values', 'people_staged'].map((table) => run.target.query(`${COMPARED} FROM ${table} t`)));
    const expected = await run.legacy.query(`
      ${COMPARED} FROM (
        SELECT id, username AS user_name, lower(trim(email)) AS email,
          CASE WHEN created LIKE '%/%' THEN to_timestamp(created, 'DD/MM/YYYY') AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' ELSE created::timestamp AT TIME ZONE 'UTC' END AS created_at,
          balance, big, flag, seen, born, note, code, data, raw, score, ratio, uid, span
        FROM people WHERE created <> 'not a date' AND email LIKE '%@%') t`);
    for (const digest of digests) expect(digest.rows[0]).toEqual(expected.rows[0]);

    const { rows } = await run.target.query(`SELECT dataset, sum(read_rows)::int AS read, sum(written_rows)::int AS written, sum(quarantined_rows)::int AS quarantined FROM caravan.split GROUP BY 1 ORDER BY 1`);
    for (const row of rows) expect(row).toMatchObject({ read: 5000, written: expected.rows[0].n, quarantined: 5000 - expected.rows[0].n });
    const reasons = await run.target.query(`SELECT dataset, r->>'rule' AS rule, count(*)::int AS n FROM caravan.quarantine, jsonb_array_elements(reasons) r GROUP BY 1, 2 ORDER BY 2, 1`);
    const perDataset = (name: string) => reasons.rows.filter((row) => row.dataset === name).map(({ rule, n }) => ({ rule, n }));
    expect(perDataset('people')).toEqual(perDataset('people_values'));
    expect(perDataset('people')).toEqual(perDataset('people_staged'));
    const content = await run.target.query(`SELECT source_key, content[2] AS username FROM caravan.quarantine WHERE dataset = 'people' ORDER BY source_key[1]::int LIMIT 1`);
    expect(content.rows[0]).toEqual({ source_key: ['53'], username: 'user 53' });
  }, 60_000);

  test('a composite key with negative values is read once and only once, in many commits and splits', async () => {
    const { ref } = await run.admit({ migration: 'copy-lines', batch: { batch_size: 100, checkpoint_interval: 250 }, datasets: { lines: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    await run.copy(ref, 'lines');
    const all = `SELECT md5(string_agg(t::text, '|' ORDER BY "order", line)) AS digest, count(*)::int AS n FROM lines t`;
    expect((await run.target.query(all)).rows[0]).toEqual((await run.legacy.query(all)).rows[0]);
  }, 60_000);

  test('a keyless table is a generation: a repeat after a partial copy discards what was there', async () => {
    const { ref } = await run.admit({ migration: 'copy-events', batch: { batch_size: 100, checkpoint_interval: 500 }, datasets: { events: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'events' });
    expect(opened).toMatchObject({ keyed: false, splitCount: 1, generation: 1 });
    // A half-done attempt, as a crash leaves it: some commits are in.
    await run.target.query(`INSERT INTO events SELECT 'ghost', now(), 1 FROM generate_series(1, 500)`);
    await run.target.query(`UPDATE caravan.split SET commit_no = 1, read_rows = 500, written_rows = 500 WHERE dataset = 'events'`);
    await run.copy(ref, 'events');
    const all = `SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS digest, count(*)::int AS n FROM events t`;
    expect((await run.target.query(all)).rows[0]).toEqual((await run.legacy.query(all)).rows[0]);
    expect((await run.target.query(`SELECT generation FROM caravan.dataset WHERE dataset = 'events'`)).rows[0].generation).toBe(2);
  }, 60_000);
});

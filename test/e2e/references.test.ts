import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(60_000);

const LEGACY = `
CREATE TABLE users (id int PRIMARY KEY, email text, nick text);
INSERT INTO users SELECT g, CASE g WHEN 7 THEN 'broken' WHEN 30 THEN 'U5@x.org' WHEN 31 THEN 'u5@x.org' WHEN 40 THEN NULL WHEN 41 THEN NULL ELSE 'u' || g || '@x.org' END, 'n' || g % 45 FROM generate_series(1, 50) g;
-- The key's order here is not that of the target: 'b' < 'C' < 'ä' in a language, C < b < ä by bytes.
CREATE TABLE tags (name text COLLATE "en-x-icu" PRIMARY KEY, slug text);
INSERT INTO tags VALUES ('C', 'same'), ('b', 'same'), ('ä', 'same'), ('d', 'other');
CREATE TABLE orders (id int PRIMARY KEY, user_id int, parent_id int);
INSERT INTO orders SELECT g, g % 50 + 1, NULL FROM generate_series(1, 100) g;
INSERT INTO orders VALUES (200, 999, NULL), (201, NULL, NULL), (202, 1, 200), (203, 1, 202), (204, 1, 203), (205, 2, 12345), (206, 2, 206);
CREATE TABLE lefts (id int PRIMARY KEY, right_id int); CREATE TABLE rights (id int PRIMARY KEY, left_id int, gone_id int);
INSERT INTO lefts VALUES (1, 1), (2, 2), (3, 3); INSERT INTO rights VALUES (1, 1, NULL), (2, 2, 77), (3, 2, NULL);
CREATE TABLE bag (kind text, n int); INSERT INTO bag VALUES ('a', 1), ('a', 1), ('b', 1), ('c', 2), (NULL, 3), (NULL, 3);
`;
const TARGET = `
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, nick text);
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
ALTER TABLE users ADD CONSTRAINT users_nick UNIQUE (nick) DEFERRABLE;
CREATE INDEX users_plain ON users (nick, id);
CREATE TABLE tags (name text PRIMARY KEY, slug text);
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, parent_id int REFERENCES orders);
CREATE TABLE outside (id int PRIMARY KEY);
CREATE TABLE lefts (id int PRIMARY KEY, right_id int);
CREATE TABLE rights (id int PRIMARY KEY, left_id int REFERENCES lefts, gone_id int REFERENCES outside);
ALTER TABLE lefts ADD FOREIGN KEY (right_id) REFERENCES rights;
CREATE TABLE bag (kind text, n int, UNIQUE (kind, n));
CREATE TABLE touched (id serial, what text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO touched (what) VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER users_touch AFTER INSERT OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION touch();
`;

describe('unique values and references over whole datasets', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const names = ['users', 'tags', 'orders', 'lefts', 'rights', 'bag'];
  const held = async (dataset: string) => {
    const { rows } = await run.target.query<{ key: string; rule: string; side: string }>(
      `SELECT array_to_string(source_key, '/') AS key, reasons -> 0 ->> 'rule' AS rule, side FROM caravan.quarantine WHERE dataset = $1 ORDER BY source_key, id`, [dataset]);
    return rows;
  };
  const rulesOf = async (dataset: string) => Object.fromEntries((await held(dataset)).map((row) => [row.key, row.rule]));
  const accounted = async () => {
    for (const dataset of names) {
      const counts = await run.call(run.activities.compareCounts, { ref, dataset });
      expect([dataset, counts.verdict]).toEqual([dataset, expect.stringMatching(/passed|explained/)]);
    }
  };
  const shape = async () => {
    const { rows } = await run.target.query(`SELECT indexdef AS d FROM pg_indexes WHERE schemaname = 'public' UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) || convalidated::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace
      UNION ALL SELECT tgname::text || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'audit\\_%' ORDER BY 1`);
    return rows;
  };
  let before: unknown;

  beforeAll(async () => {
    run = await activitiesRun('references');
    await run.legacy.query(LEGACY);
    await run.target.query(TARGET);
    before = await shape();
    const dataset = (validation: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new' }, validation });
    ({ ref } = await run.admit({
      migration: 'references',
      datasets: { users: dataset({ formats: { email: 'email' } }), tags: dataset({ unique: ['slug'] }), orders: dataset(), lefts: dataset(), rights: dataset(), bag: dataset() },
    }));
    for (const name of names) await run.copy(ref, name);
  }, 120_000);
  afterAll(() => run.close());

  test('of equal values the lowest source key stays, by the source\'s own order; NULLs do not conflict', async () => {
    const closed = await run.call(run.activities.closeDataset, { ref, dataset: 'users' });
    // users_email folds case and knows no NULL: 30 and 31 lose against 5. users_nick: 45 values for the rows that are left.
    expect(await rulesOf('users')).toEqual({ 7: 'format:email', 30: 'unique', 31: 'unique', 46: 'unique', 47: 'unique', 48: 'unique', 49: 'unique', 50: 'unique' });
    expect(closed).toMatchObject({ movedToQuarantine: 7, indexesBuilt: 3, counts: { read: 50, written: 42, quarantined: 8 } });
    expect(await run.call(run.activities.closeDataset, { ref, dataset: 'users' })).toEqual(closed);
    await run.call(run.activities.closeDataset, { ref, dataset: 'tags' });
    expect(await rulesOf('tags')).toEqual({ C: 'unique', b: 'unique' });
    expect((await run.target.query(`SELECT content FROM caravan.quarantine WHERE dataset = 'tags' AND source_key = '{b}'`)).rows[0]).toEqual({ content: ['b', 'same'] });
  });

  test('without a key the first one loaded stays', async () => {
    await run.call(run.activities.closeDataset, { ref, dataset: 'bag' });
    expect((await run.target.query('SELECT kind, n FROM bag ORDER BY kind')).rows).toEqual([{ kind: 'a', n: 1 }, { kind: 'b', n: 1 }, { kind: 'c', n: 2 }, { kind: null, n: 3 }, { kind: null, n: 3 }]);
    expect(await held('bag')).toEqual([{ key: null, rule: 'unique', side: 'target' }]);
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'bag', repair: false })).toMatchObject({ missing: 0, extra: 0, explained: 1, verdict: 'explained' });
  });

  test('orphans leave to a fixpoint through self-references, circles and tables outside the plan', async () => {
    for (const name of ['orders', 'lefts', 'rights']) await run.call(run.activities.closeDataset, { ref, dataset: name });
    const settled = await run.call(run.activities.settleReferences, { ref, datasets: names });
    const orders = await rulesOf('orders');
    expect(orders).toMatchObject({ 200: 'orphan', 202: 'parent_quarantined', 203: 'parent_quarantined', 204: 'parent_quarantined', 205: 'orphan', 6: 'parent_quarantined', 56: 'parent_quarantined' });
    // Users 7, 30, 31 and 46 to 50 are in quarantine: two orders each.
    expect(Object.keys(orders)).toHaveLength(5 + 16);
    // rights 2 points outside, to nothing; lefts 2 points to it; rights 3 points to lefts 2; lefts 3 points to rights 3.
    expect(await rulesOf('rights')).toEqual({ 2: 'orphan', 3: 'parent_quarantined' });
    expect(await rulesOf('lefts')).toEqual({ 2: 'parent_quarantined', 3: 'parent_quarantined' });
    expect(settled).toEqual({ movedToQuarantine: 25, foreignKeysBuilt: 5 });
    expect(await run.call(run.activities.settleReferences, { ref, datasets: names })).toEqual(settled);
    await accounted();
  });

  test('everything that was taken away for the load is back as it was, and triggers slept meanwhile', async () => {
    expect(await shape()).toEqual(before);
    expect((await run.target.query('SELECT count(*)::int AS n FROM touched')).rows[0]).toEqual({ n: 0 });
    // The identity goes on behind the highest key.
    expect((await run.target.query(`INSERT INTO users (email, nick) VALUES ('new@x.org', 'fresh') RETURNING id > 45 AS behind`)).rows[0]).toEqual({ behind: true });
    await run.target.query(`DELETE FROM users WHERE nick = 'fresh'`);
  });

  test('every row is accounted for', async () => {
    for (const dataset of names) {
      const result = await run.call(run.activities.compareRows, { ref, dataset, repair: false });
      expect(result).toMatchObject({ dataset, missing: 0, extra: 0, different: 0, unreadable: 0 });
    }
  });
});

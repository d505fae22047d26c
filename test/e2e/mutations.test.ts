import type { RunRef } from '../../migration/protocol';
import { listDifferences } from '../../activities/list-differences';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(240_000);

const ROWS = 6_000;
const PER_KIND = 50;
const COLUMNS = `id bigint PRIMARY KEY, name text NOT NULL, note text, amount numeric(14,4), ratio double precision, at timestamptz, day date, flag boolean, data jsonb, doc json, raw bytea,
  tags text[], span int4range, uid uuid, addr inet, wait interval, code char(6), small smallint`;
const FILL = `SELECT g, 'näme ' || g, CASE WHEN g % 7 > 0 THEN 'note ' || g END, g * 1.2345, g / 3.0, timestamptz '2024-01-01 00:00:00.123456+00' + g * interval '1 second', date '2024-01-01' + g % 365,
  g % 2 = 0, jsonb_build_object('n', g, 'list', jsonb_build_array(g, g + 1)), ('{"n": ' || g || ', "n": 1}')::json, decode(lpad(to_hex(g), 8, '0'), 'hex'),
  ARRAY['a' || g, NULL, 'c'], int4range(g, g + 5), ('00000000-0000-4000-8000-' || lpad(g::text, 12, '0'))::uuid, ('10.0.' || g / 250 || '.' || g % 250)::inet, g * interval '1 minute', 'c' || g, g % 1000
  FROM generate_series(1, ${ROWS}) g`;

/** What goes wrong in targets, as SQL over the keys of `victims`: [what, SQL, what the comparison calls it, the column it names]. */
const KINDS: [string, string, 'different' | 'missing' | 'extra', string | null][] = [
  ['one character more', `UPDATE items SET name = name || 'x'`, 'different', 'name'],
  ['another letter case', `UPDATE items SET name = upper(name)`, 'different', 'name'],
  ['a trailing blank', `UPDATE items SET name = name || ' '`, 'different', 'name'],
  ['a letter in another form (NFD)', `UPDATE items SET name = normalize(name, NFD)`, 'different', 'name'],
  ['a text emptied', `UPDATE items SET note = ''`, 'different', 'note'],
  ['a value lost', `UPDATE items SET amount = NULL`, 'different', 'amount'],
  ['a digit of money', `UPDATE items SET amount = amount + 0.0001`, 'different', 'amount'],
  ['the last bit of a float', `UPDATE items SET ratio = ratio + 2 ^ -40`, 'different', 'ratio'],
  ['a microsecond', `UPDATE items SET at = at + interval '1 microsecond'`, 'different', 'at'],
  ['an hour (a time zone taken wrong)', `UPDATE items SET at = at + interval '1 hour'`, 'different', 'at'],
  ['a day', `UPDATE items SET day = day + 1`, 'different', 'day'],
  ['a flag turned', `UPDATE items SET flag = NOT flag`, 'different', 'flag'],
  ['deep in a document', `UPDATE items SET data = jsonb_set(data, '{list,1}', '-1')`, 'different', 'data'],
  ['a blank inside a json text', `UPDATE items SET doc = replace(doc::text, ': ', ':')::json`, 'different', 'doc'],
  ['a bit of bytes', `UPDATE items SET raw = set_bit(raw, 3, 1 - get_bit(raw, 3))`, 'different', 'raw'],
  ['the order of a list', `UPDATE items SET tags = ARRAY[tags[3], NULL, tags[1]]`, 'different', 'tags'],
  ['a NULL in a list', `UPDATE items SET tags[2] = ''`, 'different', 'tags'],
  ['a bound of a range', `UPDATE items SET span = int4range(lower(span), upper(span), '[]')`, 'different', 'span'],
  ['a digit of a uuid', `UPDATE items SET uid = overlay(uid::text placing 'f' from 1 for 1)::uuid`, 'different', 'uid'],
  ['the mask of an address', `UPDATE items SET addr = set_masklen(addr, 24)`, 'different', 'addr'],
  ['an interval of equal length, other parts', `UPDATE items SET wait = wait + interval '1 day' - interval '24 hours'`, 'different', 'wait'],
  ['values of two rows exchanged', `UPDATE items SET small = small + 1`, 'different', 'small'],
  ['a row lost', 'DELETE FROM items', 'missing', null],
  ['a row doubled under a new key', 'INSERT INTO items SELECT -id, name, note, amount, ratio, at, day, flag, data, doc, raw, tags, span, uid, addr, wait, code, small FROM items', 'extra', null],
];

describe('a thousand mutations of the target', () => {
  let run: ActivitiesRun;
  let ref: RunRef;

  beforeAll(async () => {
    run = await activitiesRun('mutations');
    await run.legacy.query(`CREATE TABLE items (${COLUMNS}); INSERT INTO items ${FILL}`);
    await run.target.query(`CREATE TABLE items (${COLUMNS})`);
    ({ ref } = await run.admit({ migration: 'mutations', datasets: { items: { source: { connection: 'legacy' }, target: { connection: 'new' } } } }));
    await run.copy(ref, 'items');
    await run.call(run.activities.closeDataset, { ref, dataset: 'items' });
  }, 120_000);
  afterAll(() => run.close());

  test(`${KINDS.length} kinds, ${KINDS.length * PER_KIND} rows: every one is found, by its key, in its column, and repaired`, async () => {
    const random = seededRandom(4);
    const keys = Array.from({ length: ROWS }, (_, at) => at + 1);
    for (let at = keys.length - 1; at > 0; at -= 1) {
      const other = Math.floor(random() * (at + 1));
      [keys[at], keys[other]] = [keys[other] ?? 0, keys[at] ?? 0];
    }
    const expected = new Map<string, string>();
    for (const [what, sql, kind, column] of KINDS) {
      const victims = keys.splice(0, PER_KIND);
      const { rowCount } = await run.target.query(`${sql} WHERE id = ANY ($1)`, [victims]);
      expect([what, rowCount]).toEqual([what, PER_KIND]);
      for (const key of victims) expected.set(kind === 'extra' ? String(-key) : String(key), `${kind} ${column ?? ''}`);
    }
    const result = await run.call(run.activities.compareRows, { ref, dataset: 'items', repair: false });
    const of = (kind: string) => KINDS.filter((one) => one[2] === kind).length * PER_KIND;
    expect(result).toMatchObject({ compared: ROWS, different: of('different'), missing: of('missing'), extra: of('extra'), unreadable: 0, verdict: 'failed' });
    const { rows } = await run.target.query<{ key: string; seen: string }>(
      `SELECT (coalesce(source_key, target_key))[1] AS key, kind || ' ' || array_to_string(columns, ',') AS seen FROM caravan.difference WHERE dataset = 'items'`);
    expect(new Map(rows.map(({ key, seen }) => [key, seen]))).toEqual(expected);

    const listed = await listDifferences(run.deps, { ref, limit: 2_000 });
    expect(listed).toHaveLength(expected.size);
    expect(JSON.stringify(listed)).not.toMatch(/n.me \d|"\d+ \(/);
    expect(listed[0]).toMatchObject({ dataset: 'items', key: [expect.stringMatching(/^\*\*\* \(\d\)$/)] });

    expect(await run.call(run.activities.compareRows, { ref, dataset: 'items', repair: true })).toMatchObject({ repaired: expected.size, verdict: 'passed' });
    expect(await run.call(run.activities.compareRows, { ref, dataset: 'items', repair: false })).toMatchObject({ missing: 0, extra: 0, different: 0, verdict: 'passed' });
  });

  test('an index that is gone, one that is not valid and a sequence behind its rows are found', async () => {
    const outcomes = async () => (await run.call(run.activities.runChecks, { ref, when: 'after' })).outcomes.filter(({ kind }) => kind === 'objects').map(({ verdict, detail }) => [verdict, detail]);
    expect(await outcomes()).toEqual([['passed', 'the copy took none away'], ['passed', 'none stands behind the rows of its column']]);
    await run.target.query(`CREATE SEQUENCE items_id OWNED BY items.id; ALTER TABLE items ALTER id SET DEFAULT nextval('items_id'); SELECT setval('items_id', 17);
      INSERT INTO caravan.dropped_object (migration, dataset, kind, table_schema, table_name, name, definition, state)
      SELECT 'mutations', 'items', 'index', 'public', 'items', name, json_build_object('kind', 'index', 'schema', 'public', 'table', 'items', 'name', name, 'definition', ''), 'rebuilt' FROM (VALUES ('items_name'), ('items_day')) v (name);
      CREATE INDEX items_day ON items (day)`);
    expect(await outcomes()).toEqual([
      ['failed', '1 of 2 that the copy took away are missing or not valid: index items_name of public.items'],
      ['failed', '1 would hand out numbers that rows have already: public.items_id (items)'],
    ]);
    await run.target.query(`CREATE INDEX items_name ON items (name); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'items_day'::regclass; SELECT setval('items_id', ${ROWS})`);
    expect(await outcomes()).toEqual([['failed', '1 of 2 that the copy took away are missing or not valid: index items_day of public.items'], ['passed', 'none stands behind the rows of its column']]);
  });

  test('a comparison reads no faster than it may', async () => {
    const slow = await run.admit({ migration: 'mutations', checks: { max_speed: '3000/s' }, datasets: { items: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    const start = Date.now();
    expect(await run.call(run.activities.compareRows, { ref: slow.ref, dataset: 'items', repair: false })).toMatchObject({ compared: ROWS, verdict: 'passed' });
    // A lower bound: a slow machine only makes it longer.
    expect(Date.now() - start).toBeGreaterThan(1_900);
  });
});

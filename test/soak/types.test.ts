import fc from 'fast-check';
import { createActivities } from '../../activities';
import { binaryCodec } from '../../activities/connectors/postgres/binary-codecs';
import { PostgresSource, rowText } from '../../activities/connectors/postgres/source';
import { quoteLiteral } from '../../activities/connectors/postgres/sql';
import { asPostgres } from '../../activities/connectors/postgres/system';
import type { Encoding } from '../../migration/batch';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { copyPairs, judgePairs } from '../fixtures/conversion-cases';
import { JUDGE_SESSION } from '../fixtures/edge-tables';
import { EDGE_TYPES, edgeSchema } from '../fixtures/edge-values';
import { hexOf, testEncodings } from '../fixtures/encoding-cases';

const SEED = Number(process.env['CARAVAN_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);
/** Columns of one table. */
const PAIRS = 300;

describe('types', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('pairs');
    for (const client of [run.legacy, run.target]) {
      await client.query(edgeSchema(client === run.target ? 5 : 0));
      await client.query(JUDGE_SESSION);
    }
  }, 60_000);
  afterAll(() => run.close());

  test('every pair of them gives its values back, or has their rows in quarantine, in both encodings', async () => {
    const { pairs } = await judgePairs(run);
    const valuesOnly = createActivities({ ...run.deps, encodings: ['values'] });
    const mixed = fc.sample(fc.shuffledSubarray(pairs, { minLength: pairs.length }), { seed: SEED, numRuns: 1 })[0] ?? [];
    const total = { written: 0, quarantined: 0, wrong: [] as string[] };
    for (let from = 0; from < mixed.length; from += PAIRS) {
      for (const [name, activities] of [[`native${from}`, null], [`neutral${from}`, valuesOnly]] as const) {
        const outcome = await copyPairs(run, name, mixed.slice(from, from + PAIRS), SEED + from, activities);
        total.written += outcome.written;
        total.quarantined += outcome.quarantined;
        total.wrong.push(...outcome.wrong);
      }
    }
    process.stderr.write(`pairs of types: seed ${SEED}, ${pairs.length} pairs, ${total.written} values written, ${total.quarantined} in quarantine\n`);
    expect(total.wrong).toEqual([]);
  }, 1_800_000);

  test('a key of any type that orders is a cursor: what is read on from it misses no row and repeats none', async () => {
    const source = new PostgresSource(asPostgres(run.deps.systems.open('legacy')), 'test');
    const wrong: string[] = [];
    let keys = 0;
    for (const [at, { type, values }] of EDGE_TYPES.entries()) {
      // Names of objects and composites are no keys that a cursor can be made of: the server refuses the comparison.
      if (/^reg|^edge\.(pair|nested)/.test(type)) continue;
      await run.legacy.query(`CREATE TABLE key_${at} (k ${type} NOT NULL); INSERT INTO key_${at} SELECT * FROM (VALUES ${values.filter((value) => value.length < 2000).map((value) => `(${quoteLiteral(value)}::${type})`).join(', ')}) v`);
      const made = await run.legacy.query(`SELECT k < k FROM key_${at}; DELETE FROM key_${at} a USING key_${at} b WHERE a.ctid > b.ctid AND a.k = b.k; ALTER TABLE key_${at} ADD PRIMARY KEY (k)`).then(() => true, () => false);
      if (!made) continue;
      keys += 1;
      const { columns, key } = await source.describe({ table: `key_${at}` });
      const read = async (cursor: string[] | null, encoding: Encoding): Promise<{ texts: string[]; ends: string[][] }> => {
        const texts: string[] = [];
        const ends: string[][] = [];
        for await (const { batch, endCursor } of source.read({ selection: { table: `key_${at}` }, columns, key, bounds: { after: null, upTo: null }, cursor, encoding, limits: { rowsMax: 1, bytesMax: 1 << 20 }, signal: new AbortController().signal })) {
          texts.push(JSON.stringify(rowText(batch, 0, columns)));
          ends.push(endCursor ?? []);
        }
        return { texts, ends };
      };
      const whole = await read(null, 'values');
      const { rows: [count] } = await run.legacy.query<{ rows: number }>(`SELECT count(*)::int AS rows FROM key_${at}`);
      if (whole.texts.length !== count?.rows) wrong.push(`${type}: ${whole.texts.length} of ${count?.rows ?? 0} rows`);
      for (const [row, cursor] of whole.ends.entries()) {
        if (row % 3 !== 0 && row !== whole.ends.length - 2) continue;
        const rest = await read(cursor, row % 2 === 0 && binaryCodec(columns[0]?.wireType) ? 'pgcopy' : 'values');
        if (JSON.stringify(rest.texts) !== JSON.stringify(whole.texts.slice(row + 1))) wrong.push(`${type}: after row ${row}`);
      }
    }
    process.stderr.write(`types: ${keys} of them as keys\n`);
    expect(wrong).toEqual([]);
    expect(keys).toBeGreaterThan(60);
  }, 600_000);
});

testEncodings([
  { source: 'LATIN1', target: 'LATIN1', rows: [hexOf('plain'), 'e9', 'ff', '8081'], refused: [] },
  { source: 'LATIN1', target: 'SQL_ASCII', rows: [hexOf('plain'), hexOf('x')], refused: [] },
  { source: 'WIN1252', target: 'UTF8', rows: ['80', '93', 'e9'], refused: [] },
  { source: 'EUC_JP', target: 'UTF8', rows: ['a4a2', '8eb1', hexOf('plain')], refused: [] },
  { source: 'EUC_JP', target: 'LATIN1', rows: ['a9a1', hexOf('plain')], refused: [0], loose: true },
  { source: 'WIN1252', target: 'SQL_ASCII', rows: [hexOf('plain'), 'c381'], refused: [1], loose: true },
  { source: 'WIN1252', target: 'WIN1252', rows: ['e9', '80', '9d'], refused: [2], loose: true },
  { source: 'UTF8', target: 'SQL_ASCII', rows: [hexOf('plain'), hexOf('é'), hexOf('👩')], refused: [] },
]);

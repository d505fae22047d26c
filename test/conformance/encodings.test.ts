import fc from 'fast-check';
import { createActivities } from '../../activities';
import type { ControlActivities, CopyActivities, RunRef } from '../../migration/protocol';
import { EDGE_TYPES, edgeSchema } from '../fixtures/edge-values';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const RUNS = Number(process.env['CARAVAN_PROPERTY_RUNS'] ?? 40);
const SEED = Number(process.env['CARAVAN_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);

type Step = string | Record<string, unknown>;
interface Way { to: string; transform?: Step[] | undefined; validation?: Record<string, unknown>; accept?: boolean; rest?: Record<string, unknown> }
interface Kind { type: string; value: fc.Arbitrary<string>; ways: Way[]; weight?: number }

const plain = (...types: string[]): Way[] => types.map((to) => ({ to }));
const steps = (to: string, ...transform: Step[]): Way => ({ to, transform });

const nastyText = fc.oneof(
  fc.constantFrom('', ' ', '\\N', '\\.', '\\', '\\\\', '\t', '\n', '\r\n', '"', "'", '{}', 'NULL', 'a\tb\\n\nc', '  padded  ', '\u00a0x\u00a0', '\u2028', 'İstanbul', 'ẞß', 'e\u0301', '👩‍👩‍👧', '\u{10ffff}', '\ufeffbom', '\u0001\u001f\u007f', '12', '-7', '1e5', '2024-02-29', 'no@mail', 'User@Example.COM'),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.replaceAll('\0', '')),
  fc.string({ maxLength: 12 }),
);
const integerOf = (bits: number) => fc.oneof(
  fc.bigInt({ min: -(1n << BigInt(bits - 1)), max: (1n << BigInt(bits - 1)) - 1n }),
  fc.constantFrom(0n, 1n, -1n, (1n << BigInt(bits - 1)) - 1n, -(1n << BigInt(bits - 1))),
).map(String);
const digits = (max: number) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: max });
const decimal = (whole: number, fraction: number) => fc.tuple(fc.constantFrom('', '-'), digits(whole), fc.option(digits(fraction), { nil: null }))
  .map(([sign, left, right]) => `${sign}${left}${right === null ? '' : `.${right}`}`);
const pad = (value: number, width: number) => String(value).padStart(width, '0');
const dateParts = fc.record({ y: fc.oneof(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1900, max: 2100 })), m: fc.integer({ min: 1, max: 12 }), d: fc.integer({ min: 1, max: 28 }) });
const dateText = dateParts.map(({ y, m, d }) => `${pad(y, 4)}-${pad(m, 2)}-${pad(d, 2)}`);
const timeText = fc.record({ h: fc.integer({ min: 0, max: 23 }), m: fc.integer({ min: 0, max: 59 }), s: fc.integer({ min: 0, max: 59 }), f: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999 }), fc.constantFrom(1, 10, 100_000, 999_999)) })
  .map(({ h, m, s, f }) => `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}${f === 0 ? '' : `.${pad(f, 6)}`}`);
const momentText = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(dateText, timeText).map((parts) => parts.join(' ')) },
  fc.constantFrom('infinity', '-infinity', '0044-03-15 12:00:00 BC', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999', '10000-01-01 00:00:00', '0001-01-01 00:00:00', '2000-01-01 00:00:00', '1999-12-31 23:59:59.999999', '2024-02-29 23:59:59.5'),
);
const dayText = fc.oneof({ weight: 6, arbitrary: dateText }, fc.constantFrom('infinity', '-infinity', '0001-01-01 BC', '4713-01-01 BC', '5874897-12-31', '10000-01-01', '2024-02-29', '1900-02-28'));
const floats = fc.oneof(fc.double(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 1e-300, 5e-324, 1.7976931348623157e308, 0.1, 1e21, 1e-7, 123456789012345680)).map((value) => (Object.is(value, -0) ? '-0' : String(value)));
const singles = fc.oneof(fc.float(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 1e-45, 3.4028234663852886e38, Math.fround(0.1), 16777216, 1e10)).map((value) => (Object.is(value, -0) ? '-0' : String(Math.fround(value))));
const hexBytes = fc.uint8Array({ maxLength: 20 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`);
const json = fc.oneof(fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)), fc.constantFrom('{"n":12345678901234567890.10}', '[1.0,1.00,1e400]', '{"a":1,"a":2}', ' { "sp" : [ ] } ', '"\\u00e9\\n"')).filter((text) => !/\\u0000|\\ud[89a-f]/i.test(text));
const interval = fc.tuple(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -400, max: 400 }), fc.integer({ min: -9e9, max: 9e9 })).map(([months, days, micros]) => `${months} months ${days} days ${micros} microseconds`);
const arrayOf = (items: fc.Arbitrary<string>) => fc.array(fc.option(items, { nil: null, freq: 4 }), { maxLength: 4 })
  .map((values) => `{${values.map((value) => (value === null ? 'NULL' : `"${value.replaceAll(/(["\\])/g, '\\$1')}"`)).join(',')}}`);

const KINDS: Kind[] = [
  { type: 'smallint', value: integerOf(16), ways: [...plain('smallint', 'integer', 'bigint', 'numeric', 'text', 'real', 'double precision'), { to: 'smallint', validation: { range: { min: -100, max: 3000 } } }] },
  { type: 'integer', value: integerOf(32), ways: [...plain('integer', 'bigint', 'numeric', 'text', 'double precision'), { to: 'smallint', accept: true }, steps('text', 'to_text'), steps('boolean', 'to_boolean'), steps('timestamptz', { name: 'to_iso_datetime', unit: 'seconds' })] },
  { type: 'bigint', value: integerOf(64), ways: [...plain('bigint', 'numeric', 'text', 'double precision'), { to: 'integer', accept: true }, { to: 'numeric(12,2)', accept: true }, steps('text', 'hash'), steps('timestamptz', { name: 'to_iso_datetime', unit: 'micros' })] },
  { type: 'numeric', value: fc.oneof({ weight: 5, arbitrary: decimal(30, 20) }, fc.constantFrom('NaN', 'Infinity', '-Infinity', '0.0000', '-0', '10000', '9999.9999', '0.00010000', '1e400', '1e-100', '100000000')), ways: [...plain('numeric', 'text'), { to: 'numeric(10,2)', accept: true }, steps('bigint', 'to_integer'), steps('double precision', 'to_float'), { to: 'numeric', validation: { range: { min: '-1000', max: '1000.5' } } }] },
  { type: 'numeric(20,6)', value: decimal(14, 6), ways: [...plain('numeric(20,6)', 'numeric(30,10)', 'numeric', 'text'), { to: 'numeric(8,3)', accept: true }] },
  { type: 'real', value: singles, ways: [...plain('real', 'double precision', 'text'), steps('numeric', 'to_decimal'), steps('text', 'to_text')] },
  { type: 'double precision', value: floats, ways: [...plain('double precision', 'text'), { to: 'real', accept: true }, steps('numeric', 'to_decimal'), steps('bigint', 'to_integer'), { to: 'double precision', validation: { range: { min: -1e10, max: 1e10 } } }] },
  { type: 'text', value: nastyText, weight: 3, ways: [...plain('text', 'varchar'), { to: 'varchar(5)', accept: true }, { to: 'char(6)', accept: true }, steps('text', 'trim'), steps('text', 'trim', 'lower'), steps('text', 'upper'), steps('text', 'lower'), steps('text', { name: 'trim', empty_as_null: true }), steps('text', { name: 'mask', keep_first: 1 }), steps('text', { name: 'hash', salt: 'salt' }), steps('bigint', 'to_integer'), steps('numeric', 'to_decimal'), steps('double precision', 'to_float'), steps('jsonb', 'to_json'), steps('date', { name: 'to_date', formats: ['YYYY-MM-DD'] }), steps('text', { name: 'default', value: 'none', blank: true }), steps('text', { name: 'map_values', values: { '12': 'dozen' }, keep_others: true }), { to: 'text', validation: { length: { min: 1, max: 6 } } }, { to: 'text', validation: { pattern: '[a-zA-Z0-9@. ]*' } }, { to: 'text', validation: { formats: 'email' } }, { to: 'text', validation: { required: true } }, { to: 'inet' }] },
  { type: 'varchar(20)', value: nastyText, ways: [...plain('text', 'varchar(20)', 'varchar(40)'), { to: 'varchar(3)', accept: true }, steps('varchar(20)', 'upper')] },
  { type: 'char(6)', value: fc.string({ maxLength: 6 }).map((text) => text.replaceAll('\0', '')), ways: [...plain('char(6)', 'char(9)', 'text', 'varchar(6)'), { to: 'char(3)', accept: true }, steps('text', 'trim'), { to: 'char(6)', validation: { required: true } }] },
  { type: 'bytea', value: hexBytes, ways: [...plain('bytea'), steps('text', { name: 'to_text', encoding: 'hex' }), steps('text', { name: 'to_text', encoding: 'base64' }), steps('text', 'to_text'), steps('text', 'hash')] },
  { type: 'timestamptz', value: momentText, weight: 2, ways: [...plain('timestamptz', 'text'), steps('timestamptz', 'to_iso_datetime'), steps('text', 'to_text'), steps('timestamp', { name: 'to_timestamp', zone: 'Europe/Berlin' }), steps('date', 'to_date'), { to: 'timestamptz(3)', accept: true }, { to: 'timestamptz', validation: { range: { min: '1950-01-01T00:00:00Z', max: '2050-01-01T00:00:00Z' } } }] },
  { type: 'timestamp', value: momentText, weight: 2, ways: [...plain('timestamp', 'text'), steps('timestamptz', 'to_iso_datetime'), steps('timestamptz', { name: 'to_iso_datetime', zone: 'America/New_York' }), steps('timestamptz', { name: 'to_iso_datetime', zone: '+05:30' }), steps('date', 'to_date'), { to: 'timestamp(0)', accept: true }] },
  { type: 'date', value: dayText, ways: [...plain('date', 'timestamp', 'timestamptz', 'text'), steps('timestamptz', 'to_iso_datetime'), { to: 'date', validation: { range: { min: '1900-01-01' } } }] },
  { type: 'time', value: fc.oneof(timeText, fc.constant('24:00:00')), ways: [...plain('time', 'text'), { to: 'time(2)', accept: true }] },
  { type: 'interval', value: interval, ways: plain('interval', 'text') },
  { type: 'uuid', value: fc.uuid(), ways: [...plain('uuid', 'text'), { to: 'uuid', validation: { required: true } }, steps('text', 'hash')] },
  { type: 'json', value: json, ways: [...plain('json', 'text'), steps('jsonb', 'to_json')] },
  { type: 'jsonb', value: json.filter((text) => !text.includes('e400')), ways: [...plain('jsonb', 'text'), { to: 'jsonb', validation: { required: true } }] },
  { type: 'boolean', value: fc.constantFrom('t', 'f'), ways: [...plain('boolean', 'text'), { to: 'boolean', validation: { one_of: [true] } }] },
  { type: 'integer[]', value: arrayOf(integerOf(32)), ways: plain('integer[]', 'text') },
  { type: 'text[]', value: arrayOf(nastyText), ways: plain('text[]', 'text') },
  { type: 'inet', value: fc.constantFrom('10.0.0.1', '10.1.0.0/16', '::1', 'fe80::/10'), ways: plain('inet', 'text') },
  { type: 'int4range', value: fc.constantFrom('empty', '[1,5)', '(,3]', '[7,)'), ways: plain('int4range', 'text') },
  { type: 'mood', value: fc.constantFrom('sad', 'ok', "ha'ppy"), ways: plain('mood', 'text') },
];

/** Every other type: its edge values, as they are and as text. */
const KNOWN = new Set(KINDS.map(({ type }) => type));
for (const { type, values } of EDGE_TYPES) {
  const usable = values.filter((value) => value.length < 2000 && !(type === 'regclass' && value === '-'));
  if (!KNOWN.has(type)) KINDS.push({ type, value: fc.constantFrom(...usable), ways: plain(type, 'text'), weight: 0.25 });
}

interface TableColumn { kind: Kind; way: Way; values: (string | null)[] }
const ROWS = 12;
const column: fc.Arbitrary<TableColumn> = fc.oneof(...KINDS.map((kind) => ({ weight: Math.round((kind.weight ?? 1) * 4), arbitrary: fc.constant(kind) }))).chain((kind) => fc.record({
  kind: fc.constant(kind),
  way: fc.constantFrom(...kind.ways),
  values: fc.array(fc.option(kind.value, { nil: null, freq: 6 }), { minLength: ROWS, maxLength: ROWS }),
}).map((made) => Object.defineProperty(made, fc.toStringMethod, { value: () => JSON.stringify([kind.type, made.way, made.values]) })));

interface Outcome { error?: string; rows: string[]; counts: unknown; quarantine: unknown[]; encoding: string }

describe('encodings', () => {
  let run: ActivitiesRun;
  let valuesOnly: ControlActivities & CopyActivities;
  let tables = 0;
  beforeAll(async () => {
    run = await activitiesRun('encodings');
    const deps = { ...run.deps, constants: { salt: 'pepper' }, encodings: ['values'] as const };
    valuesOnly = createActivities(deps);
    for (const client of [run.legacy, run.target]) await client.query(`${edgeSchema(client === run.target ? 2 : 0)}; CREATE TYPE mood AS ENUM ('sad', 'ok', 'ha''ppy'); SET TimeZone = 'UTC'`);
  }, 60_000);
  afterAll(() => run.close());

  async function outcome(activities: ControlActivities & CopyActivities, ref: RunRef, dataset: string): Promise<Outcome> {
    const empty: Outcome = { rows: [], counts: null, quarantine: [], encoding: '' };
    try {
      const opened = await run.call(activities.openDataset, { ref, dataset });
      for (;;) if ((await run.call(activities.copySplit, { ref, dataset, generation: opened.generation, ordinal: 0, sliceMs: 60_000 })).state === 'done') break;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code !== 'MAPPING_INVALID') throw error;
      return { ...empty, error: message.replaceAll(dataset, 'DATASET') };
    }
    const rows = await run.target.query<{ t: string }>(`SELECT t::text AS t FROM ${dataset} t ORDER BY id`);
    const counts = await run.target.query(`SELECT sum(read_rows)::int AS read, sum(written_rows)::int AS written, sum(quarantined_rows)::int AS quarantined, sum(filtered_rows)::int AS filtered FROM caravan.split WHERE dataset = $1`, [dataset]);
    const quarantine = await run.target.query(`SELECT source_key, reasons FROM caravan.quarantine WHERE dataset = $1 ORDER BY source_key[1]::bigint`, [dataset]);
    return { ...empty, rows: rows.rows.map((row) => row.t), counts: counts.rows[0], quarantine: quarantine.rows };
  }

  test('pgcopy and values give the same rows, counts and quarantine for any table and mapping', async () => {
    const seen = { refused: 0, quarantined: 0, written: 0 };
    await fc.assert(fc.asyncProperty(fc.array(column, { minLength: 1, maxLength: 6 }), fc.boolean(), async (columns, renamed) => {
      const at = ++tables;
      const source = `s${at}`;
      await run.legacy.query(`CREATE TABLE ${source} (id bigint PRIMARY KEY, ${columns.map(({ kind }, i) => `c${i} ${kind.type}`).join(', ')})`);
      for (let row = 0; row < ROWS; row += 1) {
        // Text that the type cuts (varchar, char) is cut as a cast cuts it.
        await run.legacy.query(`INSERT INTO ${source} VALUES ($1, ${columns.map(({ kind }, i) => `$${i + 2}::text::${kind.type}`).join(', ')})`, [row - 3, ...columns.map(({ values }) => values[row])]);
      }
      const names = columns.map((_, i) => (renamed ? `n${columns.length - i}` : `c${i}`));
      const dataset = (table: string) => {
        const validation: Record<string, unknown> = {};
        columns.forEach(({ way }, i) => {
          for (const [rule, value] of Object.entries(way.validation ?? {})) {
            if (rule === 'required') validation[rule] = [...(validation[rule] as string[] | undefined ?? []), names[i]];
            else validation[rule] = { ...(validation[rule] ?? {}), [names[i] ?? '']: value };
          }
        });
        return {
          source: { connection: 'legacy', table: source }, target: { connection: 'new', table }, validation,
          accept: columns.flatMap(({ way }, i) => (way.accept ? [names[i]] : [])),
          transformations: columns.map(({ way }, i) => ({ old_field: `c${i}`, new_field: names[i], ...(way.transform ? { transform: way.transform.map((step) => (typeof step === 'string' ? { name: step } : step)) } : {}) })),
        };
      };
      const [native, neutral] = [`p${at}`, `v${at}`];
      for (const table of [native, neutral]) {
        await run.target.query(`CREATE TABLE ${table} (id bigint PRIMARY KEY, ${columns.map(({ way }, i) => `${names[i] ?? ''} ${way.to}`).join(', ')})`);
      }
      const { ref } = await run.admit({ migration: `encodings-${at}`, batch: { batch_size: 5, checkpoint_interval: 5 }, datasets: { [native]: dataset(native), [neutral]: dataset(neutral) } });
      const a = await outcome(run.activities, ref, native);
      const b = await outcome(valuesOnly, ref, neutral);
      expect(a).toEqual(b);
      if (a.error) { seen.refused += 1; return; }
      expect(a.counts).toMatchObject({ read: ROWS, filtered: 0 });
      expect(a.rows.length + a.quarantine.length).toBe(ROWS);
      seen.written += a.rows.length;
      seen.quarantined += a.quarantine.length;
      await run.legacy.query(`DROP TABLE ${source}`);
      await run.target.query(`DROP TABLE ${native}, ${neutral}`);
    }), { seed: SEED, numRuns: RUNS, endOnFailure: process.env['CARAVAN_PROPERTY_SHRINK'] === undefined });
    process.stderr.write(`encodings: seed ${SEED}, ${RUNS} tables, ${JSON.stringify(seen)}\n`);
    expect(seen.refused).toBeLessThan(RUNS / 5);
    expect(seen.written).toBeGreaterThan(0);
    expect(seen.quarantined).toBeGreaterThan(0);
  }, 300_000);
});

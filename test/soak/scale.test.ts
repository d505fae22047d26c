import { Client } from 'pg';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { watchProcesses, type Peaks } from '../fixtures/process-watch';
import { createDatabase, testStack, type TestDatabase } from '../fixtures/stack';

const TABLES = 2_000;
/** Every hundredth table is not tiny, every seventh leans on its neighbour. */
const SCHEMA = `DO $$ BEGIN
  FOR i IN 1..${TABLES} LOOP
    EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, other int, name text NOT NULL, at timestamptz)', 't_' || lpad(i::text, 4, '0'));
    EXECUTE format('INSERT INTO %I SELECT g, 1 + g %% 5, %L || g, timestamptz ''2024-01-01'' + g * interval ''1.000001 s'' FROM generate_series(1, %s) g', 't_' || lpad(i::text, 4, '0'), 'row ' || i || ' ',
      CASE WHEN i % 100 = 0 THEN 30000 WHEN i % 50 = 1 THEN 0 ELSE 5 + i % 60 END);
    EXECUTE format('CREATE INDEX %I ON %I (name)', 't_' || lpad(i::text, 4, '0') || '_name', 't_' || lpad(i::text, 4, '0'));
    IF i % 7 = 0 AND i % 50 <> 2 THEN
      EXECUTE format('ALTER TABLE %I ADD FOREIGN KEY (other) REFERENCES %I (id)', 't_' || lpad(i::text, 4, '0'), 't_' || lpad((i - 1)::text, 4, '0'));
    END IF;
  END LOOP;
END $$;`;

/** One digest over every row of every table, made by the server. */
const DIGEST = `CREATE FUNCTION pg_temp.digests() RETURNS TABLE (name text, rows bigint, digest text) LANGUAGE plpgsql AS $$
DECLARE t record; BEGIN
  FOR t IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY c.relname LOOP
    RETURN QUERY EXECUTE format('SELECT %L::text, count(*), md5(coalesce(string_agg(x::text, E''\\n'' ORDER BY x.id), '''')) FROM public.%I x', t.relname, t.relname);
  END LOOP;
END $$;
SELECT count(*)::int AS tables, sum(rows)::bigint::text AS rows, md5(string_agg(name || rows || digest, ',' ORDER BY name)) AS digest FROM pg_temp.digests()`;

const OBJECTS = `SELECT (SELECT count(*)::int FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid) AS indexes,
  (SELECT count(*)::int FROM pg_constraint WHERE contype = 'f' AND convalidated) AS keys`;

interface Digest { tables: number; rows: string; digest: string }

async function query<T extends object>(database: TestDatabase, sql: string): Promise<T[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    const result = await client.query<T>(sql) as unknown as { rows: T[] } | { rows: T[] }[];
    return Array.isArray(result) ? result.at(-1)?.rows ?? [] : result.rows;
  } finally {
    await client.end();
  }
}

function flat({ samples }: Peaks): { middle: number; end: number } {
  const part = (from: number, to: number) => Math.max(...samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)));
  return { middle: part(0.25, 0.5), end: part(0.75, 1) };
}

describe('scale of the orchestration', () => {
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  let folder: CommandFolder;

  beforeEach(async () => {
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'scale'), createDatabase('new', 'scale')]);
    folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
  });
  afterEach(async () => {
    folder.remove();
    await Promise.all([legacy.drop(), fresh.drop()]);
  });

  test(`${TABLES} tables in one plan`, async () => {
    await query(legacy, `${SCHEMA} ANALYZE`);
    expect(await folder.caravan('init', '--source', 'legacy', '--target', 'new', '-o', 'plan.yaml')).toMatchObject({ code: 0 });
    const running = folder.start('run', 'plan.yaml', '--json');
    const watch = await watchProcesses(fresh.url, () => [running.child.pid ?? 0]);
    const end = await running.end;
    const peaks = await watch.stop();
    console.info(`${TABLES} tables: peak ${peaks.connections} connections to the target, ${Math.round(peaks.megabytes)} MB; ${JSON.stringify(flat(peaks))}`);
    expect(end).toMatchObject({ code: 0 });
    const [source] = await query<Digest>(legacy, DIGEST);
    const { read } = (JSON.parse(end.out) as { counts: { read: number } }).counts;
    expect(String(read)).toBe(source?.rows);
    expect(await query<Digest>(fresh, DIGEST)).toEqual([source]);
    expect(await query(fresh, OBJECTS)).toEqual(await query(legacy, OBJECTS));
    // 16 pooled connections, 8 lanes with one of their own, and some for comparisons.
    expect(peaks.connections).toBeLessThanOrEqual(40);
    const { middle, end: last } = flat(peaks);
    expect(last).toBeLessThan(middle * 1.5 + 100);
  }, 3_600_000);
});

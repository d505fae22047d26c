import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { watchProcesses, type Peaks } from '../fixtures/process-watch';
import { createNamespace, temporalClient } from '../fixtures/namespaces';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';

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

const PLAN = (migration: string, tables: string[], more = '', target = 'new') => `
migration: ${migration}
schema: create
datasets:
${tables.map((table) => `  ${table}: { source: { connection: legacy }, target: { connection: ${target} } }`).join('\n')}
${more}
`;

interface Digest { tables: number; rows: string; digest: string }

function flat({ samples }: Peaks): { middle: number; end: number } {
  const part = (from: number, to: number) => Math.max(...samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)));
  return { middle: part(0.25, 0.5), end: part(0.75, 1) };
}

jest.setTimeout(3_600_000);

describe('scale of the orchestration', () => {
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  let folder: CommandFolder;

  let namespace: string;

  beforeEach(async () => {
    // Workers of other suites serve the same queues.
    namespace = await createNamespace();
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'scale'), createDatabase('new', 'scale')]);
    folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, TEMPORAL_NAMESPACE: namespace, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
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
  });

  /** `rows` rows with keys that lie far apart, and one index to be built again. */
  const numbered = (table: string, rows: number) => `CREATE TABLE ${table} (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO ${table} SELECT g::bigint * 1000003, 'name ' || g FROM generate_series(1, ${rows}) g; CREATE INDEX ON ${table} (name); ANALYZE ${table};`;

  // Three events each are more than a history may hold before Temporal suggests a new one (4,096).
  test('1,600 splits of one table: the workflow continues as new and every row arrives once', async () => {
    await query(legacy, numbered('one', 1_600_000));
    folder.write('plan.yaml', PLAN('splits', ['one'], 'batch: { split_rows: 1000, parallel_workers: 8 }'));
    const running = folder.start('run', 'plan.yaml', '--json');
    const watch = await watchProcesses(fresh.url, () => [running.child.pid ?? 0]);
    const end = await running.end;
    const peaks = await watch.stop();
    expect(end).toMatchObject({ code: 0 });
    expect(await query(fresh, `SELECT count(*)::int AS splits FROM caravan.split WHERE done`)).toEqual([{ splits: 1600 }]);
    expect(await query<Digest>(fresh, DIGEST)).toEqual(await query<Digest>(legacy, DIGEST));
    expect(peaks.connections).toBeLessThanOrEqual(40);
    const { client, close } = await temporalClient(namespace);
    const { events } = await client.workflow.getHandle('migration-splits/one').fetchHistory();
    expect(events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId).toBeTruthy();
    await close();
  });

  test('four migrations at once on one worker', async () => {
    const targets = await Promise.all([0, 1, 2, 3].map(() => createDatabase('new', 'scale')));
    try {
      for (const table of ['a', 'b', 'c']) await query(legacy, numbered(table, 20_000));
      targets.forEach((target, at) => {
        folder.env[`CARAVAN_CONNECTION_NEW_${at}`] = target.url;
        folder.write(`plan-${at}.yaml`, PLAN(`many-${at}`, ['a', 'b', 'c'], 'batch: { split_rows: 1000, parallel_workers: 8, parallel_datasets: 3 }', `new_${at}`));
      });
      const worker = folder.start('worker');
      const watch = await watchProcesses(legacy.url, () => [worker.child.pid ?? 0]);
      const ends = await Promise.all(targets.map((_, at) => folder.caravan('start', `plan-${at}.yaml`, '--wait', '--json')));
      const peaks = await watch.stop();
      worker.child.kill('SIGTERM');
      expect((await worker.end).code).toBe(0);
      expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      const [source] = await query<Digest>(legacy, DIGEST);
      for (const target of targets) expect(await query<Digest>(target, DIGEST)).toEqual([source]);
      // 16 copy activities read at a time, beside the pool of 16.
      expect(peaks.connections).toBeLessThanOrEqual(40);
    } finally {
      await Promise.all(targets.map((target) => target.drop()));
    }
  });

  test('one migration on three workers, of which one is killed and one is told to stop', async () => {
    for (const table of ['a', 'b']) await query(legacy, numbered(table, 150_000));
    folder.write('plan.yaml', PLAN('shared', ['a', 'b'], 'batch: { split_rows: 2000, checkpoint_interval: 500, batch_size: 250, parallel_workers: 8 }'));
    const workers = [0, 1, 2].map(() => folder.start('worker'));
    const running = folder.caravan('start', 'plan.yaml', '--wait', '--json');
    const done = async () => (await query<{ n: number }>(fresh, `SELECT CASE WHEN to_regclass('caravan.split') IS NULL THEN 0 ELSE 1 END AS n`))[0]?.n === 1
      ? (await query<{ n: number }>(fresh, 'SELECT count(*)::int AS n FROM caravan.split WHERE done'))[0]?.n ?? 0 : 0;
    while ((await done()) < 10) await new Promise((resolve) => setTimeout(resolve, 200));
    workers[0]?.child.kill('SIGKILL');
    while ((await done()) < 40) await new Promise((resolve) => setTimeout(resolve, 200));
    workers[1]?.child.kill('SIGTERM');
    expect((await workers[1]?.end)?.code).toBe(0);
    expect(await running).toMatchObject({ code: 0 });
    workers[2]?.child.kill('SIGTERM');
    await workers[2]?.end;
    expect(await query<Digest>(fresh, DIGEST)).toEqual(await query<Digest>(legacy, DIGEST));
    expect(await query(fresh, OBJECTS)).toEqual(await query(legacy, OBJECTS));
    // More than one worker took part.
    const { client, close } = await temporalClient(namespace);
    const { events = [] } = await client.workflow.getHandle('migration-shared/a').fetchHistory();
    expect(new Set((events ?? []).flatMap((event) => event.activityTaskStartedEventAttributes?.identity ?? [])).size).toBeGreaterThan(1);
    await close();
  });
});

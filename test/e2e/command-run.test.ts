import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(240_000);

const ROWS = 40_000;
const TABLES = `
CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, joined timestamptz, note text);
CREATE TABLE payments (id bigint PRIMARY KEY, person_id bigint REFERENCES people (id), amount numeric(20, 4));`;

/** A digest of every row of both tables, made by the server. */
async function digest(database: TestDatabase): Promise<unknown> {
  return query(database, `SELECT 'people' AS t, count(*), md5(string_agg(p::text, E'\\n' ORDER BY id)) FROM people p
    UNION ALL SELECT 'payments', count(*), md5(string_agg(p::text, E'\\n' ORDER BY id)) FROM payments p ORDER BY t`);
}

const PLAN = (migration: string, extra = '') => `
migration: ${migration}
datasets:
  people: { source: { connection: legacy }, target: { connection: new } }
  payments: { after: [people], source: { connection: legacy }, target: { connection: new } }
batch: { batch_size: 500, checkpoint_interval: 1000, parallel_workers: 2 }
${extra}`;

/** Each test has its own two databases; all share Temporal. */
describe('caravan run', () => {
  let folder: CommandFolder;
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  let name: string;

  beforeEach(async () => {
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'run'), createDatabase('new', 'run')]);
    await Promise.all([query(legacy, TABLES), query(fresh, TABLES)]);
    await query(legacy, `
      INSERT INTO people SELECT i, 'p' || i || '@example.org', timestamptz '2020-01-01' + i * interval '1.000001 s', E'tab\\there, line\\nthere, \\\\ and 😀' FROM generate_series(1, ${ROWS}) i;
      INSERT INTO payments SELECT i, 1 + i % ${ROWS}, 9007199254740993 + i / 7.0 FROM generate_series(1, ${ROWS}) i;
      ANALYZE`);
    name = `run-${fresh.name.slice(-8)}`;
    folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
    folder.write('plan.yaml', PLAN(name));
  });
  afterEach(async () => {
    folder.remove();
    await Promise.all([legacy.drop(), fresh.drop()]);
  });

  test('moves every row; again there is nothing to do; status, report and validate tell the same', async () => {
    const first = await folder.caravan('run', 'plan.yaml', '--json');
    expect(first).toMatchObject({ code: 0 });
    expect(JSON.parse(first.out)).toMatchObject({ migration: name, status: 'complete', exitCode: 0, counts: { read: 2 * ROWS, written: 2 * ROWS, quarantined: 0 } });
    expect(await digest(fresh)).toEqual(await digest(legacy));

    const again = await folder.caravan('run', 'plan.yaml');
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining('nothing to do') as string });

    const status = await folder.caravan('status', name, '--json');
    expect(JSON.parse(status.out)).toMatchObject({ migration: name, status: 'complete' });
    expect((await folder.caravan('status')).out).toMatch(new RegExp(`${name}\\s+Complete\\s+100%`));

    const report = await folder.caravan('report', name, '-o', 'report.html');
    expect(report.code).toBe(0);

    await query(fresh, `UPDATE people SET note = 'changed' WHERE id = 7; DELETE FROM payments WHERE id = 9`);
    const differs = await folder.caravan('validate', name);
    expect(differs).toMatchObject({ code: 3, out: expect.stringContaining(`validate ${name} --repair`) as string });
    const repaired = await folder.caravan('validate', name, '--repair');
    expect(repaired).toMatchObject({ code: 0 });
    expect(await digest(fresh)).toEqual(await digest(legacy));
  });

  test('killed in the middle and run again, it completes with every row equal', async () => {
    const first = folder.start('run', 'plan.yaml');
    await until(async () => {
      const counts = await query<{ rows: string }>(fresh, `SELECT coalesce(sum(written_rows), 0)::text AS rows FROM caravan.split`).catch(() => []);
      return Number(counts[0]?.rows ?? 0) > 0;
    });
    first.child.kill('SIGKILL');
    await first.end;
    const [left] = await query<{ rows: string }>(fresh, 'SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM payments) AS rows');
    expect(Number(left?.rows)).toBeLessThan(2 * ROWS);

    const second = await folder.caravan('run', 'plan.yaml');
    expect(second).toMatchObject({ code: 0, out: expect.stringContaining('going on with it') as string });
    expect(await digest(fresh)).toEqual(await digest(legacy));
  });

  test('interrupted once, it ends with 130 and says how to go on; going on completes', async () => {
    const first = folder.start('run', 'plan.yaml');
    await until(() => Promise.resolve(/copying/.test(first.output())));
    first.child.kill('SIGINT');
    const end = await first.end;
    expect(end.code).toBe(130);
    expect(end.out.trimEnd().split('\n').at(-1)).toBe('Interrupted. Nothing is lost; go on with: npx caravan run plan.yaml');
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 0 });
    expect(await digest(fresh)).toEqual(await digest(legacy));
  });

  test('blocked, it exits with 3 and the printed commands go on', async () => {
    folder.write('plan.yaml', PLAN(name, 'checks: { business_rules: { sums: { source: SELECT sum(amount) FROM payments, target: SELECT sum(amount) + 1 FROM payments } } }'));
    const blocked = await folder.caravan('run', 'plan.yaml');
    expect(blocked).toMatchObject({ code: 3, err: '' });
    expect(blocked.out).toContain('CHECK_FAILED');
    expect(blocked.out).toContain(`npx caravan resume ${name} --skip && npx caravan run plan.yaml`);
    expect(await folder.caravan('resume', name, '--skip', '--reason', 'known')).toMatchObject({ code: 0, err: '' });
    const done = await folder.caravan('run', 'plan.yaml');
    expect(done).toMatchObject({ code: 0, out: expect.stringContaining('Skipped by a person: checks after') as string });
  });

  test('aborted, it ends with 4 at the next run, and the rows stay', async () => {
    folder.write('plan.yaml', PLAN(name, 'checks: { integrity: { none: { target: SELECT 1 } } }'));
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 3, err: '' });
    expect(await folder.caravan('resume', name, '--abort')).toMatchObject({ code: 0, err: '' });
    const status = await folder.caravan('watch', name, '--json');
    expect(status.code).toBe(4);
    expect(JSON.parse(status.out)).toMatchObject({ status: 'aborted', exitCode: 4 });
  });
});

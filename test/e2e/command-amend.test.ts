import { Client } from 'pg';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(240_000);

const ROWS = 20_000;

const PLAN = (migration: string, edit: { transform?: string; more?: string; batch?: number } = {}) => `
migration: ${migration}
datasets:
  people: { source: { connection: legacy }, target: { connection: new }, transformations: [{ old_field: email, new_field: email, transform: ${edit.transform ?? 'trim'} }] }
${edit.more ?? '  towns: { source: { connection: legacy }, target: { connection: new } }'}
batch: { batch_size: ${edit.batch ?? 200}, checkpoint_interval: 200, parallel_workers: 2 }
`;

describe('caravan amend', () => {
  let folder: CommandFolder;
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  let name: string;

  beforeAll(async () => {
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'amend'), createDatabase('new', 'amend')]);
    const tables = 'CREATE TABLE people (id bigint PRIMARY KEY, email text); CREATE TABLE towns (id int PRIMARY KEY, name text); CREATE TABLE trees (id int PRIMARY KEY)';
    await Promise.all([query(legacy, tables), query(fresh, tables)]);
    await query(legacy, `INSERT INTO people SELECT i, ' P' || i || '@Example.org' FROM generate_series(1, ${ROWS}) i; INSERT INTO towns VALUES (1, 'Ulm'), (2, 'Bonn'); INSERT INTO trees VALUES (7); ANALYZE`);
    name = `amend-${fresh.name.slice(-8)}`;
    folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
  });
  afterAll(async () => {
    folder.remove();
    await Promise.all([legacy.drop(), fresh.drop()]);
  });

  test('before there is anything to amend, it says what to do instead', async () => {
    folder.write('plan.yaml', PLAN(name));
    expect(await folder.caravan('amend', 'plan.yaml')).toMatchObject({ code: 2, err: expect.stringContaining('npx caravan run plan.yaml') as string });
  });

  test('while a run is under way: run is refused with the command, amend asks, and the run ends under the new plan with every row once', async () => {
    const running = folder.start('run', 'plan.yaml');
    const copied = async () => Number((await query<{ rows: string }>(fresh, 'SELECT coalesce(sum(written_rows), 0) AS rows FROM caravan.split').catch(() => []))[0]?.rows ?? 0);
    await until(async () => (await copied()) > 0);
    // The copy hangs in a commit until the plan is amended: it cannot end before.
    const holder = new Client({ connectionString: fresh.url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE people IN SHARE MODE');
    folder.write('plan.yaml', PLAN(name, { transform: 'lower' }));
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 3, err: expect.stringMatching(/people[\s\S]*npx\s+caravan\s+amend\s+plan\.yaml/) as string });
    expect(await folder.caravan('amend', 'plan.yaml')).toMatchObject({ code: 2, out: expect.stringMatching(/people +is copied again +[\d,]+ +transformations/) as string, err: expect.stringContaining('--yes') as string });
    const amended = await folder.caravan('amend', 'plan.yaml', '--yes', '--by', 'ann', '--json');
    expect(JSON.parse(amended.out)).toMatchObject({ amended: true, exitCode: 0, datasets: [{ dataset: 'people', kind: 'changed', fields: ['transformations'] }] });
    await holder.query('COMMIT');
    await holder.end();
    expect(await running.end).toMatchObject({ code: 0 });
    const [people] = await query<{ rows: string; lower: string; distinct: string }>(fresh, 'SELECT count(*) AS rows, count(*) FILTER (WHERE email = lower(email)) AS lower, count(DISTINCT id) AS distinct FROM people');
    expect(people).toEqual({ rows: String(ROWS), lower: String(ROWS), distinct: String(ROWS) });
    expect(await query(fresh, 'SELECT dataset, generation FROM caravan.dataset ORDER BY 1')).toEqual([{ dataset: 'people', generation: 2 }, { dataset: 'towns', generation: 1 }]);
    expect(JSON.parse((await folder.caravan('amend', 'plan.yaml', '--json')).out)).toMatchObject({ edited: false, amended: false, exitCode: 0 });
  });

  test('after the end: datasets go and come, sizes change, and the next run does just that', async () => {
    folder.write('plan.yaml', PLAN(name, { transform: 'lower', batch: 500, more: '  trees: { source: { connection: legacy }, target: { connection: new } }' }));
    expect(await folder.caravan('start', 'plan.yaml')).toMatchObject({ code: 3, err: expect.stringContaining('npx caravan amend') as string });
    // Nothing is copied again, so nobody has to be asked.
    const amended = await folder.caravan('amend', 'plan.yaml');
    expect(amended).toMatchObject({ code: 0, out: expect.stringMatching(/towns +leaves the plan, its rows stay +2[\s\S]*batch\.batch_size[\s\S]*npx caravan run plan\.yaml/) as string });
    const done = await folder.caravan('run', 'plan.yaml', '--json');
    expect(JSON.parse(done.out)).toMatchObject({ status: 'complete', counts: { read: ROWS + 1 } });
    expect(await query(fresh, 'SELECT (SELECT count(*)::int FROM towns) AS towns, (SELECT count(*)::int FROM trees) AS trees')).toEqual([{ towns: 2, trees: 1 }]);
    expect((await folder.caravan('run', 'plan.yaml')).out).toContain('nothing to do');
  });
});

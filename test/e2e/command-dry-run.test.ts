import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DryRunStep } from '../../migration/protocol';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(240_000);

const READER = `reader_${process.pid}`;
const TABLE = 'CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL)';
const PLAN = (migration: string): string => `
migration: ${migration}
control: control
downtime_tolerance: 10m
datasets:
  people: { source: { connection: legacy }, target: { connection: new } }
cutover:
  switch: [{ name: shop, webhook: router }]
`;

/** What a database holds beside the system's own: objects, triggers and rows. */
async function contents(database: TestDatabase): Promise<unknown> {
  return query(database, `SELECT (SELECT json_agg(n.nspname || '.' || c.relname ORDER BY 1) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^(pg_|information_schema|caravan)') AS relations,
    (SELECT count(*) FROM pg_trigger) AS triggers, (SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM people p) AS rows`);
}

describe('caravan run --dry-run', () => {
  let folder: CommandFolder;
  let databases: Record<'legacy' | 'new' | 'control', TestDatabase>;
  let name: string;
  let calls: string[];
  let answers: number;
  const router = createServer((request, response) => {
    calls.push(request.method ?? '');
    response.writeHead(answers).end(JSON.stringify({ active: 'legacy' }));
  });
  const hindered = (out: string): DryRunStep[] => (JSON.parse(out) as { dryRun: DryRunStep[] }).dryRun.filter(({ hinders }) => hinders !== null);

  beforeAll(async () => {
    await new Promise<void>((resolve) => router.listen(0, '127.0.0.1', resolve));
    databases = { legacy: await createDatabase('legacy', 'dry'), new: await createDatabase('new', 'dry'), control: await createDatabase('legacy', 'dry_c') };
    await query(databases.legacy, `${TABLE}; INSERT INTO people SELECT g, 'p' || g FROM generate_series(1, 500) g`);
    await query(databases.new, TABLE);
    await query(databases.legacy, `CREATE ROLE ${READER} LOGIN PASSWORD 'reads'; GRANT SELECT ON people TO ${READER}`);
  });
  beforeEach(() => {
    calls = [];
    answers = 200;
    name = `dry-${Math.random().toString(36).slice(2, 8)}`;
    folder = commandFolder({
      TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: databases.legacy.url, CARAVAN_CONNECTION_NEW: databases.new.url, CARAVAN_CONNECTION_CONTROL: databases.control.url,
      CARAVAN_WEBHOOK_ROUTER: `http://127.0.0.1:${(router.address() as AddressInfo).port}/`, CARAVAN_WEBHOOK_ROUTER_SECRET: 'hush',
    });
    folder.write('plan.yaml', PLAN(name));
  });
  afterEach(() => folder.remove());
  afterAll(async () => {
    await new Promise((resolve) => router.close(resolve));
    await query(databases.legacy, `DROP OWNED BY ${READER}; DROP ROLE ${READER}`);
    await Promise.all(Object.values(databases).map((database) => database.drop()));
  });

  test('a good plan: every step is told, exit 0, and neither side nor the application is changed', async () => {
    const before = await Promise.all([contents(databases.legacy), contents(databases.new)]);
    const end = await folder.caravan('run', 'plan.yaml', '--dry-run');
    expect(end).toMatchObject({ code: 0, err: '' });
    for (const step of ['block target', 'block source', 'final sync', 'switch shop', 'open target']) expect(end.out).toContain(`${step}: would `);
    expect(end.out).toContain('Nothing was changed.');
    expect(await Promise.all([contents(databases.legacy), contents(databases.new)])).toEqual(before);
    expect(await query(databases.legacy, `SELECT nspname FROM pg_namespace WHERE nspname = 'caravan'`)).toEqual([]);
    expect(calls).toEqual(['GET']);
  });

  test('a webhook that fails and a user that may not block writes are named at their steps: exit 3, in words and as JSON', async () => {
    answers = 403;
    const reader = Object.assign(new URL(databases.legacy.url), { username: READER, password: 'reads' }).href;
    folder.env['CARAVAN_CONNECTION_LEGACY'] = reader;
    const json = await folder.caravan('run', 'plan.yaml', '--dry-run', '--json');
    expect(json).toMatchObject({ code: 3 });
    expect(hindered(json.out)).toEqual([
      expect.objectContaining({ step: 'block source', hinders: expect.stringMatching(/does not own public\.people.*check PLAN --grants/) as string }),
      expect.objectContaining({ step: 'switch shop', hinders: expect.stringMatching(/^SWITCH_FAILED: application shop cannot be asked .*403.*webhook router/) as string }),
    ]);
    const words = await folder.caravan('run', 'plan.yaml', '--dry-run');
    expect(words).toMatchObject({ code: 3, out: expect.stringMatching(/block source: would .*\n.*does not own/) as string });
    // The run itself would end before it is admitted.
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 2, err: expect.stringContaining('does not own public.people') as string });
  });
});

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { commandFolder, hasTerminal, type CommandFolder } from '../fixtures/caravan-command';
import { createNamespace, temporalClient } from '../fixtures/namespaces';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(480_000);

const ROWS = 20_000;
const TABLE = 'CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL)';
type Command = ReturnType<CommandFolder['start']>;

/** Real processes that show a migration while somebody else takes it back. Its rows are copied at once and compared for minutes: there is time. */
describe('a rollback of a migration that a command shows', () => {
  let namespace: string;
  let temporal: Awaited<ReturnType<typeof temporalClient>>;
  let folder: CommandFolder;
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  let name: string;
  let before: string[];
  const started: Command[] = [];

  beforeAll(async () => {
    namespace = await createNamespace();
    temporal = await temporalClient(namespace);
  });
  afterAll(() => temporal.close());
  beforeEach(async () => {
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'followed'), createDatabase('new', 'followed')]);
    await query(fresh, TABLE);
    await query(legacy, `${TABLE}; INSERT INTO people SELECT i, 'p' || i || '@x.org' FROM generate_series(1, ${ROWS}) i; ANALYZE`);
    before = await rows(legacy);
    name = fresh.name.replaceAll('_', '-');
    folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, TEMPORAL_NAMESPACE: namespace, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
    folder.write('plan.yaml', plan());
  });
  afterEach(async () => {
    for (const { child, end } of started.splice(0)) {
      child.kill('SIGKILL');
      await end;
    }
    await temporal.client.workflow.getHandle(`migration-${name}`).terminate().catch(() => undefined);
    folder.remove();
    await Promise.all([legacy.drop(), fresh.drop()]);
  });

  const rows = async (database: TestDatabase): Promise<string[]> => (await query<{ r: string }>(database, 'SELECT p::text AS r FROM people p ORDER BY id')).map(({ r }) => r);
  const plan = (more = 'checks: { max_speed: 50/s }'): string => `migration: ${name}\ndatasets:\n  people: { source: { connection: legacy }, target: { connection: new } }\n${more}\n`;
  const start = (...words: string[]): Command => {
    const command = folder.start(...words);
    started.push(command);
    return command;
  };
  /** Shows the migration until its rows are over and are being compared. */
  async function comparing(...words: string[]): Promise<Command> {
    const command = start(...words);
    await until(async () => {
      if (command.child.exitCode !== null) throw new Error(`it ended: ${command.output()}`);
      return (await query<{ phase: string }>(fresh, `SELECT phase FROM caravan.migration WHERE name = '${name}'`).catch(() => []))[0]?.phase === 'validation';
    });
    expect(await rows(fresh)).toEqual(before);
    return command;
  }
  const worker = async (): Promise<void> => {
    const command = start('worker');
    await until(() => command.output().includes('Serving'));
  };

  /** Nothing of the old side is lost, nothing of the new one is left, and every workflow has come to its own end. */
  async function expectTakenBack(): Promise<void> {
    expect([await rows(legacy), await rows(fresh)]).toEqual([before, []]);
    // Where the command carried the work out itself, nobody is left who could close them later.
    const closed = async (id: string): Promise<boolean> => (await temporal.client.workflow.getHandle(id).describe()).status.name !== 'RUNNING';
    await until(async () => (await closed(`rollback-${name}`)) && (await closed(`migration-${name}`)), 20_000);
    expect(await temporal.client.workflow.getHandle(`rollback-${name}`).result()).toMatchObject({ status: 'rolled_back' });
  }

  test('caravan run is sent the update rollback: it says so, carries the rollback to its end and exits with 4', async () => {
    const run = await comparing('run', 'plan.yaml');
    await temporal.client.workflow.getHandle(`migration-${name}`).executeUpdate('rollback', { args: [{ tier: 'immediate', by: 'ann', confirm: name }] });
    const end = await run.end;
    expect(end).toMatchObject({ code: 4, err: '' });
    expect(end.out).toContain(`A rollback has taken ${name} over (workflow rollback-${name}); showing it.`);
    expect(end.out).toContain(`${name} was rolled back by workflow rollback-${name}.`);
    await expectTakenBack();
  });

  test('caravan rollback from another shell ends caravan run with 4 as well', async () => {
    const run = await comparing('run', 'plan.yaml', '--json');
    const rollback = await folder.caravan('rollback', name, '--immediate', '--yes', '--reason', 'a test');
    expect(rollback).toMatchObject({ code: 4, err: '' });
    const end = await run.end;
    expect([end.code, JSON.parse(end.out)]).toMatchObject([4, { migration: name, status: 'rolled_back', workflowId: `rollback-${name}`, exitCode: 4 }]);
    await expectTakenBack();
  });

  test('monitoring that fails takes the migration back by itself where the plan wants it: caravan run shows that as well', async () => {
    folder.write('upstream', 'legacy');
    folder.write('plan.yaml', plan(`approach: big_bang
downtime_tolerance: 10m
probes: { home: { target: SELECT FROM not_there } }
cutover: { switch: [{ name: shop, file: { path: ${path.join(folder.dir, 'upstream')}, new: new, legacy: legacy } }], monitor: { for: 2s, every: 300ms, failures: 2, on_fail: rollback } }`));
    const end = await folder.caravan('run', 'plan.yaml');
    expect(end).toMatchObject({ code: 4, err: '' });
    expect(end.out).toContain(`A rollback has taken ${name} over (workflow rollback-${name}); showing it.`);
    await expectTakenBack();
    expect(readFileSync(path.join(folder.dir, 'upstream'), 'utf8')).toBe('legacy');
    await query(legacy, `INSERT INTO people VALUES (0, 'later@x.org')`);
    await expect(query(fresh, `INSERT INTO people VALUES (0, 'later@x.org')`)).rejects.toMatchObject({ code: '25006' });
  });

  const onTerminal = hasTerminal() ? test : test.skip;
  onTerminal('a question that waits on a terminal does not hold up the end of caravan run (needs script of util-linux)', async () => {
    folder.write('plan.yaml', plan('gates: [{ gate: go, before: finish }]'));
    const run = folder.startInTerminal('run', 'plan.yaml');
    started.push(run);
    await until(() => run.output().includes('Approve go?'));
    expect(await folder.caravan('rollback', name, '--immediate', '--yes')).toMatchObject({ code: 4, err: '' });
    const end = await run.end;
    expect(end.out).toContain(`${name} was rolled back by workflow rollback-${name}.`);
    expect(end.code).toBe(4);
  });

  onTerminal('caravan rollback asks for the name of the migration, is refused or idle after, and leaves the way free for a new start (needs script of util-linux)', async () => {
    folder.write('plan.yaml', plan('gates: [{ gate: go, before: finish }]'));
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 3, err: '' });
    expect(await folder.caravan('rollback', name, '--immediate')).toMatchObject({ code: 2, err: expect.stringContaining(`say --yes to roll ${name} back`) as string });
    const answering = async (answer: string): Promise<{ code: number | null; out: string }> => {
      const command = folder.startInTerminal('rollback', name, '--immediate');
      started.push(command);
      await until(() => command.output().includes('Type the name of the migration'));
      command.child.stdin?.write(`${answer}\r`);
      return command.end;
    };
    expect(await answering('yes')).toMatchObject({ code: 4, out: expect.stringContaining('Nothing was changed.') as string });
    expect(await rows(fresh)).toEqual(before);
    expect(await answering(name)).toMatchObject({ code: 4, out: expect.stringContaining(`${name} is rolled back: 20,000 rows removed`) as string });
    await expectTakenBack();

    const another = await folder.caravan('rollback', name, '--full', '--yes');
    expect(another).toMatchObject({ code: 3, err: expect.stringContaining('to migrate again, start the plan') as string });
    expect(await folder.caravan('rollback', name, '--immediate', '--yes')).toMatchObject({ code: 0, out: expect.stringContaining('nothing to do') as string });
    expect(await folder.caravan('run', 'plan.yaml')).toMatchObject({ code: 3, out: expect.stringContaining(`approve ${name} go`) as string });
    expect(await rows(fresh)).toEqual(before);
  });

  test('caravan start --wait shows a rollback that workers elsewhere carry out, and exits with 4', async () => {
    await worker();
    const waiting = await comparing('start', 'plan.yaml', '--wait');
    const watching = start('watch', name);
    await until(() => watching.output().includes('Running (validation)'));
    const rollback = await folder.caravan('rollback', name, '--full', '--yes');
    expect(rollback).toMatchObject({ code: 4, err: '' });
    const end = await waiting.end;
    expect(end).toMatchObject({ code: 4, err: '' });
    expect(end.out).toContain(`A rollback has taken ${name} over (workflow rollback-${name}); showing it.`);
    const watched = await watching.end;
    expect(watched).toMatchObject({ code: 4, err: '' });
    expect(watched.out).toContain(`${name} was rolled back by workflow rollback-${name}.`);
    await expectTakenBack();
  });
});

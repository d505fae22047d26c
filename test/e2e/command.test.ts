import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, testStack, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(180_000);

describe('the caravan command before anything runs', () => {
  let folder: CommandFolder;
  beforeAll(() => { folder = commandFolder(); });
  afterAll(() => folder.remove());

  test.each([
    [[], /Usage: caravan/],
    [['chek', 'plan.yaml'], /unknown command 'chek'[\s\S]*Did you mean check\?/],
    [['status', '--jsn'], /unknown option '--jsn'[\s\S]*Did you mean --json\?/],
    [['run'], /missing required argument 'plan'/],
    [['preview', 'plan.yaml', '--rows', 'many'], /whole number from 1/],
    [['resume', 'x', '--skip', '--abort'], /exclude each other/],
    [['resume', 'x', '--set', 'batch_sise=5'], /Did you mean batch_size\?/],
    [['quarantine', 'waive', 'x', '--reason', 'r'], /--dataset, --rule or --row; or --all/],
    [['resume', '--abort'], /which migration\?/],
    [['rollback', '--immediate', '--yes'], /which migration\?/],
    [['run', 'missing.yaml'], /no plan file missing\.yaml.*caravan init/],
  ])('%j is bad usage', async (args, message) => {
    const { code, err, out } = await folder.caravan(...args);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test.each(['status', 'watch', 'pause', 'resume', 'approve', 'validate', 'rollback', 'report', 'forget', 'quarantine list', 'quarantine replay'])('%s without an ID lists the migrations, and says which control store is away', async (command) => {
    const known = await folder.caravan(...command.split(' '), '--json');
    expect({ code: known.code, out: JSON.parse(known.out) as unknown }).toEqual({ code: 0, out: { migrations: [], unreachable: [] } });
    folder.env = { CARAVAN_CONNECTION_GONE: 'postgres://nobody@127.0.0.1:1/none' };
    const away = await folder.caravan(...command.split(' '));
    folder.env = {};
    expect(away.out).toContain('gone: ');
    expect(away.code).toBe(5);
  });

  test('a rollback wants to know how far back', async () => {
    const { code, err } = await folder.caravan('rollback', 'shop');
    expect(err).toContain('say which rollback: one of --immediate, --partial, --full');
    expect(code).toBe(2);
  });

  test.each([['sync', 'plan.yaml']])('%s is refused by name', async (...args) => {
    const { code, err } = await folder.caravan(...args);
    expect(err).toMatch(/not built yet/);
    expect(code).toBe(2);
  });

  test('a broken plan gives file, line, problem and the nearest name, for check and run alike', async () => {
    folder.write('bad.yaml', 'migration: shop\ndatasets:\n  users:\n    source: { conection: legacy, table: users }\n    target: { connection: new }\n');
    for (const command of ['check', 'run']) {
      const { code, out, err } = await folder.caravan(command, 'bad.yaml');
      expect(out + err).toMatch(/✗ bad\.yaml:4 {2}datasets\.users\.source\.conection: unknown key/);
      expect(out + err).toContain('Did you mean `connection`?');
      expect(code).toBe(2);
    }
    const json = await folder.caravan('check', 'bad.yaml', '--json');
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, exitCode: 2, problems: [{ severity: 'error' }, { severity: 'error' }] });
    expect(json.code).toBe(2);
  });

  test('marks are ASCII where the locale is', async () => {
    folder.env = { LANG: 'C' };
    const { out } = await folder.caravan('check', 'bad.yaml');
    folder.env = {};
    expect(out).toMatch(/^x bad\.yaml:4/m);
    expect(out).toMatch(/^[\u0000-\u007f]*$/);
  });
});

const PLAN = (target = 'items') => `migration: probe
datasets:
  items:
    source: { connection: legacy, table: items }
    target: { connection: new, table: ${target} }
`;

describe('the caravan command and live systems', () => {
  let folder: CommandFolder;
  let legacy: TestDatabase;
  let fresh: TestDatabase;
  beforeAll(async () => {
    [legacy, fresh] = await Promise.all([createDatabase('legacy', 'command'), createDatabase('new', 'command')]);
    folder = commandFolder();
  });
  beforeEach(() => {
    folder.env = { TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url };
  });
  afterAll(async () => {
    folder.remove();
    await Promise.all([legacy.drop(), fresh.drop()]);
  });

  test('an unknown connection is named, with the way to give it', async () => {
    folder.write('plan.yaml', PLAN());
    folder.env = { ...folder.env, CARAVAN_CONNECTION_LEGACY: undefined };
    const { code, err } = await folder.caravan('run', 'plan.yaml');
    expect(err).toContain('connection legacy is not known here');
    expect(err).toContain('CARAVAN_CONNECTION_LEGACY');
    expect(code).toBe(2);
  });

  test('a wrong password ends with 5 and does not show it', async () => {
    const wrong = new URL(legacy.url);
    wrong.password = 'not-the-secret';
    wrong.username = 'nobody_there';
    folder.write('plan.yaml', PLAN());
    folder.env = { ...folder.env, CARAVAN_CONNECTION_LEGACY: wrong.href };
    for (const command of [['run', 'plan.yaml'], ['check', 'plan.yaml', '--connect']]) {
      const { code, out, err } = await folder.caravan(...command);
      expect(out + err).toMatch(/✗ connection legacy/);
      expect(out + err).not.toContain('not-the-secret');
      expect(code).toBe(5);
    }
  });

  test('a server that is away ends with 5', async () => {
    folder.write('plan.yaml', PLAN());
    folder.env = { ...folder.env, CARAVAN_CONNECTION_LEGACY: 'postgres://a:b@127.0.0.1:1/none' };
    const { code, err } = await folder.caravan('run', 'plan.yaml');
    expect(err).toMatch(/connection legacy.*(cannot be reached|ECONNREFUSED)/);
    expect(code).toBe(5);
  });

  test('a Temporal that is away ends with 5', async () => {
    folder.write('plan.yaml', PLAN());
    folder.env = { ...folder.env, TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const { code, err } = await folder.caravan('run', 'plan.yaml');
    expect(err).toMatch(/Temporal/);
    expect(err).not.toMatch(/\n\s+at /);
    expect(code).toBe(5);
  });

  test('an unknown table is named before anything is admitted', async () => {
    folder.write('plan.yaml', PLAN('itemz'));
    const { code, err } = await folder.caravan('run', 'plan.yaml', '--json');
    expect(err + '').not.toMatch(/\n\s+at /);
    expect(code).toBe(2);
    const status = await folder.caravan('status', '--json');
    expect(JSON.parse(status.out)).toEqual({ migrations: [], unreachable: [] });
  });

  test('an unknown migration is refused with what there is', async () => {
    for (const command of ['status', 'resume', 'report']) {
      const { code, err } = await folder.caravan(command, 'no-such-migration');
      expect(err).toMatch(/no control store knows a migration no-such-migration/);
      expect(code).toBe(2);
    }
  });
});

import { FaultServers } from '../fixtures/fault-servers';
import { FaultTable } from '../fixtures/fault-table';
import { until } from '../fixtures/until';
import { said, WholeRun, type Command } from '../fixtures/whole-run';

// Servers and databases of its own are made in the hooks.
jest.setTimeout(300_000);

/** Workers that end and are replaced, while `caravan start --wait` looks on from elsewhere. */
describe('faults of workers', () => {
  const table = new FaultTable();
  let servers: FaultServers;
  let run: WholeRun;
  let workers: Command[];
  beforeAll(async () => { servers = await FaultServers.start(); }, 300_000);
  afterAll(async () => {
    table.print('Faults of workers');
    await servers.stop();
  }, 120_000);
  beforeEach(async () => {
    workers = [];
    run = await WholeRun.create(servers);
  });
  afterEach(async () => {
    for (const { child, end } of workers) {
      child.kill('SIGKILL');
      await end;
    }
    await run.remove();
  });

  async function startWorker(): Promise<Command> {
    const worker = run.folder.start('worker');
    workers.push(worker);
    await until(() => {
      if (worker.child.exitCode !== null) throw new Error(`the worker ended: ${worker.output()}`);
      return Promise.resolve(worker.output().includes('Serving'));
    });
    return worker;
  }
  async function copying(): Promise<Command> {
    const looking = run.folder.start('start', 'plan.yaml', '--wait');
    await until(async () => (await run.copied()) > 0);
    expect(looking.child.exitCode).toBeNull();
    return looking;
  }
  async function expectComplete(looking: Command, name: string): Promise<void> {
    const end = await looking.end;
    if (end.code !== 0) throw new Error(said(end));
    await run.expectExact();
    table.note(name, 'exact, carried on by itself');
  }

  test('the worker: kill -9, replaced by another', async () => {
    const first = await startWorker();
    const looking = await copying();
    first.child.kill('SIGKILL');
    await first.end;
    await startWorker();
    await expectComplete(looking, 'the only worker: kill -9, replaced');
  }, 900_000);

  test('one of two workers: kill -9; the other, SIGTERM, and a third goes on', async () => {
    const [first, second] = [await startWorker(), await startWorker()];
    const looking = await copying();
    first.child.kill('SIGKILL');
    const at = await run.copied();
    await until(async () => (await run.copied()) > at + 500);
    second.child.kill('SIGTERM');
    expect((await second.end).code).toBe(0);
    await startWorker();
    await expectComplete(looking, 'one of two workers: kill -9, the other drained and replaced');
  }, 900_000);
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE, WORKFLOWS, type MigrationResult } from '../../migration/protocol';
import { openDoor, type Door } from '../../workers/door';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(180_000);

let legacy: TestDatabase;
let target: TestDatabase;
let folder: string;
let door: Door;
const name = `worker_${Date.now().toString(36)}`;

beforeAll(async () => {
  [legacy, target] = await Promise.all([createDatabase('legacy', 'worker'), createDatabase('new', 'worker')]);
  folder = mkdtempSync(path.join(tmpdir(), 'caravan-worker-'));
  const table = 'CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL)';
  await query(legacy, `${table}; INSERT INTO users SELECT n, CASE WHEN n % 100 = 0 THEN 'nobody' ELSE 'user' || n || '@example.org' END FROM generate_series(1, 5000) n`);
  await query(target, table);
  door = await openDoor({
    env: { CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: target.url },
    temporal: { address: testStack().temporal, uiUrl: 'http://ui.example' }, plansFolder: folder, stagingFolder: path.join(folder, 'staging'), logLevel: 'error',
  });
});
afterAll(async () => {
  await door.close();
  await Promise.all([legacy.drop(), target.drop()]);
  rmSync(folder, { recursive: true, force: true });
});

const plan = (gates: string[]): object => ({
  migration: name, gates,
  datasets: { users: { source: { connection: 'legacy' }, target: { connection: 'new' }, validation: { formats: { email: 'email' } }, pii: ['email'] } },
});

async function refusal(handle: WorkflowHandle): Promise<string> {
  try {
    await handle.result();
  } catch (error) {
    if (error instanceof WorkflowFailedError) return `${String(error.cause?.message)} ${String(error.cause && 'type' in error.cause ? error.cause.type : '')}`;
    throw error;
  }
  throw new Error('it was not refused');
}

test('the door without a worker: connections, inventory, check, preview', async () => {
  const connections = await door.connections();
  expect(connections).toMatchObject([{ name: 'legacy', connector: 'postgres' }, { name: 'new' }]);
  expect(JSON.stringify(connections)).not.toContain('@');
  expect((await door.inventory('legacy')).tables).toMatchObject([{ table: 'users', key: ['id'], primaryKey: ['id'] }]);
  const checked = await door.checkPlan(plan([]), { connect: true, grants: true });
  expect(checked.problems.filter((problem) => problem.severity === 'error')).toEqual([]);
  expect(checked.grants.map((grant) => grant.connection)).toEqual(['legacy', 'new']);
  const [preview] = await door.preview(plan([]), { rows: 100 });
  expect(preview?.rows).toHaveLength(100);
  expect(preview?.rows[0]).toMatchObject({ before: ['1', 'user1@example.org'], after: ['1', 'user1@example.org'], reasons: [] });
  expect(preview?.rows[99]).toMatchObject({ before: ['100', 'nobody'], after: null, reasons: [{ rule: 'format:email', column: 'email' }] });
  await expect(door.report('nothing')).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
});

test('a worker runs a migration; a second start is refused with a link; a third finds nothing to do', async () => {
  const worker = await door.startWorker({ sides: [] });
  expect(worker.queues).toEqual(['caravan', 'caravan-copy']);
  const { client } = await door.temporal();
  const start = (workflowId: string): Promise<WorkflowHandle> => client.workflow.start(WORKFLOWS.migration, { workflowId, taskQueue: TASK_QUEUE, args: [{ plan: plan(['go']) }] });

  const first = await start(`${name}-1`);
  for (let wait = 0; wait < 200 && (await door.status(name)).migrations[0]?.status !== 'waiting_for_approval'; wait++) await new Promise((resolve) => setTimeout(resolve, 200));
  const refused = await refusal(await start(`${name}-2`));
  expect(refused).toContain('LEASE_HELD');
  expect(refused).toContain(`http://ui.example/namespaces/default/workflows/${name}-1`);

  await first.executeUpdate('approve', { args: [{ gate: 'go', by: 'ann' }] });
  const blocked = new Promise<never>((_resolve, reject) => {
    const look = setInterval(() => void door.status(name).then(({ migrations: [state] }) => {
      if (state?.status === 'blocked') reject(new Error(state.blocked.map((step) => `${step.step}: ${step.message}`).join('\n')));
    }, () => undefined), 500);
    void first.result().catch(() => undefined).finally(() => clearInterval(look));
  });
  expect(await Promise.race([first.result(), blocked])).toMatchObject({ status: 'complete', counts: { read: 5000, written: 4950, unchanged: 0, quarantined: 50, filtered: 0 }, openQuarantine: 50 } satisfies Partial<MigrationResult>);
  expect(await query(target, 'SELECT count(*)::int AS n FROM users')).toEqual([{ n: 4950 }]);
  expect((await door.status(name)).migrations).toMatchObject([{ status: 'complete', workflowId: `${name}-1`, progress: { datasets: [{ state: 'done' }] } }]);
  expect(await door.report(name)).toMatchObject({ plan: { migration: name }, quarantine: [{ dataset: 'users', rule: 'format:email', rows: 50, state: 'open' }] });
  const rows = await door.quarantineList({ migration: name, limit: 3 });
  expect(rows).toHaveLength(3);
  expect(JSON.stringify(rows)).not.toContain('nobody');

  expect(await (await start(`${name}-3`)).result()).toMatchObject({ status: 'nothing_to_do' });
  await worker.stop();
});

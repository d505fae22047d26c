import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { writeFileSync } from 'node:fs';
import { blockWrites } from '../../activities/connectors/postgres/write-block';
import { postgresConnector } from '../../activities/connectors/postgres';
import { PostgresSystem } from '../../activities/connectors/postgres/system';
import { CutoverRun } from '../fixtures/cutover-run';
import { query } from '../fixtures/stack';

jest.setTimeout(240_000);

let run: CutoverRun;
afterEach(() => run.close());

/** Both sides hold the same rows, but for what was written on the new side since. */
async function expectEqual(): Promise<void> {
  for (const table of ['people', 'visits'] as const) expect(await run.rows('new', table)).toEqual(await run.rows('legacy', table));
}
const blockedAt = (step: string) => run.untilState(({ blocked }) => blocked.some((one) => one.step === step)).then(({ blocked }) => blocked.find((one) => one.step === step));
const taken = (step: string) => run.untilState(({ steps = [] }) => steps.some((one) => one.step === step && one.state === 'done'));

test.each(['big_bang', 'phased'] as const)('%s: applications write until they are refused, and go on on the new side; nothing is lost in between', async (approach) => {
  run = await CutoverRun.create('cut', { approach });
  await run.write('legacy');
  await run.begin();
  await taken('block target');
  await run.write('new');
  const result = await run.result();
  await run.stop();
  expect(result).toMatchObject({ status: 'complete', comparisons: [{ verdict: 'passed' }, { verdict: 'passed' }] });
  expect(await run.writers()).toEqual(['new']);
  expect(run.upstream).toBe('new');
  await expectEqual();
  expect(run.written.legacy.length).toBeGreaterThan(0);
  expect(run.turnedOver()).toBe(true);
  const steps = await run.steps();
  expect(steps.map(({ step }) => step).slice(0, 4)).toEqual(['baseline', 'block target', 'block source', 'prove both refuse writes']);
  expect(steps.map(({ step }) => step).slice(-5)).toEqual(['switch shop', 'open target', 'prove only the target accepts writes', 'secure legacy', 'cutover complete']);
  for (const { state, evidence } of steps) expect({ state, what: evidence?.what }).toEqual({ state: 'done', what: expect.stringMatching(/\w/) as string });
});

describe('with a router behind a webhook', () => {
  let router: Server;
  let active = 'legacy';
  let broken = true;
  const env: Record<string, string> = {};
  beforeAll(async () => {
    router = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => { body += chunk.toString(); });
      request.on('end', () => {
        if (request.method === 'POST' && broken) return response.writeHead(403).end('secret-in-answer');
        if (request.method === 'POST') active = (JSON.parse(body) as { to: string }).to;
        return response.writeHead(200).end(JSON.stringify({ active }));
      });
    });
    await new Promise<void>((resolve) => router.listen(0, '127.0.0.1', resolve));
    Object.assign(env, { CARAVAN_WEBHOOK_ROUTER: `http://127.0.0.1:${(router.address() as AddressInfo).port}/`, CARAVAN_WEBHOOK_ROUTER_SECRET: 's' });
  });
  beforeEach(() => { broken = true; active = 'legacy'; });
  afterAll(() => new Promise((resolve) => router.close(resolve)));

  test('all four kinds of switch; a webhook that fails blocks with its remedy while nobody writes, and goes on when it is mended', async () => {
    run = await CutoverRun.create('four', { env: { ...env, CARAVAN_COMMAND_ROUTE: 'true' } });
    const state = path.join(run.folder, 'state');
    const file = path.join(run.folder, 'upstream');
    writeFileSync(state, 'legacy');
    run.env['CARAVAN_COMMAND_ROUTE'] = `sh -c 'if [ "$1" = read ]; then cat "${state}"; else echo "$1" > "${state}"; fi' route`;
    await query(run.databases.control, `CREATE TABLE routing (side text); INSERT INTO routing VALUES ('legacy')`);
    Object.assign(run.plan, {
      gates: [{ gate: 'go_live', before: 'switch' }, { gate: 'handed_over', before: 'finish' }],
      cutover: { switch: [
        { name: 'shop', file: { path: file, new: 'new', legacy: 'legacy' } },
        { name: 'jobs', sql: { connection: 'control', to_new: `UPDATE routing SET side = 'new'`, to_legacy: `UPDATE routing SET side = 'legacy'`, read_back: 'SELECT side FROM routing' } },
        { name: 'api', webhook: 'router' }, { name: 'batch', command: 'route' },
      ] },
    });
    await run.write('legacy');
    await run.begin();
    await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
    expect(await run.writers()).toEqual([]);
    await run.handle.executeUpdate('approve', { args: [{ gate: 'go_live', by: 'ann' }] });
    const block = await blockedAt('cutover: switch api');
    expect(block).toMatchObject({ code: 'SWITCH_FAILED', skippable: false, message: expect.stringContaining('answered 403') as string });
    expect(JSON.stringify(block)).not.toContain('secret-in-answer');
    expect(await run.writers()).toEqual([]);
    broken = false;
    await run.resolve('retry');
    await run.untilState(({ waitingFor }) => waitingFor.includes('handed_over'));
    expect(await run.writers()).toEqual(['new']);
    await run.handle.executeUpdate('approve', { args: [{ gate: 'handed_over', by: 'bob' }] });
    expect(await run.result()).toMatchObject({ status: 'complete' });
    await run.stop();
    await expectEqual();
    expect([run.upstream, active, (await query<{ side: string }>(run.databases.control, 'SELECT side FROM routing'))[0]?.side]).toEqual(['new', 'new', 'new']);
  });

  test('a cutover that outlasts downtime_tolerance is undone by itself; a retry is another try', async () => {
    run = await CutoverRun.create('late', {
      env, plan: { downtime_tolerance: '25s' },
      cutover: { switch: [{ name: 'api', webhook: 'router' }] },
    });
    await run.write('legacy');
    await run.begin();
    await blockedAt('cutover: switch api');
    expect(await run.writers()).toEqual([]);
    // Only the way back works, as where the new side's router is down.
    await run.untilState(({ steps = [] }) => steps.some(({ step }) => step === 'block source'));
    setTimeout(() => { broken = false; }, 20_000);
    const undone = await blockedAt('cutover');
    expect(undone).toMatchObject({ code: 'CUTOVER_UNDONE', message: expect.stringContaining('downtime_tolerance') as string });
    expect(await run.writers()).toEqual(['legacy']);
    expect(active).toBe('legacy');
    expect((await run.steps()).filter(({ undo, state }) => undo.do !== 'none' && state !== 'undone')).toEqual([]);
    await run.resolve('retry', 'cutover');
    expect(await run.result()).toMatchObject({ status: 'complete' });
    await run.stop();
    expect(await run.writers()).toEqual(['new']);
    await expectEqual();
  });
});

test('a target that refuses writes blocks before the downtime ends; an abort gives the old side back', async () => {
  run = await CutoverRun.create('refuse');
  const other = new PostgresSystem({ name: 'new', url: run.databases.new.url }, postgresConnector);
  await blockWrites(other, { migration: 'somebody-elses', epoch: 1, tables: [{ schema: 'public', table: 'people' }], lockTimeoutMs: 5_000 });
  await other.close();
  await run.begin();
  expect(await blockedAt('cutover: prove only the target accepts writes')).toMatchObject({ code: 'WRITES_REFUSED', message: expect.stringContaining('somebody-elses') as string });
  await run.resolve('abort');
  expect(await run.result()).toMatchObject({ status: 'aborted' });
  expect(await run.writers()).toEqual(['legacy']);
  expect(run.upstream).toBe('legacy');
});

test('probes that fail on the new side block; an abort then lists what was written there, and the next try asks about it', async () => {
  run = await CutoverRun.create('watch', {
    plan: { probes: { home: { source: 'SELECT count(*) FROM people', target: 'SELECT count(*) FROM people_of_the_future' } } },
    cutover: { monitor: { for: '2s', every: '300ms', failures: 2 } },
  });
  await run.begin();
  expect(await blockedAt('cutover: monitoring')).toMatchObject({ code: 'MONITORING_FAILED', skippable: true, message: expect.stringContaining('home') as string });
  expect(await run.writers()).toEqual(['new']);
  await query(run.databases.new, `INSERT INTO people (email) VALUES ('new-customer@x.org')`);
  await run.resolve('abort');
  expect(await run.result()).toMatchObject({ status: 'aborted' });
  expect(await run.writers()).toEqual(['legacy']);
  expect((await run.steps()).find(({ step }) => step === 'rows written on the new side')?.evidence).toMatchObject({ rows: 1, what: expect.stringContaining('people') as string });
  expect(await query(run.databases.new, `SELECT count(*)::int AS n FROM people WHERE email LIKE 'new-%'`)).toEqual([{ n: 1 }]);

  await query(run.databases.new, 'CREATE VIEW people_of_the_future AS SELECT * FROM people');
  await run.start();
  expect(await blockedAt('cutover: rows written on the new side')).toMatchObject({ code: 'VALIDATION_FAILED', skippable: true });
  expect(await run.writers()).toEqual(['legacy']);
  await run.resolve('skip');
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect(await run.writers()).toEqual(['new']);
});

test('probes that fail take the migration back by themselves where the plan wants it', async () => {
  run = await CutoverRun.create('back', {
    plan: { probes: { home: { target: 'SELECT FROM not_there' } } },
    cutover: { monitor: { for: '2s', every: '300ms', failures: 2, on_fail: 'rollback' } },
  });
  await run.begin();
  await expect(run.result()).rejects.toThrow();
  const { client } = await run.door.temporal();
  expect(await client.workflow.getHandle(`rollback-${run.name}`).result()).toMatchObject({ status: 'rolled_back', tier: 'immediate' });
  expect(await run.writers()).toEqual(['legacy']);
  expect(run.upstream).toBe('legacy');
});

test('a cancelled run and one that is terminated in the middle: the first undoes its cutover, the second has it undone by the next start', async () => {
  run = await CutoverRun.create('gone', { plan: { gates: [{ gate: 'go_live', before: 'switch' }] } });
  await run.begin();
  await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
  expect(await run.writers()).toEqual([]);
  await run.handle.cancel();
  await expect(run.result()).rejects.toThrow();
  expect(await run.writers()).toEqual(['legacy']);

  await run.start();
  await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
  const { client } = await run.door.temporal();
  await client.workflow.getHandle(`${run.handle.workflowId}/3-cutover`).terminate();
  await run.handle.terminate();
  expect(await run.writers()).toEqual([]);
  await run.start();
  await run.untilState(({ steps = [] }) => steps.some(({ step, state }) => step === 'block source' && state === 'undone'));
  await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
  await run.handle.executeUpdate('approve', { args: [{ gate: 'go_live', by: 'ann' }] });
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect(await run.writers()).toEqual(['new']);
  await expectEqual();
  await run.start();
  expect(await run.result()).toMatchObject({ status: 'nothing_to_do' });
});

import type { WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE, WORKFLOWS, type RollbackResult, type RollbackStart, type RunProgress } from '../../migration/protocol';
import { CutoverRun } from '../fixtures/cutover-run';
import { query } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(300_000);

let run: CutoverRun;
afterEach(() => run.close());

/** Everything that a table of a side holds, by SQL of its own. */
const content = async (side: 'legacy' | 'new', table: string): Promise<string[]> =>
  (await query<{ row: string }>(run.databases[side], `SELECT t.*::text AS row FROM ${table} t ORDER BY 1`)).map(({ row }) => row);
const start = async (more: Partial<RollbackStart> & Pick<RollbackStart, 'tier'>): Promise<WorkflowHandle> => {
  const { client } = await run.door.temporal();
  return client.workflow.start(WORKFLOWS.rollback, { workflowId: `rollback-${run.name}-${Date.now()}`, taskQueue: TASK_QUEUE, args: [{ migration: run.name, by: 'ann', reason: 'test', ...more } satisfies RollbackStart] });
};
const rollBack = async (more: Partial<RollbackStart> & Pick<RollbackStart, 'tier'>): Promise<RollbackResult> => (await start({ confirm: run.name, policy: 'keep_new', ...more })).result() as Promise<RollbackResult>;
/** Cut over to its end, then three kinds of writes on the new side. */
async function cutOverAndWrite(): Promise<{ people: string[]; visits: string[] }> {
  await run.begin();
  await run.result();
  const before = { people: await content('legacy', 'people'), visits: await content('legacy', 'visits') };
  await query(run.databases.new, `INSERT INTO people (email) VALUES ('fresh@x.org'); UPDATE people SET email = 'moved@x.org' WHERE id = 7; DELETE FROM people WHERE id = 8;
    INSERT INTO visits VALUES (9000, '2020-07-07')`);
  return before;
}
const exported = () => query<{ dataset: string; kind: string; key: string[] }>(run.databases.new, `SELECT dataset, kind, key FROM caravan.exported_row ORDER BY 1, 2, 3`);

test('immediate: applications work on the old side as before, and what the new side wrote is listed and kept', async () => {
  run = await CutoverRun.create('rb_now');
  const before = await cutOverAndWrite();
  const handle = await start({ tier: 'immediate', policy: 'keep_new' });
  await until(async () => (await handle.query<RunProgress>('progress')).status === 'running');
  expect(await run.writers()).toEqual(['new']);
  await expect(handle.executeUpdate('approve', { args: [{ gate: 'other', by: 'ann' }] })).rejects.toThrow();
  await handle.executeUpdate('approve', { args: [{ gate: 'rollback', by: 'ann', reason: 'too slow' }] });
  await handle.cancel();
  const result = await handle.result() as RollbackResult;
  expect(result).toMatchObject({ status: 'rolled_back', tier: 'immediate', skipped: [] });
  expect(await run.writers()).toEqual(['legacy']);
  expect(run.upstream).toBe('legacy');
  expect(await content('legacy', 'people')).toEqual(before.people);
  expect(await content('legacy', 'visits')).toEqual(before.visits);
  expect(await exported()).toEqual([
    { dataset: 'people', kind: 'deleted', key: ['8'] }, { dataset: 'people', kind: 'inserted', key: ['2001'] }, { dataset: 'people', kind: 'updated', key: ['7'] },
    { dataset: 'visits', kind: 'inserted', key: ['9000', '2020-07-07'] },
  ]);
  expect((await content('new', 'people')).sort()).toEqual(['(2001,fresh@x.org)', '(7,moved@x.org)']);
  expect((await query<{ status: string }>(run.databases.control, 'SELECT status FROM caravan.migration'))[0]).toEqual({ status: 'rolled_back' });
  expect(await rollBack({ tier: 'immediate' })).toMatchObject({ status: 'nothing_to_do' });
  await expect(rollBack({ tier: 'full' })).rejects.toMatchObject({ cause: { type: 'ROLLBACK_REFUSED', message: expect.stringContaining('start the plan') as string } });
});

test('full: what the new side wrote comes home, the rest of the old side stays, and a new start migrates again', async () => {
  run = await CutoverRun.create('rb_full');
  const before = await cutOverAndWrite();
  expect(await rollBack({ tier: 'full' })).toMatchObject({ status: 'rolled_back' });
  expect(await run.writers()).toEqual(['legacy']);
  expect(run.upstream).toBe('legacy');
  const wanted = [...before.people.filter((row) => !/^\((7|8),/.test(row)), '(7,moved@x.org)', '(2001,fresh@x.org)'].sort();
  expect((await content('legacy', 'people')).sort()).toEqual(wanted);
  expect((await content('legacy', 'visits')).sort()).toEqual([...before.visits, '(9000,2020-07-07)'].sort());
  expect(await exported()).toEqual([]);
  const [after] = await query<{ id: number }>(run.databases.legacy, `INSERT INTO people (email) VALUES ('after@x.org') RETURNING id::int AS id`);
  expect(after!.id).toBeGreaterThan(2001);
  await run.start();
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect(await run.writers()).toEqual(['new']);
  expect((await content('new', 'people')).sort()).toEqual([...wanted, `(${after!.id},after@x.org)`].sort());
});

test('partial: the chosen dataset goes back, the other stays in use on the new side', async () => {
  run = await CutoverRun.create('rb_part');
  const before = await cutOverAndWrite();
  await expect(rollBack({ tier: 'partial' })).rejects.toMatchObject({ cause: { type: 'ROLLBACK_REFUSED' } });
  await expect(rollBack({ tier: 'partial', datasets: ['nothing'] })).rejects.toMatchObject({ cause: { type: 'ROLLBACK_REFUSED' } });
  expect(await rollBack({ tier: 'partial', datasets: ['visits'] })).toMatchObject({ status: 'rolled_back', datasets: [{ dataset: 'visits', removed: 2000, conflicts: 1 }] });
  expect(run.upstream).toBe('new');
  expect(await content('new', 'visits')).toEqual(['(9000,2020-07-07)']);
  expect((await content('new', 'people')).length).toBe(2000);
  expect(await content('legacy', 'visits')).toEqual(before.visits);
  await query(run.databases.legacy, `INSERT INTO visits VALUES (1, '2020-09-09')`);
  await query(run.databases.new, `INSERT INTO people (email) VALUES ('still@x.org')`);
  await expect(query(run.databases.legacy, `INSERT INTO people (email) VALUES ('no')`)).rejects.toMatchObject({ code: '25006' });
  await expect(query(run.databases.new, `INSERT INTO visits VALUES (2, '2020-09-09')`)).rejects.toMatchObject({ code: '25006' });
});

test('rows that others changed block where the plan says so; a person decides, and abort is refused', async () => {
  run = await CutoverRun.create('rb_stop');
  await cutOverAndWrite();
  run.handle = await start({ tier: 'immediate', confirm: run.name });
  await run.untilState(({ blocked }) => blocked.some(({ code }) => code === 'ROLLBACK_CONFLICT'));
  // The applications do not wait for that.
  expect(await run.writers()).toEqual(['legacy']);
  await expect(run.resolve('abort')).rejects.toThrow();
  for (let conflicts = 0; conflicts < 2; conflicts += 1) {
    const { blocked } = await run.untilState((progress) => progress.blocked.length > 0);
    await run.handle.executeUpdate('resolveStep', { args: [{ action: 'retry', by: 'ann', step: blocked[0]?.step, overrides: { changedRows: 'restore_old' } }] });
    await run.untilState(({ blocked: now }) => now[0]?.step !== blocked[0]?.step || now.length === 0).catch(() => undefined);
  }
  expect(await run.handle.result()).toMatchObject({ status: 'rolled_back' });
  expect(await content('new', 'people')).toEqual(['(2001,fresh@x.org)']);
});

test('a run that is under way is ended by its rollback, and starts again as a new generation', async () => {
  run = await CutoverRun.create('rb_mid', { approach: 'phased', cutover: {}, plan: { gates: [{ gate: 'go_live', before: 'switch' }] } });
  const before = await (async () => ({ people: await content('legacy', 'people'), visits: await content('legacy', 'visits') }))();
  await run.begin();
  await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
  expect(await run.writers()).toEqual([]);
  expect(await rollBack({ tier: 'immediate' })).toMatchObject({ status: 'rolled_back' });
  await expect(run.result()).rejects.toMatchObject({ cause: { type: 'LEASE_LOST' } });
  expect(await run.writers()).toEqual(['legacy']);
  expect([await content('new', 'people'), await content('new', 'visits')]).toEqual([[], []]);
  expect([await content('legacy', 'people'), await content('legacy', 'visits')]).toEqual([before.people, before.visits]);
});

test('the update rollback hands a run with an open cutover over: it ends as rolled back, with its applications on the old side', async () => {
  run = await CutoverRun.create('rb_ask', { approach: 'phased', cutover: {}, plan: { gates: [{ gate: 'go_live', before: 'switch' }] } });
  const before = { people: await content('legacy', 'people'), visits: await content('legacy', 'visits') };
  await run.begin();
  await run.untilState(({ waitingFor }) => waitingFor.includes('go_live'));
  await expect(run.handle.executeUpdate('rollback', { args: [{ tier: 'immediate', by: 'ann' }] })).rejects.toMatchObject({ cause: { message: expect.stringContaining(run.name) as string } });
  expect(await run.writers()).toEqual([]);
  await run.handle.executeUpdate('rollback', { args: [{ tier: 'immediate', by: 'ann', reason: 'too slow', confirm: run.name }] });
  const { client } = await run.door.temporal();
  const workflowId = `rollback-${run.name}`;
  expect(await run.result()).toMatchObject({ status: 'rolled_back', rollback: { workflowId, by: 'ann' } });
  expect(await client.workflow.getHandle(workflowId).result()).toMatchObject({ status: 'rolled_back', tier: 'immediate' });
  expect(await run.writers()).toEqual(['legacy']);
  expect([await content('new', 'people'), await content('new', 'visits')]).toEqual([[], []]);
  expect([await content('legacy', 'people'), await content('legacy', 'visits')]).toEqual([before.people, before.visits]);
  expect((await run.steps()).filter(({ step }) => step.startsWith('undo') || step === 'rollback complete')).toMatchObject([{ step: 'rollback complete', state: 'done' }]);
  expect((await query<{ status: string }>(run.databases.control, 'SELECT status FROM caravan.migration'))[0]).toEqual({ status: 'rolled_back' });
});

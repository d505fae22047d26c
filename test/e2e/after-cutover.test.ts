import { Client } from 'pg';
import { TASK_QUEUE, WORKFLOWS, type RollbackResult } from '../../migration/protocol';
import { parsePlan } from '../../migration/plan/parse';
import { CutoverRun, type SideName } from '../fixtures/cutover-run';
import { query } from '../fixtures/stack';

jest.setTimeout(300_000);

let run: CutoverRun;
afterEach(() => run.close());

const content = async (side: SideName, table: string): Promise<string[]> =>
  (await query<{ row: string }>(run.databases[side], `SELECT t.*::text AS row FROM ${table} t ORDER BY 1`)).map(({ row }) => row);
const generations = () => query(run.databases.new, 'SELECT dataset, generation, state FROM caravan.dataset ORDER BY 1');
const sides = async () => (await run.door.status(run.name)).migrations[0]?.sides;
const takeBack = async (dataset: string): Promise<RollbackResult> => {
  const { client } = await run.door.temporal();
  return client.workflow.execute(WORKFLOWS.rollback, { workflowId: `rollback-${run.name}-${Date.now()}`, taskQueue: TASK_QUEUE, args: [{ migration: run.name, tier: 'partial', datasets: [dataset], by: 'ann', confirm: run.name, policy: 'keep_new' }] }) as Promise<RollbackResult>;
};
/** Which side takes a write to the table? */
const writers = async (table: 'people' | 'visits'): Promise<SideName[]> => {
  const found: SideName[] = [];
  for (const side of ['legacy', 'new'] as const) {
    const refused = await query(run.databases[side], `DELETE FROM ${table} WHERE id = -1`).then(() => null, (error: unknown) => (error as { code?: string }).code);
    if (refused === null) found.push(side);
    else expect(refused).toBe('25006');
  }
  return found;
};

test('after a partial rollback a new start moves what was taken back again, and nothing else; a cutover of it that is taken back leaves the rest in use', async () => {
  run = await CutoverRun.create('again', {
    cutover: { lock_timeout: '2s' },
    plan: { checks: { business_rules: { people: 'SELECT count(*) FROM people', visits: 'SELECT count(*) FROM visits' } }, gates: [] },
  });
  await run.begin();
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect(await sides()).toEqual({ old: [], new: ['people', 'visits'] });
  await query(run.databases.new, `INSERT INTO people (email) VALUES ('new-fresh@x.org')`);

  expect(await takeBack('visits')).toMatchObject({ status: 'rolled_back' });
  expect(await sides()).toEqual({ old: ['visits'], new: ['people'] });
  expect([await writers('people'), await writers('visits')]).toEqual([['new'], ['legacy']]);
  await query(run.databases.legacy, `INSERT INTO visits VALUES (1, '2020-09-09'); DELETE FROM visits WHERE id = 2`);
  await query(run.databases.new, `UPDATE people SET email = 'new-moved@x.org' WHERE id = 7`);

  // A cutover that cannot be carried out is taken back: each dataset stays where it was.
  const writer = new Client({ connectionString: run.databases.legacy.url });
  await writer.connect();
  await writer.query(`BEGIN; INSERT INTO visits VALUES (3, '2020-10-10')`);
  await run.start();
  await run.untilState(({ blocked }) => blocked.some(({ code }) => code === 'SYSTEM_BUSY'));
  await run.resolve('abort');
  expect(await run.result()).toMatchObject({ status: 'aborted' });
  await writer.query('COMMIT');
  await writer.end();
  expect([await writers('people'), await writers('visits')]).toEqual([['new'], ['legacy']]);
  expect(run.upstream).toBe('new');
  expect(await sides()).toEqual({ old: ['visits'], new: ['people'] });

  await run.start();
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect([await writers('people'), await writers('visits')]).toEqual([['new'], ['new']]);
  expect(await sides()).toEqual({ old: [], new: ['people', 'visits'] });
  expect(await content('new', 'visits')).toEqual(await content('legacy', 'visits'));
  expect((await content('new', 'people')).filter((row) => row.includes('new-'))).toEqual(['(2001,new-fresh@x.org)', '(7,new-moved@x.org)']);
  expect(await generations()).toEqual([{ dataset: 'people', generation: 1, state: 'closed' }, { dataset: 'visits', generation: 2, state: 'closed' }]);
  expect((await run.steps()).filter(({ step, state }) => step === 'cutover complete' && state === 'done').length).toBe(2);
  await run.start();
  expect(await run.result()).toMatchObject({ status: 'nothing_to_do' });
});

test('a plan whose datasets change after the cutover is refused, by amend and at a start, before anything is changed; what was taken back may change', async () => {
  run = await CutoverRun.create('late');
  await run.begin();
  await run.result();
  const plan = run.plan as { datasets: Record<string, object> };
  const edited = (datasets: object, more: object = {}) => ({ ...plan, datasets: { ...plan.datasets, ...datasets }, ...more });
  const lower = { source: { connection: 'legacy' }, target: { connection: 'new' }, transformations: [{ old_field: 'email', new_field: 'email', transform: 'lower' }] };
  const state = () => query(run.databases.control, `SELECT plan_hash, (SELECT count(*)::int FROM caravan.audit WHERE event = 'amended') AS amended FROM caravan.migration`);
  const before = await state();
  const formerHash = (await run.door.proposeAmendment(parsePlan(plan).plan))?.formerHash ?? '';

  for (const [again, expected] of [
    [edited({ people: lower }), /the cutover of \S+ is complete, and applications write to people on the new side.*rollback \S+ --partial --dataset people.*then amend/],
    [edited({ extra: { ...lower, transformations: [], source: { connection: 'legacy', table: 'people' } } }), /extra would not be moved any more.*plan of their own/],
    [{ ...plan, datasets: { people: plan.datasets['people'] } }, /without visits in the plan, a rollback would leave it/],
  ] as const) {
    const parsed = parsePlan(again).plan;
    expect((await run.door.proposeAmendment(parsed))?.refusals).toEqual([expect.stringMatching(expected)]);
    await expect(run.door.amend(parsed, { by: 'ann', formerHash })).rejects.toMatchObject({ code: 'PLAN_CHANGED', message: expect.stringMatching(expected) as string });
    await run.start({ plan: again });
    await expect(run.result()).rejects.toMatchObject({ cause: { type: 'PLAN_CHANGED', message: expect.stringMatching(expected) as string } });
  }
  expect((await run.door.proposeAmendment(parsePlan(plan).plan, ['visits']))?.refusals).toEqual([expect.stringMatching(/applications write to visits/)]);
  expect((await run.door.proposeAmendment(parsePlan(edited({}, { batch: { batch_size: 700 } })).plan))?.refusals).toEqual([]);
  expect(await state()).toEqual(before);

  await takeBack('people');
  const amended = edited({ people: lower });
  await query(run.databases.legacy, `UPDATE people SET email = 'LOUD@X.org' WHERE id = 1`);
  await run.door.amend(parsePlan(amended).plan, { by: 'ann', formerHash });
  await run.start({ plan: amended });
  expect(await run.result()).toMatchObject({ status: 'complete' });
  expect(await query(run.databases.new, 'SELECT email FROM people WHERE id = 1')).toEqual([{ email: 'loud@x.org' }]);
  expect(await generations()).toMatchObject([{ dataset: 'people', generation: 2 }, { dataset: 'visits', generation: 1 }]);
});

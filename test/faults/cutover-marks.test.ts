import { Client } from 'pg';
import { CUTOVER_STEPS, COMPLETE_STEP, switchStepName, undoStepName } from '../../migration/cutover-steps';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { CutoverRun } from '../fixtures/cutover-run';
import { query, testStack } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(900_000);

/** Marks at which the target need not refuse yet. */
const OPENING: string[] = [CUTOVER_STEPS.baseline, CUTOVER_STEPS.blockTarget];

/** kill -9 of the worker at every mark of a cutover, and of its undo: never two writers, and exactly one at the end. */
describe('a worker that is killed at every mark', () => {
  let run: CutoverRun;
  let folder: CommandFolder;
  let judge: Client;
  let worker: ReturnType<CommandFolder['start']>;
  const killed: string[] = [];

  async function begin(options: Parameters<typeof CutoverRun.create>[1]): Promise<void> {
    run = await CutoverRun.create('marks', options);
    folder = commandFolder({ ...run.env, TEMPORAL_ADDRESS: testStack().temporal, TEMPORAL_NAMESPACE: run.namespace });
    judge = new Client({ connectionString: run.databases.control.url });
    await judge.connect();
    killed.length = 0;
    worker = folder.start('worker');
    await run.start();
  }
  afterEach(async () => {
    worker.child.kill('SIGKILL');
    await judge.end();
    await run.close();
    folder.remove();
  });

  const isOpen = async (step: string): Promise<boolean> => {
    const { rows } = await judge.query<{ there: boolean }>(`SELECT to_regclass('caravan.step') IS NOT NULL AS there`);
    return rows[0]?.there === true && (await judge.query('SELECT FROM caravan.step WHERE step = $1', [step])).rowCount === 1;
  };

  /** Kills the worker as soon as the step is on record, looks who takes writes, and starts another worker. */
  async function killAt(step: string): Promise<void> {
    await until(() => isOpen(step), 180_000).catch(async (error: Error) => { throw new Error(`${step}: ${error.message}; ${JSON.stringify((await run.steps()).map((one) => `${one.step} ${one.state}`))}; ${worker.output().slice(-500)}`); });
    worker.child.kill('SIGKILL');
    await worker.end;
    killed.push(step);
    // Before the cutover began nothing refuses; from then on never both take writes.
    if (!OPENING.includes(step)) expect({ step, two: (await run.writers()).length > 1 }).toEqual({ step, two: false });
    worker = folder.start('worker');
  }

  test('on the way forward: the new side is the one writer', async () => {
    await begin({ approach: 'phased' });
    await run.write('legacy');
    const marks = [
      CUTOVER_STEPS.baseline, CUTOVER_STEPS.blockTarget, CUTOVER_STEPS.blockSource, CUTOVER_STEPS.prove, CUTOVER_STEPS.sequences, CUTOVER_STEPS.sync, CUTOVER_STEPS.sequencesAgain, switchStepName('shop'),
      CUTOVER_STEPS.openTarget, CUTOVER_STEPS.proveOpen, CUTOVER_STEPS.legacy, COMPLETE_STEP,
    ];
    for (const mark of marks) await killAt(mark);
    expect(await run.result()).toMatchObject({ status: 'complete' });
    await run.stop();
    expect(killed).toEqual(marks);
    expect(await run.writers()).toEqual(['new']);
    expect(run.upstream).toBe('new');
    for (const table of ['people', 'visits'] as const) expect(await run.rows('new', table)).toEqual(await run.rows('legacy', table));
  });

  test('what other workflows do for the cutover, a gate and the monitoring window are marks as well', async () => {
    await begin({
      plan: { gates: [{ gate: 'go', before: 'switch' }], probes: { home: { source: 'SELECT count(*) FROM people', target: 'SELECT count(*) FROM people' } } },
      cutover: { monitor: { for: '1s', every: '200ms', slower_by: '10000%' } },
    });
    await run.write('legacy');
    for (const mark of [CUTOVER_STEPS.move, CUTOVER_STEPS.sync, CUTOVER_STEPS.validate]) await killAt(mark);
    await run.untilState(({ status }) => status === 'waiting_for_approval');
    worker.child.kill('SIGKILL');
    await worker.end;
    expect(await run.writers()).toEqual([]);
    worker = folder.start('worker');
    await run.handle.executeUpdate('approve', { args: [{ gate: 'go', by: 'ann' }] });
    for (const mark of [CUTOVER_STEPS.gates, CUTOVER_STEPS.monitor]) await killAt(mark);
    expect(await run.result()).toMatchObject({ status: 'complete' });
    await run.stop();
    expect(killed).toEqual([CUTOVER_STEPS.move, CUTOVER_STEPS.sync, CUTOVER_STEPS.validate, CUTOVER_STEPS.gates, CUTOVER_STEPS.monitor]);
    expect(await run.writers()).toEqual(['new']);
    expect(run.upstream).toBe('new');
    for (const table of ['people', 'visits'] as const) expect(await run.rows('new', table)).toEqual(await run.rows('legacy', table));
  });

  test('on the way back: the old side is the one writer, and what was written on the new side is listed', async () => {
    await begin({ plan: { probes: { home: { target: 'SELECT FROM not_there' } } }, cutover: { monitor: { for: '1s', every: '100ms', failures: 1 } } });
    await run.untilState(({ blocked }) => blocked.some(({ code }) => code === 'MONITORING_FAILED'));
    await query(run.databases.new, `INSERT INTO people (email) VALUES ('new-customer@x.org')`);
    await run.resolve('abort');
    const marks = [undoStepName(CUTOVER_STEPS.openTarget), CUTOVER_STEPS.newRows, undoStepName(switchStepName('shop')), undoStepName(CUTOVER_STEPS.blockSource)];
    for (const mark of marks) await killAt(mark);
    expect(await run.result()).toMatchObject({ status: 'aborted' });
    expect(killed).toEqual(marks);
    expect(await run.writers()).toEqual(['legacy']);
    expect(run.upstream).toBe('legacy');
    expect((await run.steps()).find(({ step }) => step === CUTOVER_STEPS.newRows)?.evidence).toMatchObject({ rows: 1 });
  });
});

import { createActivities } from '../../activities';
import { forgetRuns } from '../../activities/run-context';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };

/** What changes under a migration between two of its steps must be noticed before a row is touched. */
describe('changes under way', () => {
  let run: ActivitiesRun;
  let tables = 0;
  beforeAll(async () => { run = await activitiesRun('changes'); }, 60_000);
  afterAll(() => run.close());

  async function prepared(): Promise<{ ref: RunRef; dataset: string }> {
    const dataset = `t${++tables}`;
    await run.legacy.query(`CREATE TABLE ${dataset} (id int PRIMARY KEY, v text); INSERT INTO ${dataset} SELECT g, 'v' || g FROM generate_series(1, 500) g`);
    await run.target.query(`CREATE TABLE ${dataset} (id int PRIMARY KEY, v text)`);
    const { ref } = await run.admit({ migration: `changes-${dataset}`, batch: { batch_size: 50, checkpoint_interval: 100 }, datasets: { [dataset]: sides } });
    await run.call(run.activities.analyzeSchema, ref);
    return { ref, dataset };
  }
  const rowsOf = async (dataset: string) => (await run.target.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${dataset}`)).rows[0]?.n;

  test.each([
    ['source', 'ALTER TABLE % RENAME v TO w', 'ALTER TABLE % RENAME w TO v', 'source column v is gone; source column w is new'],
    ['target', 'ALTER TABLE % ADD extra text', 'ALTER TABLE % DROP extra', 'target column extra is new'],
  ])('a column of the %s that changes between preparation and copy stops the dataset, until it is put back', async (side, change, back, says) => {
    const input = await prepared();
    const client = side === 'source' ? run.legacy : run.target;
    await client.query(change.replace('%', input.dataset));
    await expect(run.call(run.activities.openDataset, input)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED', message: expect.stringContaining(says) as string });
    expect(await rowsOf(input.dataset)).toBe(0);
    await client.query(back.replace('%', input.dataset));
    await run.copy(input.ref, input.dataset);
    expect(await rowsOf(input.dataset)).toBe(500);
  }, 60_000);

  test('another build of Caravan does not go on with a copy, neither at a slice nor at its opening', async () => {
    const { ref, dataset } = await prepared();
    const opened = await run.call(run.activities.openDataset, { ref, dataset });
    const slice = { ref, dataset, generation: opened.generation, ordinal: 0, sliceMs: 0 };
    await run.call(run.activities.copySplit, slice);
    const before = await rowsOf(dataset);
    const newer = createActivities({ ...run.deps, engineVersion: 'newer' });
    forgetRuns(run.deps);
    await expect(run.call(newer.copySplit, slice)).rejects.toMatchObject({ code: 'ENGINE_MISMATCH' });
    await expect(run.call(newer.openDataset, { ref, dataset })).rejects.toMatchObject({ code: 'ENGINE_MISMATCH' });
    expect(await rowsOf(dataset)).toBe(before);
    await run.copy(ref, dataset);
    expect(await rowsOf(dataset)).toBe(500);
  }, 60_000);
});

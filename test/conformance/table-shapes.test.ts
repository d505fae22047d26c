import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { rowsDigest } from '../fixtures/rows-digest';
import { SHAPES, SHAPES_SETUP, shapeSql, targetSql } from '../fixtures/table-shapes';
import type { RunRef } from '../../migration/protocol';

describe.each(['pgcopy', 'values'] as const)('tables of every shape, as %s', (encoding) => {
  let run: ActivitiesRun;
  let ref: RunRef;
  beforeAll(async () => {
    run = await activitiesRun(`shapes_${encoding}`);
    run.deps.encodings = [encoding];
    await Promise.all([run.legacy.query(SHAPES_SETUP), run.target.query(SHAPES_SETUP)]);
    for (const shape of SHAPES) {
      await run.legacy.query(shapeSql(shape.source, shape.name));
      await run.target.query(targetSql(shape, shape.name));
    }
    const datasets = Object.fromEntries(SHAPES.map(({ name, selection }) => [name, { source: { connection: 'legacy', ...(selection?.query === undefined && { table: name }), ...selection }, target: { connection: 'new', table: name } }]));
    ({ ref } = await run.admit({ migration: `shapes-${encoding}`, batch: { batch_size: 23, checkpoint_interval: 60 }, datasets }));
  }, 120_000);
  afterAll(() => run.close());

  test.each(SHAPES.map((shape) => [shape.name, shape] as const))('%s: every row arrives, once', async (name, shape) => {
    const opened = await run.copy(ref, name);
    expect(opened.keyed).toBe(shape.key !== null);
    const key = await run.target.query<{ source_key: string[] | null }>('SELECT source_key FROM caravan.dataset WHERE dataset = $1', [name]);
    expect(key.rows[0]?.source_key ?? null).toEqual(shape.key);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    const source = await rowsDigest(run.legacy, shapeSql(shape.rows ?? '{table}', name), run.target, name);
    expect(await rowsDigest(run.target, name, run.target, name)).toEqual(source);
    const { rows: [counted] } = await run.target.query(`SELECT sum(read_rows)::int AS read, sum(written_rows)::int AS written FROM caravan.split WHERE dataset = $1`, [name]);
    expect(counted).toEqual({ read: source.rows, written: source.rows });
    const checks = encoding === 'pgcopy' ? [run.activities.compareCounts, run.activities.compareSample] : [];
    for (const check of checks) expect(await run.call(check, { ref, dataset: name })).toMatchObject({ verdict: 'passed' });
    expect(await run.call(run.activities.compareRows, { ref, dataset: name, repair: false })).toMatchObject({ verdict: 'passed', compared: source.rows });
  }, 60_000);
});

import type { RunRef } from '../../migration/protocol';
import { closeDataset } from '../../activities/close-dataset';
import { settleReferences } from '../../activities/settle-references';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

/** Rules that the source itself has not proved: its rows may break them. A check goes down to children, which are loaded at other times. */
const LEGACY = `
  CREATE TABLE parent (id int PRIMARY KEY, amount int);
  CREATE TABLE child () INHERITS (parent);
  CREATE TABLE proved () INHERITS (parent);
  CREATE TABLE orders (id int PRIMARY KEY, parent_id int);
  INSERT INTO parent VALUES (1, -1), (2, 2); INSERT INTO child VALUES (3, -3); INSERT INTO proved VALUES (4, 4); INSERT INTO orders VALUES (1, 1), (2, 99);
  ALTER TABLE proved ADD CONSTRAINT positive CHECK (amount > 0);
  ALTER TABLE parent ADD CONSTRAINT positive CHECK (amount > 0) NOT VALID;
  COMMENT ON CONSTRAINT positive ON parent IS 'since version 2';
  ALTER TABLE orders ADD CONSTRAINT orders_parent FOREIGN KEY (parent_id) REFERENCES parent NOT VALID`;

const RULES = `SELECT conrelid::regclass::text AS "table", conname, pg_get_constraintdef(oid) AS definition, convalidated, obj_description(oid, 'pg_constraint') AS comment
  FROM pg_constraint WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace ORDER BY 1, 2`;

let run: ActivitiesRun;

beforeEach(async () => {
  run = await activitiesRun('unproved');
  await run.legacy.query(LEGACY);
});
afterEach(() => run.close());

async function load(ref: RunRef, dataset: string): Promise<void> {
  await run.copy(ref, dataset);
  await run.call((input: { ref: RunRef; dataset: string }) => closeDataset(run.deps, input), { ref, dataset });
  await run.call((input: { ref: RunRef; datasets: string[] }) => settleReferences(run.deps, input), { ref, datasets: [dataset] });
}

test('rows that break a check or a foreign key which the source has not proved are carried, and the rules hold from then on', async () => {
  const names = ['parent', 'child', 'proved', 'orders'];
  const datasets = Object.fromEntries(names.map((name) => [name, { source: { connection: 'legacy' }, target: { connection: 'new' } }]));
  const { ref } = await run.admit({ migration: 'unproved', schema: 'create', datasets });
  await run.call(run.activities.createSchema, ref);
  for (const name of names) await load(ref, name);
  for (const name of names) {
    const rows = `SELECT * FROM ONLY ${name} ORDER BY 1`;
    expect((await run.target.query(rows)).rows).toEqual((await run.legacy.query(rows)).rows);
  }
  expect((await run.target.query('SELECT count(*)::int AS rows FROM caravan.quarantine')).rows).toEqual([{ rows: 0 }]);
  const rules = (await run.legacy.query(RULES)).rows;
  expect(rules).toHaveLength(4);
  expect((await run.target.query(RULES)).rows).toEqual(rules);
  await expect(run.target.query('INSERT INTO child VALUES (9, -9)')).rejects.toMatchObject({ code: '23514' });
});

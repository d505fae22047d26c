import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, query, testStack, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(240_000);

const TABLES = `CREATE TABLE people (id bigint PRIMARY KEY, email text UNIQUE, joined timestamptz); CREATE TABLE payments (id bigint PRIMARY KEY, person_id bigint REFERENCES people, amount numeric(20, 4));
  CREATE TABLE items (id bigint PRIMARY KEY, v text)`;
const SIDES = 'source: { connection: legacy }, target: { connection: new';

let legacy: TestDatabase;
let fresh: TestDatabase;
let folder: CommandFolder;
let name: string;
beforeEach(async () => {
  [legacy, fresh] = await Promise.all([createDatabase('legacy', 'rehearsed'), createDatabase('new', 'rehearsed')]);
  await query(legacy, `${TABLES}; INSERT INTO people SELECT g, CASE WHEN g % 50 = 0 THEN 'nomail' || g ELSE 'p' || g || '@x.org' END, now() FROM generate_series(1, 3000) g;
    INSERT INTO payments SELECT g, g % 3000 + 1, g / 7.0 FROM generate_series(1, 3000) g; INSERT INTO items SELECT g, 'v' || g FROM generate_series(1, 3000) g; ANALYZE`);
  await query(fresh, `${TABLES}; INSERT INTO items SELECT g, 'theirs' FROM generate_series(1, 3000, 3) g; INSERT INTO items VALUES (9999, 'theirs alone')`);
  folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal, CARAVAN_CONNECTION_LEGACY: legacy.url, CARAVAN_CONNECTION_NEW: fresh.url });
  name = `rehearsed-${fresh.name.slice(-8)}`;
});
afterEach(async () => {
  folder.remove();
  await Promise.all([legacy.drop(), fresh.drop()]);
});

const write = (rules: string): string => folder.write('plan.yaml', `migration: ${name}\nproject: Rehearsed\nbackup: { folder: kept }\nrehearsal: { sample: 200 }\ndatasets:
  people: { ${SIDES} }, pii: [email], ${rules} }\n  payments: { ${SIDES} }, after: [people] }\n  items: { ${SIDES}, on_conflict: update } }\n`);

test('a run with backup and rehearsal: strategy before and after, every row moved, nothing left behind', async () => {
  write('validation: { formats: { email: email } }');
  const before = await folder.caravan('report', 'plan.yaml', '--strategy');
  expect(before).toMatchObject({ code: 0 });
  expect(before.out).toMatch(/# Migration strategy: Rehearsed[^]*3,000[^]*- \[ \] A sample went through the whole process\n/);

  const run = await folder.caravan('run', 'plan.yaml', '--json');
  expect(run).toMatchObject({ code: 0 });
  expect(JSON.parse(run.out)).toMatchObject({ migration: name, status: 'complete', counts: { read: 9000 } });
  expect(await query(fresh, `SELECT (SELECT count(*) FROM items WHERE v LIKE 'v%')::int AS ours, (SELECT count(*) FROM items WHERE v LIKE 'theirs%')::int AS theirs`)).toEqual([{ ours: 3000, theirs: 1 }]);

  expect(await folder.caravan('report', name, '--strategy', '-o', 'strategy.md')).toMatchObject({ code: 0 });
  const strategy = readFileSync(path.join(folder.dir, 'strategy.md'), 'utf8');
  expect(strategy).toMatch(/- \[x\] Backup of source and target, verified by restoring it \(/);
  expect(strategy).toMatch(/- \[x\] A sample went through the whole process \(passed/);
  expect(strategy).toMatch(/- \[x\] Its rollback brought back what was there \(/);
  expect(strategy).toMatch(/- \[x\] Every row compared by hash \(3 of 3 datasets/);
  expect(strategy).not.toContain('@x.org');
  expect(existsSync(path.join(folder.dir, 'kept', name))).toBe(true);
  expect(await query(fresh, `SELECT nspname FROM pg_namespace WHERE nspname = 'caravan_rehearsal'`)).toEqual([]);
  expect(await query(fresh, `SELECT name FROM caravan.migration`)).toEqual([{ name }]);
  // Rows of the items were there before: the rehearsal merged into copies of them, and put them back.
  const [rehearsal] = await query<{ before: { dataset: string; rows: number }[]; state: string }>(fresh, `SELECT evidence->'before' AS before, state FROM caravan.rehearsal`);
  expect(rehearsal?.state).toBe('passed');
  expect(rehearsal?.before.find(({ dataset }) => dataset === 'items')?.rows).toBeGreaterThan(20);
  expect((await folder.caravan('status')).code).toBe(0);
});

test('a rehearsal that cannot go on stops the run before a row of production moved', async () => {
  write('on_invalid: fail, validation: { formats: { email: email } }');
  const run = await folder.caravan('run', 'plan.yaml');
  expect(run).toMatchObject({ code: 3 });
  expect(run.out + run.err).toContain('ROW_REFUSED');
  expect(await query(fresh, `SELECT (SELECT count(*) FROM people)::int AS people, (SELECT count(*) FROM caravan.dataset WHERE migration = '${name}')::int AS opened`)).toEqual([{ people: 0, opened: 0 }]);
});

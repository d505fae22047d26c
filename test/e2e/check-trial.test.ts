import { checkPlanLive } from '../../activities/plan-preflight';
import { planSchema } from '../../migration/plan/schema';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

let run: ActivitiesRun;

beforeEach(async () => {
  run = await activitiesRun('trial');
  await run.legacy.query(`
    CREATE TABLE people (id serial PRIMARY KEY, name text); CREATE TABLE cities (id int PRIMARY KEY, mayor int REFERENCES people);
    CREATE FUNCTION low() RETURNS int LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE AGGREGATE lowest(int) (SFUNC = int4smaller, STYPE = int);
    CREATE TYPE mood AS ENUM ('good'); CREATE VIEW moods AS SELECT 'good'::mood AS mood FROM people;
    CREATE FUNCTION broken(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n'; CREATE STATISTICS together (dependencies) ON id, mayor FROM cities;
    CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER loud BEFORE INSERT ON cities FOR EACH ROW EXECUTE FUNCTION loud()`);
});
afterEach(() => run.close());

const dataset = { source: { connection: 'legacy' }, target: { connection: 'new' } };
const parts = { types: true, sequences: true, functions: true, views: true, triggers: true };
const plan = (datasets: object, more: object = {}) => planSchema.parse({ migration: 'trial', schema: 'create', schema_objects: parts, datasets, ...more });

/** All that a trial could leave behind. */
async function contents(): Promise<unknown> {
  const { rows } = await run.target.query(`SELECT (SELECT json_agg(oid ORDER BY oid) FROM pg_class) AS relations, (SELECT json_agg(oid ORDER BY oid) FROM pg_type) AS types, (SELECT json_agg(oid ORDER BY oid) FROM pg_proc) AS functions,
    (SELECT json_agg(oid ORDER BY oid) FROM pg_namespace) AS schemas, (SELECT json_agg(oid ORDER BY oid) FROM pg_extension) AS extensions,
    (SELECT json_agg(objid ORDER BY objid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS locks`);
  return rows;
}

test('names what the target will not get, and leaves nothing behind', async () => {
  // The target already has another thing of that name.
  await run.target.query(`CREATE VIEW moods AS SELECT 1 AS other`);
  const before = await contents();
  const problems = await checkPlanLive(run.deps, plan({ cities: dataset }));
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  const told = problems.map(({ place, message }) => `${place}: ${message}`);
  expect(told).toEqual(expect.arrayContaining([
    expect.stringMatching(/^datasets\.cities\.target: not carried: foreign key cities_mayor_fkey: public\.people is not in the plan$/) as string,
    expect.stringMatching(/function public\.low\(\): it is written in C/) as string,
    expect.stringMatching(/view public\.moods: it uses public\.people, which the plan does not move/) as string,
  ]));
  expect(told.some((line) => /lowest|together|public\.loud/.test(line))).toBe(false);
  expect(await contents()).toEqual(before);

  const both = (await checkPlanLive(run.deps, plan({ people: dataset, cities: dataset }))).map(({ message }) => message);
  expect(both).toContain('not carried from legacy: view public.moods: the target has another view of this name');
  expect(both.some((line) => line.includes('cities_mayor_fkey'))).toBe(false);
  expect(await contents()).toEqual(before);
});

test('waits for nobody who writes to a table that is there, and is in nobody\'s way', async () => {
  await run.target.query('CREATE TABLE people (id int PRIMARY KEY, name text)');
  const writer = await run.target.query(`BEGIN; INSERT INTO people VALUES (1, 'Ada')`).then(() => run.target);
  try {
    const problems = await checkPlanLive(run.deps, plan({ people: { ...dataset, schema: 'given' }, cities: dataset }));
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  } finally {
    await writer.query('ROLLBACK');
  }
});

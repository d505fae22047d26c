import { Client } from 'pg';
import { checkPlanLive, planGrants } from '../../activities/plan-preflight';
import { parsePlan } from '../../migration/plan/parse';
import { revocations } from '../fixtures/revocations';
import { testStack } from '../fixtures/stack';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(180_000);

const ROLE = `caravan_least_${process.pid}`;
const OWNER = `caravan_owner_${process.pid}`;
const LEGACY = `CREATE TABLE watched (id serial PRIMARY KEY, v text); CREATE TABLE plain (id serial PRIMARY KEY, v text); CREATE TABLE made (id int PRIMARY KEY, v text);
INSERT INTO watched (v) SELECT 'w' || g FROM generate_series(1, 40) g; INSERT INTO plain (v) SELECT 'p' || g FROM generate_series(1, 40) g; INSERT INTO made SELECT g, 'm' FROM generate_series(1, 40) g`;
const TARGET = `CREATE TABLE watched (id serial PRIMARY KEY, v text); CREATE INDEX ON watched (v); CREATE TABLE plain (id serial PRIMARY KEY, v text); INSERT INTO plain VALUES (999, 'old');
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$; CREATE TRIGGER loud BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE watched OWNER TO ${OWNER}`;
const PLAN = {
  migration: 'least',
  datasets: {
    watched: { source: { connection: 'legacy' }, target: { connection: 'new' } },
    plain: { source: { connection: 'legacy' }, target: { connection: 'new', on_existing: 'replace' } },
    made: { source: { connection: 'legacy' }, target: { connection: 'new' }, schema: 'create' },
  },
};

describe('the rights that check --grants prints are enough, and each of them is needed', () => {
  let run: ActivitiesRun;
  const { plan } = parsePlan(PLAN);
  const administrators = (): Record<string, Client> => ({ legacy: run.legacy, new: run.target });
  const grantAll = async (): Promise<void> => {
    for (const { connection, sql } of await planGrants(run.deps, plan)) await administrators()[connection]?.query(sql);
  };
  // What the plan does not carry is another question.
  const problems = async () => (await checkPlanLive(run.deps, plan)).filter(({ place, message }) => place !== 'schema_objects' && !/is not analysed|does not own/.test(message));

  beforeAll(async () => {
    const { legacyUrl, newUrl } = testStack();
    for (const url of [legacyUrl, newUrl]) {
      const server = new Client({ connectionString: url });
      await server.connect();
      await server.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD 'least'; CREATE ROLE ${OWNER} NOLOGIN`);
      await server.end();
    }
    run = await activitiesRun('least', {
      through: (_, url) => {
        const own = new URL(url);
        own.username = ROLE;
        own.password = 'least';
        return Promise.resolve(own.href);
      },
    });
    await run.legacy.query(LEGACY);
    await run.target.query(TARGET);
    for (const client of Object.values(administrators())) {
      const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
      await client.query(`REVOKE ALL ON DATABASE "${rows[0]?.name ?? ''}" FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC`);
    }
  });
  afterAll(async () => {
    for (const client of Object.values(administrators())) await client.query(`DROP OWNED BY ${ROLE}, ${OWNER} CASCADE`);
    await run.close();
    const { legacyUrl, newUrl } = testStack();
    for (const url of [legacyUrl, newUrl]) {
      const server = new Client({ connectionString: url });
      await server.connect();
      await server.query(`DROP ROLE ${ROLE}; DROP ROLE ${OWNER}`);
      await server.end();
    }
  });

  test('without any right the check says so, and running what --grants prints mends it: first the way in, then what the tables need', async () => {
    expect((await checkPlanLive(run.deps, plan)).map(({ place }) => place)).toEqual(expect.arrayContaining(['connection legacy', 'connection new']));
    await grantAll();
    expect((await problems()).map(({ message }) => message).join()).toMatch(/triggers \(loud\)/);
    await grantAll();
    expect(await problems()).toEqual([]);
  });

  test('each right that is taken away is missed by the check, which names the remedy; granting again mends it', async () => {
    const unnoticed: string[] = [];
    for (const { connection, sql } of await planGrants(run.deps, plan)) {
      const admin = administrators()[connection];
      // The owner's rights come with the membership; those on its table are not needed beside it.
      for (const revoke of [...revocations(sql), ...(connection === 'new' ? [`REVOKE ${OWNER} FROM ${ROLE}`] : [])].filter((one) => !one.includes('"watched"') || connection === 'legacy')) {
        await admin?.query(revoke.replace(/^DROP SCHEMA caravan/, 'DROP SCHEMA IF EXISTS caravan'));
        const found = await problems();
        if (!found.some(({ message, remedy }) => `${message} ${remedy ?? ''}`.includes('--grants') || /permission denied for database/.test(message))) unnoticed.push(`${connection}: ${revoke}`);
        await grantAll();
        await grantAll();
      }
    }
    expect(unnoticed).toEqual([]);
    expect(await problems()).toEqual([]);
  });

  test('the whole migration runs with these rights alone, triggers off and on again', async () => {
    const { ref } = await run.admit(PLAN);
    await run.call(run.activities.createSchema, ref);
    const datasets = ['watched', 'plain', 'made'];
    for (const dataset of datasets) {
      await run.copy(ref, dataset);
      await run.call(run.activities.closeDataset, { ref, dataset });
    }
    await run.call(run.activities.settleReferences, { ref, datasets });
    for (const dataset of datasets) {
      expect(await run.call(run.activities.compareRows, { ref, dataset, repair: false })).toMatchObject({ verdict: 'passed' });
      const rows = async (client: Client) => (await client.query(`SELECT id, v FROM ${dataset} ORDER BY id`)).rows as unknown[];
      expect(await rows(run.target)).toEqual(await rows(run.legacy));
    }
    expect((await run.target.query(`SELECT tgenabled::text AS state FROM pg_trigger WHERE tgname = 'loud'`)).rows).toEqual([{ state: 'O' }]);
    expect((await run.target.query(`SELECT nextval('plain_id_seq')::int AS next`)).rows).toEqual([{ next: 41 }]);
  });
});

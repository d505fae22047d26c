import type { Client } from 'pg';
import { dryRunCutover } from '../../activities/cutover/dry-run-cutover';
import { changeSide, proveSide } from '../../activities/cutover/write-steps';
import { checkPlanLive, planGrants } from '../../activities/plan-preflight';
import { switchApplication } from '../../activities/switching/application-switch';
import { parsePlan } from '../../migration/plan/parse';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { revocations } from '../fixtures/revocations';
import { query, testStack } from '../fixtures/stack';

jest.setTimeout(180_000);

const COPIER = `copier_${process.pid}`;
const ADMIN = `cutter_${process.pid}`;
const OWNER = `shop_owner_${process.pid}`;
const ARCHIVIST = `archivist_${process.pid}`;
const ROLES = [COPIER, ADMIN, OWNER, ARCHIVIST];

const TABLES = `CREATE SCHEMA shop; CREATE TABLE shop.people (id int PRIMARY KEY, v text);
CREATE TABLE shop.visits (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE shop.visits_old PARTITION OF shop.visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
ALTER TABLE shop.people OWNER TO ${OWNER}; ALTER TABLE shop.visits OWNER TO ${OWNER}; ALTER TABLE shop.visits_old OWNER TO ${ARCHIVIST};`;
const ROUTER = `CREATE TABLE shop.router (application text PRIMARY KEY, active text); INSERT INTO shop.router VALUES ('shop', 'legacy');
CREATE TABLE shop.walled (id int PRIMARY KEY); ALTER TABLE shop.walled OWNER TO ${OWNER}; ALTER TABLE shop.walled ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.walled FORCE ROW LEVEL SECURITY`;

const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };
const PLAN = {
  migration: 'cut', downtime_tolerance: '10m',
  datasets: {
    people: { source: { connection: 'legacy', table: 'shop.people' }, target: { connection: 'new', table: 'shop.people' } },
    visits: { source: { connection: 'legacy', query: 'SELECT id, at FROM shop.visits', key: ['id', 'at'] }, target: { connection: 'new', table: 'shop.visits' } },
    made: { ...sides, source: { connection: 'legacy', table: 'shop.people' }, target: { connection: 'new', table: 'shop.made' }, schema: 'create' },
  },
  cutover: {
    also_block: ['shop.walled'],
    switch: [{ name: 'shop', sql: { connection: 'legacy', to_new: `UPDATE shop.router SET active = 'new' WHERE application = 'shop'`, to_legacy: `UPDATE shop.router SET active = 'legacy' WHERE application = 'shop'`, read_back: `SELECT active FROM shop.router WHERE application = 'shop'` } }],
  },
};

describe('the rights of a cutover', () => {
  let run: ActivitiesRun;
  const { plan } = parsePlan(PLAN);
  const administrators = (): Record<string, Client> => ({ legacy: run.legacy, new: run.target });
  const as = (role: string, url: string): string => Object.assign(new URL(url), { username: role, password: 'least' }).href;
  const grantAll = async (): Promise<void> => {
    for (const { connection, sql } of await planGrants(run.deps, plan)) await administrators()[connection]?.query(sql);
  };
  const errors = async () => (await checkPlanLive(run.deps, plan)).filter(({ severity }) => severity === 'error');
  const onServers = async (sql: string): Promise<void> => {
    for (const url of Object.values({ legacy: testStack().legacyUrl, new: testStack().newUrl })) await query({ url }, sql);
  };

  beforeAll(async () => {
    await onServers(ROLES.map((role) => `CREATE ROLE ${role} LOGIN PASSWORD 'least'`).join(';'));
    run = await activitiesRun('cut', { through: (_, url) => Promise.resolve(as(COPIER, url)), admin: (_, url) => as(ADMIN, url) });
    await run.legacy.query(`${TABLES} ${ROUTER}; INSERT INTO shop.people SELECT g, 'p' FROM generate_series(1, 9) g`);
    await run.target.query(TABLES);
    for (const client of Object.values(administrators())) {
      const { rows: [found] } = await client.query<{ name: string }>('SELECT current_database() AS name');
      await client.query(`REVOKE ALL ON DATABASE "${found?.name ?? ''}" FROM PUBLIC`);
    }
    await run.target.query(`GRANT CREATE ON SCHEMA shop TO ${COPIER}`);
  });
  afterAll(async () => {
    for (const client of Object.values(administrators())) await client.query(`DROP OWNED BY ${ROLES.join(', ')} CASCADE`);
    await run.close();
    await onServers(ROLES.map((role) => `DROP ROLE ${role}`).join(';'));
  });

  test('without any, the check names the admin user; running what --grants prints, as often as it says so, makes it pass', async () => {
    expect((await errors()).map(({ place }) => place)).toEqual(expect.arrayContaining(['connection legacy', 'connection new']));
    await grantAll();
    expect((await errors()).filter(({ place }) => place.startsWith('cutover')).length).toBeGreaterThan(0);
    for (let round = 0; round < 3; round++) await grantAll();
    expect(await errors()).toEqual([]);
  });

  test('each right of the admin user and of the switch that is taken away is named with its remedy; what is printed then gives it back', async () => {
    const unnoticed: string[] = [];
    let tried = 0;
    for (const { connection, sql } of await planGrants(run.deps, plan)) {
      for (const revoke of [...new Set(revocations(sql))].filter((one) => one.includes(`"${ADMIN}"`) || one.includes('router') || one.includes('BYPASSRLS'))) {
        // On the new side, the admin user is a member of the role that makes a table there, and has its rights.
        if (connection === 'new' && / ON /.test(revoke)) continue;
        tried += 1;
        await administrators()[connection]?.query(revoke);
        const found = await errors();
        if (!found.some(({ place, message, remedy }) => place.startsWith('cutover') && /--grants/.test(`${message} ${remedy ?? ''}`))) unnoticed.push(`${connection}: ${revoke}: ${JSON.stringify(found)}`);
        await grantAll();
        await grantAll();
        expect({ revoke, left: await errors() }).toEqual({ revoke, left: [] });
      }
    }
    expect(unnoticed).toEqual([]);
    expect(tried).toBeGreaterThanOrEqual(12);
  });

  test('the write block is installed, proved and lifted under that role, and the application switched; a right that is lacking is named in the same words by the dry run', async () => {
    const { ref } = await run.admit(PLAN);
    await run.call(run.activities.createSchema, ref);
    const signal = new AbortController().signal;
    for (const [at, side] of (['target', 'source'] as const).entries()) {
      await changeSide(run.deps, side, 'block', { plan, epoch: at + 1, signal });
      expect(await proveSide(run.deps, plan, side, 'refuses')).toMatchObject({ what: expect.stringContaining('partitions included') as string });
      for (const table of ['shop.people', 'shop.visits_old']) await expect(administrators()[side === 'source' ? 'legacy' : 'new']?.query(`DELETE FROM ${table}`)).rejects.toMatchObject({ code: '25006' });
      await changeSide(run.deps, side, 'allow', { plan, epoch: at + 3, signal });
      await proveSide(run.deps, plan, side, 'accepts');
    }
    expect(await errors()).toEqual([]);
    expect(await switchApplication(run.deps, plan, 'shop', 'new')).toMatchObject({ active: 'new' });
    await switchApplication(run.deps, plan, 'shop', 'legacy');

    await run.legacy.query(`REVOKE ${ARCHIVIST} FROM ${ADMIN}`);
    const steps = await run.call((input: { ref: typeof ref }) => dryRunCutover(run.deps, input), { ref });
    expect(steps.filter(({ hinders }) => hinders !== null)).toEqual([{ step: 'block source', would: expect.any(String) as string, hinders: expect.stringMatching(/does not own shop\.visits_old and is no member of the owner archivist_\d+ .*--grants/) as string }]);
  });
});

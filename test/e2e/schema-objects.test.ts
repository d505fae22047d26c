import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { closeDataset } from '../../activities/close-dataset';
import { settleReferences } from '../../activities/settle-references';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

const ALL = { types: true, sequences: true, functions: true, views: true, materialized_views: true, rules: true, triggers: true, policies: true };
const sides = (table: string, target = table, more: object = {}): object => ({ source: { connection: 'legacy', table }, target: { connection: 'new', table: target }, ...more });

/** The view `app.totals` was made before the view it now reads, so the order of creation is of no help. */
const LEGACY = `
  CREATE SCHEMA app;
  CREATE TABLE app.users (id int PRIMARY KEY, name text NOT NULL, secret text);
  CREATE TABLE app.orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES app.users, total numeric(10,2) NOT NULL);
  CREATE TABLE app.log (id bigserial PRIMARY KEY, what text);
  CREATE FUNCTION app.rounded(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT round($1) $$;
  COMMENT ON FUNCTION app.rounded(numeric) IS 'it''s round';
  CREATE PROCEDURE app.tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM app.log; END $$;
  CREATE VIEW app.totals AS SELECT 1 AS user_id, 2.0::numeric AS total;
  CREATE VIEW app."Big Orders" WITH (security_barrier = true) AS SELECT * FROM app.orders WHERE total > 50 WITH LOCAL CHECK OPTION;
  CREATE OR REPLACE VIEW app.totals AS SELECT user_id, app.rounded(sum(total)) AS total FROM app."Big Orders" GROUP BY user_id;
  COMMENT ON VIEW app.totals IS 'sums'; COMMENT ON COLUMN app.totals.total IS 'rounded'; ALTER VIEW app."Big Orders" ALTER COLUMN total SET DEFAULT 51;
  CREATE MATERIALIZED VIEW app.ranking AS SELECT user_id, total FROM app.totals; CREATE UNIQUE INDEX ranking_user ON app.ranking (user_id);
  CREATE MATERIALIZED VIEW app.later AS SELECT count(*) FROM app.users WITH NO DATA;
  CREATE FUNCTION app.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); INSERT INTO app.log (what) VALUES (NEW.name); RETURN NEW; END $$;
  CREATE TRIGGER shout BEFORE INSERT OR UPDATE OF name ON app.users FOR EACH ROW EXECUTE FUNCTION app.shout();
  CREATE TRIGGER quiet BEFORE INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.shout(); ALTER TABLE app.orders DISABLE TRIGGER quiet;
  CREATE RULE keep AS ON DELETE TO app.orders DO INSTEAD NOTHING;
  CREATE POLICY own ON app.users FOR SELECT USING (name = current_user); ALTER TABLE app.users ENABLE ROW LEVEL SECURITY;
  INSERT INTO app.users SELECT n, 'user ' || n, 's' FROM generate_series(1, 30) n; TRUNCATE app.log;
  INSERT INTO app.orders SELECT n, n, n * 5 FROM generate_series(1, 30) n; REFRESH MATERIALIZED VIEW app.ranking;`;

let run: ActivitiesRun;
let role: string;

beforeEach(async () => {
  run = await activitiesRun('objects');
  role = `caravan_${randomBytes(4).toString('hex')}`;
  await run.legacy.query(LEGACY.replace('INSERT INTO app.users SELECT', 'ALTER TABLE app.users DISABLE TRIGGER shout; INSERT INTO app.users SELECT') + '; ALTER TABLE app.users ENABLE TRIGGER shout');
});
afterEach(() => run.close());

const plan = (more: object = {}): object => ({
  migration: 'objects', schema: 'create', schema_objects: ALL,
  datasets: { users: sides('app.users'), orders: sides('app.orders', 'app.orders', { after: ['users'] }), log: sides('app.log') }, ...more,
});

async function load(ref: RunRef, datasets: string[]): Promise<void> {
  for (const dataset of datasets) {
    await run.copy(ref, dataset);
    await run.call((input: { ref: RunRef; dataset: string }) => closeDataset(run.deps, input), { ref, dataset });
  }
}

const settle = (ref: RunRef, datasets: string[]) => run.call((input: { ref: RunRef; datasets: string[] }) => settleReferences(run.deps, input), { ref, datasets });

/** Everything that the server can tell about what is carried, in its own words. */
async function described(client: Client): Promise<string[]> {
  await client.query(`SET search_path TO ''`);
  const { rows } = await client.query<{ fact: string }>(`
    SELECT concat_ws(' ', 'view', c.relname, pg_get_viewdef(c.oid), c.reloptions, c.relispopulated, obj_description(c.oid, 'pg_class'), (SELECT string_agg(col_description(c.oid, a.attnum), ',') FROM pg_attribute a WHERE a.attrelid = c.oid),
        (SELECT string_agg(pg_get_expr(d.adbin, d.adrelid), ',') FROM pg_attrdef d WHERE d.adrelid = c.oid), (SELECT string_agg(pg_get_indexdef(i.indexrelid), ',') FROM pg_index i WHERE i.indrelid = c.oid)) AS fact
      FROM pg_class c WHERE c.relkind IN ('v', 'm') AND c.relnamespace = 'app'::regnamespace
    UNION ALL SELECT concat_ws(' ', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')) FROM pg_proc p WHERE p.pronamespace = 'app'::regnamespace
    UNION ALL SELECT concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'app'::regnamespace AND NOT t.tgisinternal
    UNION ALL SELECT concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = 'app'::regnamespace AND c.relkind = 'r'
    UNION ALL SELECT concat_ws(' ', 'policy', p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid)) FROM pg_policy p
    UNION ALL SELECT concat_ws(' ', 'row security', c.relname) FROM pg_class c WHERE c.relrowsecurity ORDER BY 1`);
  await client.query('RESET search_path');
  return rows.map(({ fact }) => fact);
}

const states = async (where = 'true'): Promise<Record<string, string>> => {
  const { rows } = await run.target.query<{ name: string; state: string }>(`SELECT kind || ' ' || name AS name, concat_ws(': ', state, reason) AS state FROM caravan.schema_object WHERE ${where} ORDER BY 1`);
  return Object.fromEntries(rows.map(({ name, state }) => [name, state]));
};

test('views, functions, triggers, rules and policies come along; triggers and rules only after the rows; a repeat changes nothing', async () => {
  const { ref } = await run.admit(plan());
  await run.call(run.activities.createSchema, ref);
  const before = await states();
  expect(before).toMatchObject({ 'view app.totals': 'made', 'trigger app.users.shout': 'waiting', 'rule app.orders.keep': 'waiting', 'materialized_view app.ranking': 'waiting', 'row_security app.users': 'waiting' });
  expect((await run.target.query(`SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'audit\\_%'`)).rows).toEqual([]);

  await load(ref, ['users', 'orders', 'log']);
  expect((await run.target.query(`SELECT count(*)::int AS rows FROM app.users WHERE name LIKE 'user %'`)).rows).toEqual([{ rows: 30 }]);
  expect(await settle(ref, ['users', 'orders', 'log'])).not.toHaveProperty('notCarried');
  expect(new Set(Object.values(await states()))).toEqual(new Set(['made']));
  expect(await described(run.target)).toEqual(await described(run.legacy));
  for (const view of ['totals', 'ranking', '"Big Orders"']) {
    const rows = `SELECT * FROM app.${view} ORDER BY 1`;
    expect((await run.target.query(rows)).rows).toEqual((await run.legacy.query(rows)).rows);
  }
  const oids = `SELECT array_agg(oid ORDER BY oid)::text AS oids FROM (SELECT oid FROM pg_trigger UNION ALL SELECT oid FROM pg_rewrite UNION ALL SELECT oid FROM pg_proc UNION ALL SELECT relfilenode FROM pg_class WHERE relkind = 'm') every`;
  const made = (await run.target.query(oids)).rows;
  await run.call(run.activities.createSchema, ref);
  await settle(ref, ['users', 'orders', 'log']);
  expect((await run.target.query(oids)).rows).toEqual(made);
});

test('what cannot come is named with the reason before anything moves, and nothing that the target has is replaced', async () => {
  await run.legacy.query(`
    CREATE FUNCTION app.low() RETURNS int LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE VIEW app.compiled AS SELECT app.low() AS n FROM app.log;
    CREATE AGGREGATE app.total(numeric) (SFUNC = numeric_add, STYPE = numeric); CREATE PUBLICATION everything FOR ALL TABLES;
    CREATE VIEW app.secrets AS SELECT secret FROM app.users; CREATE ROLE ${role}; CREATE POLICY mine ON app.orders TO ${role} USING (true);
    CREATE TABLE app.elsewhere (id int); CREATE VIEW app.other AS SELECT * FROM app.elsewhere;
    SELECT lo_create(0)`);
  const client = run.target;
  await client.query(`CREATE SCHEMA app; CREATE FUNCTION app.rounded(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT 0.0'`);
  try {
    const { ref } = await run.admit(plan({
      schema_objects: { ...ALL, rules: false },
      datasets: { users: sides('app.users', 'app.users', { transformations: [{ old_field: 'secret', new_field: 'hidden' }] }), orders: sides('app.orders', 'app.sales'), log: sides('app.log') },
    }));
    const stock = await run.call(run.activities.takeInventory, ref);
    const told = stock.problems.filter(({ place }) => place === 'schema_objects').map(({ message }) => message.replace('not carried from legacy: ', ''));
    expect(told).toEqual(expect.arrayContaining([
      "function app.low(): it is written in C: the target's server needs its library",
      expect.stringMatching(/^view app\.compiled: it uses function app\.low\(\), which is not carried: /) as string,
      'view app.secrets: it uses column secret of app.users, which the plan renames, converts or drops',
      'view app."Big Orders": it uses app.orders, which the plan renames to app.sales'.replace('app."Big Orders"', 'app.Big Orders'),
      expect.stringMatching(/^materialized view app\.ranking: it uses view app\.totals, which is not carried: /) as string,
      'view app.other: it uses app.elsewhere, which the plan does not move',
      'rule app.orders.keep: it uses app.orders, which the plan renames to app.sales',
      'publication everything: what is published is a decision of the new system',
      'large objects 1 of them: they are no rows of a table; copy them with lo_export or pg_dump --large-objects',
    ]));
    await run.call(run.activities.createSchema, ref);
    expect(await states(`name = 'app.rounded(n numeric)'`)).toEqual({ 'function app.rounded(n numeric)': 'left: the target has another function of this name' });
    expect((await client.query('SELECT app.rounded(7.5)::text AS n')).rows).toEqual([{ n: '0.0' }]);
  } finally {
    await run.legacy.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('a role that the target lacks and a failing refresh are named; the rest is made', async () => {
  await run.legacy.query(`CREATE ROLE ${role}; CREATE POLICY mine ON app.orders TO ${role} USING (true); CREATE MATERIALIZED VIEW app.broken AS SELECT 1 / (SELECT count(*) - 1 FROM app.log) AS n`);
  await run.legacy.query(`INSERT INTO app.log (what) VALUES ('one')`);
  try {
    const { ref } = await run.admit(plan());
    await run.call(run.activities.createSchema, ref);
    expect(await states(`name = 'app.orders.mine'`)).toEqual({ 'policy app.orders.mine': `left: the target has no role ${role}` });
    await load(ref, ['users', 'orders', 'log']);
    const { notCarried } = await settle(ref, ['users', 'orders', 'log']);
    expect(notCarried).toEqual([expect.stringMatching(/^materialized view app\.broken: .*22012/) as string]);
    expect(await states(`state <> 'made'`)).toEqual({ 'materialized_view app.broken': expect.stringContaining('22012') as string, 'policy app.orders.mine': expect.any(String) as string });
  } finally {
    await run.legacy.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('owners and grants come along where the target has the role', async () => {
  const other = `${role}_elsewhere`;
  const clusters = [run.legacy, run.target];
  for (const client of clusters) await client.query(`CREATE ROLE ${role}`);
  await run.legacy.query(`CREATE ROLE ${other}; ALTER TABLE app.log OWNER TO ${role}; ALTER VIEW app.totals OWNER TO ${role};
    GRANT USAGE ON SCHEMA app TO ${role}; GRANT SELECT, UPDATE (name) ON app.users TO ${role} WITH GRANT OPTION; GRANT INSERT ON app.orders TO ${other};
    REVOKE ALL ON FUNCTION app.rounded FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.rounded TO ${role}`);
  try {
    const { ref } = await run.admit(plan({ schema_objects: { ...ALL, owners: true, grants: true } }));
    await run.call(run.activities.createSchema, ref);
    expect(await states(`state = 'left' AND kind IN ('grant', 'owner')`)).toEqual({ [`grant to ${other} on app.orders`]: `left: the target has no role ${other}` });
    await load(ref, ['users', 'orders', 'log']);
    await settle(ref, ['users', 'orders', 'log']);
    const privileges = `
      SELECT c.relname AS name, pg_get_userbyid(c.relowner) AS owner, c.relacl::text AS grants, (SELECT string_agg(a.attacl::text, ',') FROM pg_attribute a WHERE a.attrelid = c.oid) AS columns
        FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relname IN ('users', 'log', 'totals', 'log_id_seq')
      UNION ALL SELECT p.proname, pg_get_userbyid(p.proowner), p.proacl::text, NULL FROM pg_proc p WHERE p.oid = 'app.rounded'::regproc
      UNION ALL SELECT n.nspname, pg_get_userbyid(n.nspowner), n.nspacl::text, NULL FROM pg_namespace n WHERE n.nspname = 'app' ORDER BY 1`;
    const wanted = (await run.legacy.query(privileges)).rows;
    expect(wanted).toHaveLength(6);
    expect((await run.target.query(privileges)).rows).toEqual(wanted);
  } finally {
    await run.legacy.query(`DROP OWNED BY ${other}; DROP ROLE ${other}`);
    for (const client of clusters) await client.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
  }
});

test('types, aggregates and sequences that no table leans on come along; a sequence is where the source has it in the end', async () => {
  await run.legacy.query(`
    CREATE TYPE app.mood AS ENUM ('good', 'bad'); CREATE DOMAIN app.percent AS int CHECK (VALUE BETWEEN 0 AND 100); COMMENT ON TYPE app.mood IS 'of people';
    CREATE AGGREGATE app.newest(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0'); COMMENT ON AGGREGATE app.newest(*) IS 'counts';
    CREATE AGGREGATE app.middle(double precision ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
    CREATE FUNCTION app.cheer(m app.mood) RETURNS app.percent LANGUAGE sql AS 'SELECT 100';
    CREATE SEQUENCE app.tickets START 5 INCREMENT 5; SELECT nextval('app.tickets'); CREATE SEQUENCE app.circle MAXVALUE 3 CYCLE; SELECT nextval('app.circle') FROM generate_series(1, 4)`);
  const { ref } = await run.admit(plan());
  await run.call(run.activities.createSchema, ref);
  await load(ref, ['users', 'orders', 'log']);
  await run.legacy.query(`SELECT nextval('app.tickets')`);
  await settle(ref, ['users', 'orders', 'log']);
  expect(await states(`state = 'left'`)).toEqual({});
  const told = `SELECT (SELECT concat_ws(' ', last_value, is_called) FROM app.tickets) AS tickets, (SELECT concat_ws(' ', last_value, is_called) FROM app.circle) AS circle, app.cheer('good') AS cheer, (SELECT app.newest(*) FROM app.users) AS users,
    (SELECT app.middle(0.5) WITHIN GROUP (ORDER BY id) FROM app.users) AS middle, obj_description('app.newest'::regproc, 'pg_proc') AS newest, obj_description('app.mood'::regtype, 'pg_type') AS mood`;
  const { rows } = await run.legacy.query(told);
  expect(rows).toEqual([{ tickets: '10 t', circle: '1 t', cheer: 100, users: '30', middle: 15, newest: 'counts', mood: 'of people' }]);
  expect((await run.target.query(told)).rows).toEqual(rows);
  // The target draws from it: a repeat does not take it back.
  await run.target.query(`SELECT nextval('app.tickets') FROM generate_series(1, 3)`);
  await settle(ref, ['users', 'orders', 'log']);
  expect((await run.target.query('SELECT last_value FROM app.tickets')).rows).toEqual([{ last_value: '25' }]);
});

test('triggers of partitions are on or off as in the source', async () => {
  await run.legacy.query(`CREATE TABLE app.parts (id int, name text) PARTITION BY LIST (id); CREATE TABLE app.part_1 PARTITION OF app.parts FOR VALUES IN (1); CREATE TABLE app.part_2 PARTITION OF app.parts FOR VALUES IN (2);
    CREATE TRIGGER loud AFTER INSERT ON app.parts FOR EACH ROW EXECUTE FUNCTION app.shout(); ALTER TABLE app.part_1 DISABLE TRIGGER loud; ALTER TABLE app.part_2 ENABLE ALWAYS TRIGGER loud`);
  const { ref } = await run.admit(plan({ datasets: { users: sides('app.users'), orders: sides('app.orders'), log: sides('app.log'), parts: sides('app.parts') } }));
  await run.call(run.activities.createSchema, ref);
  await load(ref, ['users', 'orders', 'log', 'parts']);
  await settle(ref, ['users', 'orders', 'log', 'parts']);
  const triggers = `SELECT tgrelid::regclass::text AS "table", tgenabled FROM pg_trigger WHERE tgname = 'loud' ORDER BY 1`;
  const { rows } = await run.legacy.query(triggers);
  expect(rows.map(({ tgenabled }) => tgenabled as string)).toEqual(['D', 'A', 'O']);
  expect((await run.target.query(triggers)).rows).toEqual(rows);
});

test('an attempt that dies in the middle is taken up where it ended', async () => {
  const { ref } = await run.admit(plan());
  await run.call(run.activities.createSchema, ref);
  await load(ref, ['users', 'orders', 'log']);
  // The server ends the session that makes the rule, once.
  await run.target.query(`
    CREATE FUNCTION public.die() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$;
    CREATE EVENT TRIGGER die ON ddl_command_end WHEN TAG IN ('CREATE RULE') EXECUTE FUNCTION public.die()`);
  await expect(settle(ref, ['users', 'orders', 'log'])).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
  expect(await states()).toMatchObject({ 'materialized_view app.ranking': 'made', 'rule app.orders.keep': 'waiting', 'trigger app.users.shout': 'waiting' });
  await run.target.query('DROP EVENT TRIGGER die');
  await settle(ref, ['users', 'orders', 'log']);
  expect(await states(`state <> 'made'`)).toEqual({});
  expect(await described(run.target)).toEqual(await described(run.legacy));
});

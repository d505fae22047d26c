import { asPostgres } from '../../activities/connectors/postgres/system';
import { readFindings } from '../../activities/stores/preparation-store';
import type { Findings } from '../../migration/preparation/findings';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

let run: ActivitiesRun;
beforeEach(async () => { run = await activitiesRun('prepare'); });
afterEach(() => run.close());

const SECRET = 'ann.secret@example.org';

async function assessed(plan: object): Promise<Findings> {
  const view = await run.admit({ migration: 'shop', ...plan });
  await run.call(run.activities.takeInventory, view.ref);
  const answer = await run.call(run.activities.assessPreparation, { ref: view.ref });
  expect(JSON.stringify(answer)).not.toContain('secret');
  const { findings } = await readFindings(asPostgres(run.deps.systems.open('new')), 'shop');
  expect(JSON.stringify(findings)).not.toContain('secret');
  return findings as Findings;
}

const dataset = (more: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new' }, ...more });

test('sizes, mapping, personal data both ways, indexes, systems and a forecast, without a row value', async () => {
  await run.legacy.query(`CREATE TABLE people (id bigint PRIMARY KEY, username text, contact text, note text, old_flag boolean, born date);
    INSERT INTO people SELECT g, 'u' || g, 'ann.secret' || g || '@example.org', 'note', true, '2000-01-01' FROM generate_series(1, 500) g; INSERT INTO people VALUES (0, 'ann', '${SECRET}', NULL, false, NULL); ANALYZE people`);
  await run.target.query(`CREATE TABLE people (id bigint PRIMARY KEY, user_name text, contact text, note text, born date, created_at timestamptz DEFAULT now(), comment text);
    CREATE UNIQUE INDEX people_contact ON people (contact); CREATE INDEX people_note ON people (note);
    CREATE TABLE others (id bigint PRIMARY KEY, person bigint REFERENCES people); INSERT INTO people (id) VALUES (7); INSERT INTO others VALUES (1, 7); DELETE FROM others; DELETE FROM people`);
  const found = await assessed({ datasets: { people: dataset({ priority: 'high', transformations: [{ old_field: 'username', new_field: 'user_name', transform: 'lower' }], pii: ['user_name', 'shoe_size'] }) } });
  expect(found.datasets).toEqual([expect.objectContaining({
    dataset: 'people', priority: 'high', rows: 501, key: ['id'], columns: 6, left: ['old_flag'],
    changed: [{ column: 'user_name', from: ['username'], how: 'transformed' }],
    added: [{ column: 'created_at', filled: 'default' }, { column: 'comment', filled: 'null' }],
  })]);
  expect(found.datasets[0]?.bytes).toBeGreaterThan(8_000);
  expect(found.personal_data).toEqual([
    { dataset: 'people', column: 'username', side: 'source', classes: ['name'], by: 'name', declared: true, share: null },
    { dataset: 'people', column: 'contact', side: 'source', classes: ['email'], by: 'content', declared: false, share: 1 },
    { dataset: 'people', column: 'born', side: 'source', classes: ['birth_date'], by: 'name', declared: false, share: null },
    { dataset: 'people', column: 'user_name', side: 'target', classes: ['name'], by: 'name', declared: true, share: null },
  ]);
  expect(found.problems.map(({ message }) => message).join('\n')).toMatch(/column contact looks like personal data \(email, by its content\)[^]*column born[^]*column shoe_size is declared as personal data and is in neither side/);
  expect(found.indexes.map(({ name, action }) => [name, action])).toEqual([['people_contact', 'dropped'], ['people_note', 'dropped'], ['people_pkey', 'kept']]);
  expect(found.systems).toEqual([
    expect.objectContaining({ connection: 'legacy', roles: ['source'], surplus: [expect.objectContaining({ right: 'superuser' })] }),
    expect.objectContaining({ connection: 'new', roles: ['target', 'control'], encryption: { state: 'local', version: null, cipher: null } }),
  ]);
  expect(found.systems[0]?.limits.maxConnections).toBeGreaterThan(10);
  expect(found.forecast).toMatchObject({ rows: 501, speed: { from: 'assumed' } });
  expect(found.forecast.total.highMs).toBeGreaterThan(found.forecast.total.lowMs * 4);
  expect(found.resources.connections.map(({ system }) => system)).toEqual(['legacy', 'new']);
});

test('what is foreseen for the indexes is what opening a dataset does', async () => {
  const tables = `CREATE TABLE parents (id bigint PRIMARY KEY, code text UNIQUE); CREATE TABLE lookup (id bigint PRIMARY KEY);
    CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents, code text REFERENCES parents (code), look bigint REFERENCES lookup, n int, EXCLUDE USING btree (n WITH =))`;
  await run.legacy.query(tables);
  await run.target.query(`${tables}; INSERT INTO lookup VALUES (1); CREATE INDEX children_parent ON children (parent);
    CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER audit AFTER INSERT ON children FOR EACH ROW EXECUTE FUNCTION noop();
    CREATE TABLE merged (id bigint PRIMARY KEY, v text); CREATE INDEX merged_v ON merged (v); INSERT INTO merged VALUES (9, 'theirs')`);
  await run.legacy.query('CREATE TABLE merged (id bigint PRIMARY KEY, v text)');
  const datasets = { parents: dataset(), children: dataset({ after: ['parents'] }), merged: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update' } } };
  const { indexes } = await assessed({ datasets });
  const view = await run.admit({ migration: 'shop', datasets });
  for (const name of Object.keys(datasets)) await run.call(run.activities.openDataset, { ref: view.ref, dataset: name });
  const { rows } = await run.target.query<{ name: string }>(`SELECT name FROM caravan.dropped_object WHERE migration = 'shop' ORDER BY name`);
  expect(indexes.filter(({ action }) => action !== 'kept').map(({ name }) => name).sort()).toEqual(rows.map(({ name }) => name));
  expect(rows.map(({ name }) => name)).toEqual(['audit', 'children_code_fkey', 'children_parent', 'children_parent_fkey', 'parents_code_key']);
  const why = (name: string) => indexes.find((one) => one.name === name)?.why;
  expect(why('children_look_fkey')).toContain('its other table is not loaded by this migration');
  expect(why('merged_v')).toContain('rows of others');
  expect(indexes.find(({ kind }) => kind === 'exclusion')?.action).toBe('kept');
});

test('rights: a reader that may write is told with the statement that takes it away, a writer that may not with what it lacks', async () => {
  const tables = 'CREATE TABLE users (id bigint PRIMARY KEY, v text)';
  await run.legacy.query(`${tables}; INSERT INTO users VALUES (1, 'x')`);
  await run.target.query(tables);
  const { rows: [database] } = await run.legacy.query<{ name: string }>('SELECT current_database() AS name');
  const role = `reader_${database!.name.slice(-8)}`;
  await run.legacy.query(`CREATE ROLE ${role} LOGIN PASSWORD 'pw' CREATEDB; GRANT SELECT, UPDATE ON users TO ${role}`);
  try {
    const url = new URL(asPostgres(run.deps.systems.open('legacy')).config.url);
    url.username = role;
    url.password = 'pw';
    asPostgres(run.deps.systems.open('legacy')).config.url = url.href;
    const found = await assessed({ datasets: { users: dataset() } });
    const legacy = found.systems.find(({ connection }) => connection === 'legacy');
    expect(legacy).toMatchObject({ user: role, missing: [] });
    expect(legacy?.surplus).toEqual([
      { right: 'may create databases (CREATEDB)', remedy: `ALTER ROLE "${role}" NOCREATEDB;` },
      { right: 'may UPDATE on public.users, which is only read', remedy: `REVOKE UPDATE ON "public"."users" FROM "${role}";` },
    ]);
  } finally {
    await run.legacy.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

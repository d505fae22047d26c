import { replayQuarantine } from '../../activities/quarantine';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

/** What stands around a target table: triggers of partitions, rules, foreign keys that stay. */
describe('what stands around the target', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('around');
    await run.target.query(`CREATE TABLE fired (what text);
      CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (TG_TABLE_NAME || ' ' || TG_NAME); RETURN NEW; END $$`);
  });
  afterAll(() => run.close());
  const column = async (sql: string) => (await run.target.query<{ x: unknown }>(sql)).rows.map((row) => row.x);

  async function migrate(name: string, target: object = {}): Promise<RunRef> {
    const { ref } = await run.admit({ migration: name.replaceAll('_', '-'), batch: { batch_size: 10, checkpoint_interval: 10 }, datasets: { [name]: { source: { connection: 'legacy' }, target: { connection: 'new', ...target } } } });
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    await run.call(run.activities.settleReferences, { ref, datasets: [name] });
    return ref;
  }

  test('triggers of partitions sleep during the load, and come back each as it was', async () => {
    await run.legacy.query(`CREATE TABLE parts (id int PRIMARY KEY, v text); INSERT INTO parts SELECT g, 'v' FROM generate_series(1, 60) g`);
    await run.target.query(`CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (20);
      CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (20) TO (100) PARTITION BY RANGE (id); CREATE TABLE parts_leaf PARTITION OF parts_high DEFAULT;
      CREATE TRIGGER of_root AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION fire();
      CREATE TRIGGER of_low BEFORE INSERT ON parts_low FOR EACH ROW EXECUTE FUNCTION fire();
      CREATE TRIGGER of_leaf BEFORE INSERT ON parts_leaf FOR EACH ROW EXECUTE FUNCTION fire(); ALTER TABLE parts_leaf ENABLE ALWAYS TRIGGER of_leaf;
      ALTER TABLE parts_low DISABLE TRIGGER of_root`);
    const states = `SELECT tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text AS x FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'audit\\_%' ORDER BY 1`;
    const before = await column(states);
    await migrate('parts');
    expect(await column('SELECT what AS x FROM fired')).toEqual([]);
    expect(await column('SELECT count(*)::int AS x FROM parts')).toEqual([60]);
    expect(await column(states)).toEqual(before);
    expect(before).toEqual(expect.arrayContaining(['parts_low of_root D', 'parts_leaf of_root O', 'parts_leaf of_leaf A']));
  });

  test('rules: a load passes them by, a merge with rows of others is refused before any row moves, and no replay counts what a rule swallows', async () => {
    await run.legacy.query(`CREATE TABLE ruled (id int PRIMARY KEY, v text); INSERT INTO ruled SELECT g, 'v' FROM generate_series(1, 30) g; CREATE TABLE ruled_others AS TABLE ruled; ALTER TABLE ruled_others ADD PRIMARY KEY (id)`);
    await run.target.query(`CREATE TABLE ruled (id int PRIMARY KEY, v text CHECK (v <> 'bad')); CREATE RULE nothing AS ON INSERT TO ruled DO INSTEAD NOTHING;
      CREATE TABLE ruled_others (id int PRIMARY KEY, v text); INSERT INTO ruled_others VALUES (1, 'theirs'); CREATE RULE twice AS ON INSERT TO ruled_others DO ALSO INSERT INTO fired VALUES ('rule')`);
    await run.legacy.query(`UPDATE ruled SET v = 'bad' WHERE id = 3`);
    const ref = await migrate('ruled');
    expect(await column('SELECT count(*)::int AS x FROM ruled')).toEqual([29]);
    await run.legacy.query(`UPDATE ruled SET v = 'good' WHERE id = 3`);
    await expect(replayQuarantine(run.deps, { ref, by: 'test' })).rejects.toMatchObject({ code: 'COPY_INCOMPLETE', message: expect.stringContaining('rule or trigger') as string });
    expect(await column(`SELECT state AS x FROM caravan.quarantine WHERE dataset = 'ruled'`)).toEqual(['open']);

    for (const how of [{ on_existing: 'append' }, { on_conflict: 'update' }]) {
      const { ref: refused } = await run.admit({ migration: `ruled-${Object.values(how)[0] ?? ''}`, datasets: { ruled_others: { source: { connection: 'legacy' }, target: { connection: 'new', ...how } } } });
      await expect(run.copy(refused, 'ruled_others')).rejects.toMatchObject({ code: 'MAPPING_INVALID', message: expect.stringContaining('DISABLE RULE "twice"') as string });
      await run.target.query(`DELETE FROM caravan.owned_table WHERE table_name = 'ruled_others'`);
    }
    expect(await column('SELECT id AS x FROM ruled_others')).toEqual([1]);
    expect(await column(`SELECT what AS x FROM fired WHERE what = 'rule'`)).toEqual([]);
  });

  test.each([['immediate', ''], ['deferred', 'DEFERRABLE INITIALLY DEFERRED']])('children that come before their parents into a table of others arrive all the same (%s), orphans stay in quarantine', async (name, timing) => {
    const table = `tree_${name}`;
    await run.legacy.query(`CREATE TABLE ${table} (id int PRIMARY KEY, parent int); INSERT INTO ${table} SELECT g, CASE WHEN g < 25 THEN g + 1 END FROM generate_series(1, 25) g; INSERT INTO ${table} VALUES (70, 999), (71, 70), (72, 500)`);
    await run.target.query(`CREATE TABLE ${table} (id int PRIMARY KEY, parent int REFERENCES ${table} ${timing}); INSERT INTO ${table} VALUES (500, NULL)`);
    const ref = await migrate(table, { on_conflict: 'update' });
    expect(await column(`SELECT count(*)::int AS x FROM ${table}`)).toEqual([27]);
    expect(await column(`SELECT source_key[1] AS x FROM caravan.quarantine WHERE dataset = '${table}' AND state = 'open' ORDER BY 1`)).toEqual(['70', '71']);
    expect(await run.call(run.activities.compareRows, { ref, dataset: table, repair: false })).toMatchObject({ verdict: 'explained', missing: 0, extra: 0, different: 0 });
    await run.call(run.activities.compareCounts, { ref, dataset: table });
  });
});

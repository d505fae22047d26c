import { Client } from 'pg';
import { allowWrites, blockState, blockWrites } from '../../activities/connectors/postgres/write-block';
import { proveBlocked, proveWritable } from '../../activities/connectors/postgres/write-proof';
import { asPostgres, PostgresSystem } from '../../activities/connectors/postgres/system';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { until } from '../fixtures/until';

jest.setTimeout(120_000);

const BLOCK = { migration: 'blocked', lockTimeoutMs: 10_000 };
const of = (...names: string[]) => names.map((table) => ({ schema: 'public', table }));

describe('the write block', () => {
  let run: ActivitiesRun;
  let legacy: PostgresSystem;
  let epoch = 0;
  beforeAll(async () => {
    run = await activitiesRun('write-block');
    legacy = asPostgres(run.deps.systems.open('legacy'));
    await run.legacy.query(`CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain VALUES (1, 'one');
      CREATE TABLE other (id int PRIMARY KEY); CREATE VIEW shown AS SELECT * FROM plain;
      CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (20);
      CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (20) TO (100) PARTITION BY RANGE (id); CREATE TABLE parts_leaf PARTITION OF parts_high DEFAULT;
      CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent); INSERT INTO child VALUES (1)`);
  });
  afterAll(() => run.close());
  afterEach(async () => {
    await allowWrites(legacy, { migration: 'blocked', epoch: ++epoch });
    await allowWrites(legacy, { migration: 'also', epoch: ++epoch });
  });
  const refused = (sql: string) => expect(run.legacy.query(sql)).rejects.toMatchObject({ code: '25006', constraint: 'caravan_write_block', hint: expect.stringContaining('"blocked"') as string });

  test('refuses every kind of write on every way to the rows, from a superuser in replica role, too, and lets Caravan\'s own sessions pass', async () => {
    const tables = of('plain', 'parts', 'child');
    const evidence = await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables });
    expect(evidence).toMatchObject({ tables: 3, relations: 7, definitions_blocked: true });
    for (const role of ['origin', 'replica']) {
      await run.legacy.query(`SET session_replication_role = ${role}`);
      await refused(`INSERT INTO plain VALUES (2, 'two')`);
      await refused('INSERT INTO plain SELECT * FROM plain WHERE false');
      await refused(`UPDATE shown SET v = 'x'`);
      await refused('DELETE FROM plain');
      await refused('TRUNCATE plain');
      await refused('INSERT INTO parts VALUES (5)');
      await refused('INSERT INTO parts_leaf VALUES (50)');
      await refused('TRUNCATE parts_high');
      await refused('UPDATE parent SET id = 2');
      await refused('DELETE FROM child');
    }
    await run.legacy.query('RESET session_replication_role');
    await run.legacy.query('INSERT INTO other VALUES (1); DELETE FROM other');
    expect(await proveBlocked(legacy, tables)).toMatchObject({ tried: 7, refused: 7 });
    await expect(proveWritable(legacy, tables)).rejects.toMatchObject({ code: 'WRITES_REFUSED', message: expect.stringContaining('blocked') as string });
    await legacy.use((client) => client.query(`INSERT INTO plain VALUES (9, 'worker'); DELETE FROM plain WHERE id = 9`));
  });

  test('refuses changes of definitions that would open a way around it', async () => {
    await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain', 'parts') });
    for (const sql of ['ALTER TABLE plain DISABLE TRIGGER ALL', 'DROP TABLE plain CASCADE', 'CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM (200) TO (300)', 'ALTER TABLE plain ADD COLUMN w int']) {
      await expect(run.legacy.query(sql)).rejects.toMatchObject({ code: '25006', constraint: 'caravan_write_block' });
    }
    await run.legacy.query('CREATE TABLE free (id int); ALTER TABLE free ADD COLUMN v text; DROP TABLE free');
    await allowWrites(legacy, { migration: 'blocked', epoch: ++epoch });
    await run.legacy.query('ALTER TABLE plain ADD COLUMN w int; ALTER TABLE plain DROP COLUMN w');
    expect((await run.legacy.query('SELECT FROM pg_event_trigger')).rowCount).toBe(0);
    expect((await run.legacy.query(`SELECT FROM pg_trigger WHERE tgname LIKE 'caravan%'`)).rowCount).toBe(0);
  });

  test('a later epoch stands: an older step changes nothing, the same one is a repeat', async () => {
    const first = ++epoch;
    await blockWrites(legacy, { ...BLOCK, epoch: first, tables: of('plain') });
    const state = await blockState(legacy, 'blocked');
    await blockWrites(legacy, { ...BLOCK, epoch: first, tables: of('plain') });
    expect(await blockState(legacy, 'blocked')).toEqual(state);
    const later = ++epoch;
    await allowWrites(legacy, { migration: 'blocked', epoch: later });
    await expect(blockWrites(legacy, { ...BLOCK, epoch: first, tables: of('plain') })).rejects.toMatchObject({ code: 'FENCED' });
    expect(await proveWritable(legacy, of('plain'))).toMatchObject({ accepted: 1 });
    await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain') });
    await expect(allowWrites(legacy, { migration: 'blocked', epoch: later })).rejects.toMatchObject({ code: 'FENCED' });
    expect(await proveBlocked(legacy, of('plain'))).toMatchObject({ refused: 1 });
  });

  test('allowing for one migration opens nothing that another blocks, and a part may be opened alone', async () => {
    await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain', 'other') });
    await blockWrites(legacy, { ...BLOCK, migration: 'also', epoch: ++epoch, tables: of('plain') });
    await allowWrites(legacy, { migration: 'blocked', epoch: ++epoch, tables: of('plain') });
    await proveBlocked(legacy, of('plain', 'other'));
    await expect(proveWritable(legacy, of('plain'))).rejects.toMatchObject({ code: 'WRITES_REFUSED', message: expect.stringContaining('also') as string });
    await allowWrites(legacy, { migration: 'also', epoch: ++epoch });
    await proveWritable(legacy, of('plain'));
    await proveBlocked(legacy, of('other'));
    expect(await blockState(legacy, 'blocked')).toMatchObject({ blocked: true, tables: of('other') });
  });

  test('waits for a writer under way, names it when it does not end, and changes nothing then', async () => {
    const writer = new Client({ connectionString: legacy.config.url, application_name: 'the shop' });
    await writer.connect();
    await writer.query(`BEGIN; UPDATE plain SET v = 'under way' WHERE id = 1`);
    await expect(blockWrites(legacy, { ...BLOCK, lockTimeoutMs: 300, epoch: ++epoch, tables: of('other', 'plain') }))
      .rejects.toMatchObject({ code: 'SYSTEM_BUSY', kind: 'transient', message: expect.stringMatching(/pid \d+ \(the shop\), in a transaction since/) as string });
    await proveWritable(legacy, of('other'));
    const blocking = blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain') });
    await until(async () => (await run.legacy.query(`SELECT FROM pg_locks WHERE NOT granted AND relation = 'plain'::regclass`)).rowCount === 1);
    await writer.query('COMMIT');
    await blocking;
    await writer.end();
    expect((await run.legacy.query('SELECT v FROM plain WHERE id = 1')).rows).toEqual([{ v: 'under way' }]);
    await proveBlocked(legacy, of('plain'));
  });

  test('a block that somebody switched off is found out by its proof', async () => {
    await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain', 'parts') });
    await run.legacy.query(`SET caravan.worker = 'on'; ALTER TABLE parts_leaf DISABLE TRIGGER ALL; RESET caravan.worker`);
    await expect(proveBlocked(legacy, of('plain', 'parts'))).rejects.toMatchObject({ code: 'WRITES_NOT_BLOCKED', message: expect.stringContaining('public.parts_leaf') as string });
    await blockWrites(legacy, { ...BLOCK, epoch, tables: of('plain', 'parts') });
    await proveBlocked(legacy, of('plain', 'parts'));
  });

  test('an admin user without the rights is told what is missing', async () => {
    const url = new URL(legacy.config.url);
    await run.legacy.query(`DROP ROLE IF EXISTS block_reader; CREATE ROLE block_reader LOGIN PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO block_reader`);
    url.username = 'block_reader';
    url.password = 'x';
    const weak = new PostgresSystem({ ...legacy.config, adminUrl: url.href }, legacy.connector);
    await expect(blockWrites(weak, { ...BLOCK, epoch: ++epoch, tables: of('plain') })).rejects.toMatchObject({ code: 'WRITES_NOT_BLOCKED', message: expect.stringContaining('admin_url') as string });
    await weak.close();
    await run.legacy.query('DROP OWNED BY block_reader; DROP ROLE block_reader');
  });

  test('a migration carries none of it: neither its triggers nor its schema are anybody\'s', async () => {
    await blockWrites(legacy, { ...BLOCK, epoch: ++epoch, tables: of('plain') });
    await run.target.query('DROP TABLE IF EXISTS plain');
    const { ref } = await run.admit({ migration: 'carries', schema: 'create', schema_objects: { triggers: true, functions: true, sequences: true }, datasets: { plain: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    await run.call(run.activities.createSchema, ref);
    const system = asPostgres(run.deps.systems.open('new'));
    await blockWrites(system, { ...BLOCK, migration: 'carries', epoch: 1, tables: of('plain') });
    await run.copy(ref, 'plain');
    await run.call(run.activities.closeDataset, { ref, dataset: 'plain' });
    await run.call(run.activities.settleReferences, { ref, datasets: ['plain'] });
    expect((await run.target.query('SELECT id FROM plain')).rows).toEqual([{ id: 1 }]);
    expect((await run.target.query('SELECT FROM caravan.dropped_object')).rowCount).toBe(0);
    expect((await run.target.query(`SELECT FROM pg_trigger WHERE tgrelid = 'plain'::regclass AND NOT tgisinternal`)).rowCount).toBe(1);
    await proveBlocked(system, of('plain'));
  });
});

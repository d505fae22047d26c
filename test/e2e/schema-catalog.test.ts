import { Client } from 'pg';
import { describe as describeDataset } from '../../activities/connectors/postgres/describe';
import { inventory } from '../../activities/connectors/postgres/inventory';
import { checkLedgerRights, checkServer, checkSource, checkSql, checkTarget } from '../../activities/connectors/postgres/preflight';
import { grantStatements } from '../../activities/connectors/postgres/privileges';
import { advanceSequences, readSequences } from '../../activities/connectors/postgres/sequences';
import { createDatabase, type TestDatabase } from '../fixtures/stack';

const SHOP = `
  CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
  CREATE TABLE users (id bigint PRIMARY KEY, code varchar(12) NOT NULL UNIQUE, mail email, feeling mood, moods mood[], tags int[], price numeric(12,2),
    made timestamptz(3) DEFAULT now(), twice bigint GENERATED ALWAYS AS (id * 2) STORED, serial_no int GENERATED ALWAYS AS IDENTITY, about regclass);
  INSERT INTO users (id, code) SELECT n, 'c' || n FROM generate_series(1, 50) n;
  CREATE TABLE narrow (a int NOT NULL, b text NOT NULL, c int NOT NULL, d int, e int NOT NULL, f int NOT NULL UNIQUE DEFERRABLE, UNIQUE (b), UNIQUE (a, c), UNIQUE (d));
  CREATE UNIQUE INDEX partial ON narrow (e) WHERE a > 0; CREATE UNIQUE INDEX expression ON narrow ((a + 1));
  CREATE TABLE heap (a int, b text);
  CREATE TABLE "Odd.Name" ("Id" int PRIMARY KEY);
  CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users, made date NOT NULL);
  CREATE TABLE events (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
  INSERT INTO events SELECT n, '2020-02-02' FROM generate_series(1, 7) n;
  CREATE VIEW people AS SELECT id, code FROM users;
  CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE remote (a int) SERVER far;`;

let database: TestDatabase;
let client: Client;

beforeAll(async () => {
  database = await createDatabase('legacy', 'schema_catalog');
  client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query(SHOP);
});

afterAll(async () => {
  await client?.end();
  await database?.drop();
});

const at = 'datasets.x.source';

describe('describe', () => {
  it('tells columns, kinds and wire types exactly', async () => {
    const { columns, key, rowsEstimate } = await describeDataset(client, { table: 'users' }, at);
    expect(key).toEqual(['id']);
    expect(rowsEstimate).toBe(50);
    expect(columns).toEqual([
      { name: 'id', kind: 'integer', type: 'bigint', nullable: false, wireType: 20, typeModifier: -1 },
      { name: 'code', kind: 'text', type: 'character varying(12)', nullable: false, wireType: 1043, typeModifier: 16 },
      { name: 'mail', kind: 'text', type: 'public.email', nullable: true, baseType: 'text', typeModifier: -1 },
      { name: 'feeling', kind: 'opaque', type: 'public.mood', nullable: true, typeModifier: -1 },
      { name: 'moods', kind: 'opaque', type: 'public.mood[]', nullable: true, typeModifier: -1 },
      { name: 'tags', kind: 'opaque', type: 'integer[]', nullable: true, wireType: 1007, typeModifier: -1 },
      { name: 'price', kind: 'decimal', type: 'numeric(12,2)', nullable: true, wireType: 1700, typeModifier: 786438 },
      { name: 'made', kind: 'instant', type: 'timestamp(3) with time zone', nullable: true, hasDefault: true, wireType: 1184, typeModifier: 3 },
      { name: 'twice', kind: 'integer', type: 'bigint', nullable: true, computed: true, wireType: 20, typeModifier: -1 },
      { name: 'serial_no', kind: 'integer', type: 'integer', nullable: false, hasDefault: true, identity: 'always', wireType: 23, typeModifier: -1 },
      { name: 'about', kind: 'opaque', type: 'regclass', nullable: true, namesObjects: true, typeModifier: -1 },
    ]);
  });

  it('chooses the narrowest complete immediate unique index over NOT NULL columns', async () => {
    expect((await describeDataset(client, { table: 'narrow' }, at)).key).toEqual(['b']);
    expect((await describeDataset(client, { table: 'heap' }, at)).key).toBeNull();
    expect((await describeDataset(client, { table: '"Odd.Name"' }, at)).key).toEqual(['Id']);
  });

  it('reads partitioned roots as one table, and views as queries without a key', async () => {
    expect(await describeDataset(client, { table: 'events' }, at)).toMatchObject({ key: ['id', 'at'], rowsEstimate: 7 });
    expect((await describeDataset(client, { table: 'people' }, at)).key).toBeNull();
    expect((await describeDataset(client, { table: 'people', key: ['id'] }, at)).key).toEqual(['id']);
  });

  it('reads queries, with a trailing comment and semicolon', async () => {
    const found = await describeDataset(client, { query: 'SELECT id, mail, count(*) OVER () AS n FROM users -- all;\n;', key: ['id'] }, at);
    expect(found.columns.map(({ name, kind, nullable }) => [name, kind, nullable])).toEqual([['id', 'integer', false], ['mail', 'text', true], ['n', 'integer', true]]);
    expect(found.key).toEqual(['id']);
    expect((await describeDataset(client, { query: 'SELECT 1 AS a' }, at)).key).toBeNull();
  });

  it.each([
    [{ table: 'usres' }, 'OBJECT_MISSING', 'public.users'],
    [{ table: 'Users' }, 'OBJECT_MISSING', 'public.users'],
    [{ table: 'users', key: ['idd'] }, 'OBJECT_MISSING', 'Did you mean id?'],
    [{ table: 'users', key: ['mail'] }, 'MAPPING_INVALID', 'NULL'],
    [{ table: 'users', where: 'nope = 1' }, 'OBJECT_MISSING', 'nope'],
    [{ table: 'remote' }, 'MAPPING_INVALID', 'foreign table'],
    [{ query: 'SELECT 1 AS a, 2 AS a' }, 'SQL_INVALID', 'two columns called a'],
    [{ query: 'SELEC 1' }, 'SQL_INVALID', '42601'],
    [{ query: 'SELECT 1) x; DELETE FROM users; SELECT * FROM (SELECT 1' }, 'SQL_INVALID', ''],
    [{ table: 'users', where: 'true); DELETE FROM users; SELECT (true' }, 'SQL_INVALID', ''],
  ])('refuses %j', async (selection, code, text) => {
    await expect(describeDataset(client, selection, at)).rejects.toMatchObject({ code, message: expect.stringContaining(text) as string });
    expect((await client.query<{ n: string }>('SELECT count(*) AS n FROM users')).rows[0]?.n).toBe('50');
  });

  it('leaves the search path as it was', async () => {
    await client.query(`SET search_path = 'public, pg_temp'`);
    await client.query(`RESET search_path`);
    await describeDataset(client, { table: 'users' }, at);
    expect((await client.query('SHOW search_path')).rows).toEqual([{ search_path: '"$user", public' }]);
  });
});

it('inventory tells sizes, keys, references and problems of every table but partitions', async () => {
  const tables = await inventory(client);
  expect(tables.map((table) => table.name)).toEqual(['Odd.Name', 'events', 'heap', 'narrow', 'orders', 'people', 'remote', 'users']);
  const by = (name: string) => tables.find((table) => table.name === name);
  expect(by('orders')).toMatchObject({ key: ['id'], foreignKeys: [{ columns: ['user_id'], refSchema: 'public', refTable: 'users', refColumns: ['id'] }], problems: [] });
  expect(by('users')).toMatchObject({ rowsEstimate: 50, sequences: [{ column: 'serial_no', sequence: 'public.users_serial_no_seq' }] });
  expect(by('users')?.bytes).toBeGreaterThan(0);
  expect(by('heap')?.problems).toEqual([expect.stringContaining('no usable key')]);
  expect(by('remote')?.problems).toEqual([expect.stringContaining('foreign table')]);
  expect(await inventory(client, ['nowhere'])).toEqual([]);
});

it('sequences go only forward, in their own direction, beyond 2^53', async () => {
  await client.query(`CREATE TABLE counted (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, down bigint DEFAULT 0, small smallserial);
    CREATE SEQUENCE down_seq INCREMENT -1 MINVALUE -9223372036854775808 MAXVALUE -1 OWNED BY counted.down;
    INSERT INTO counted (id, down, small) VALUES (9007199254740993, -40, 7)`);
  const states = await readSequences(client, { schema: 'public', name: 'counted' });
  expect(states.map(({ column, lastValue, isCalled }) => [column, lastValue, isCalled])).toEqual([['id', '1', false], ['down', '-1', false], ['small', '1', false]]);
  const source = states.map((state) => (state.column === 'small' ? { ...state, lastValue: '900', isCalled: false } : state));
  const advanced = await advanceSequences(client, { schema: 'public', name: 'counted' }, source);
  expect(advanced.map(({ column, to }) => [column, to])).toEqual([['id', '9007199254740993'], ['down', '-40'], ['small', '900']]);
  const { rows } = await client.query(`SELECT nextval('counted_id_seq')::text AS id, nextval('down_seq')::text AS down, nextval('counted_small_seq')::text AS small`);
  expect(rows).toEqual([{ id: '9007199254740994', down: '-41', small: '900' }]);
  expect(await advanceSequences(client, { schema: 'public', name: 'counted' }, source)).toEqual([]);
  await client.query('DROP TABLE counted CASCADE');
});

describe('preflight', () => {
  let limited: Client;
  const role = `caravan_limited_${process.pid}`;

  beforeAll(async () => {
    await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; CREATE TABLE guarded (id int PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER touched BEFORE INSERT ON heap FOR EACH ROW EXECUTE FUNCTION touch()`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    limited = new Client({ connectionString: url.href });
    await limited.connect();
  });

  afterAll(async () => {
    await limited?.end();
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  it('passes a superuser on a good server', async () => {
    expect(await checkServer(client, 'target', 'c', 5)).toEqual([]);
    expect(await checkSource(client, { table: 'users' }, 's')).toEqual([]);
    expect(await checkTarget(client, { schema: 'public', name: 'users' }, { create: false, truncate: true }, 't')).toEqual([]);
    expect(await checkTarget(client, { schema: 'public', name: 'new_one' }, { create: true, truncate: true }, 't')).toEqual([]);
    expect(await checkLedgerRights(client, 't')).toEqual([]);
  });

  it('names what a user lacks, and the printed grants mend exactly that', async () => {
    const users = { schema: 'public', name: 'users' };
    const needs = { create: false, truncate: true };
    const fresh = { schema: 'public', name: 'new_one' };
    const [unread] = await checkSource(limited, { table: 'users' }, 's');
    expect(unread).toMatchObject({ severity: 'error', place: 's', message: expect.stringContaining('cannot be read') as string });
    expect((await checkTarget(limited, users, needs, 't'))[0]?.message).toContain('lacks SELECT, INSERT, UPDATE, DELETE, TRUNCATE on public.users');
    expect((await checkTarget(limited, fresh, { ...needs, create: true }, 't'))[0]?.message).toContain('CREATE on schema public');
    expect(await checkLedgerRights(limited, 't')).toHaveLength(1);
    await client.query(grantStatements({ role, database: database.name, reads: [users], writes: [users], creates: [fresh], ledger: true }));
    expect(await checkSource(limited, { table: 'users' }, 's')).toEqual([]);
    expect((await checkTarget(limited, users, needs, 't')).filter((problem) => problem.severity === 'error')).toEqual([]);
    expect(await checkTarget(limited, fresh, { ...needs, create: true }, 't')).toEqual([]);
    expect(await checkLedgerRights(limited, 't')).toEqual([]);
  });

  it('sees hidden rows, foreign triggers, views and too few connections', async () => {
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON guarded, heap TO ${role}`);
    expect((await checkSource(limited, { table: 'guarded' }, 's'))[0]?.message).toContain('row security');
    expect((await checkTarget(limited, { schema: 'public', name: 'heap' }, { create: false, truncate: true }, 't'))[0]?.message).toContain('touched');
    expect((await checkTarget(client, { schema: 'public', name: 'people' }, { create: false, truncate: true }, 't'))[0]?.message).toContain('view');
    expect((await checkServer(client, 'source', 'c', 100_000))[0]?.message).toContain('connections are free');
    expect(await checkSource(client, { table: 'heap' }, 's')).toEqual([expect.objectContaining({ severity: 'warning' })]);
    await client.query(`SET default_transaction_read_only = on`);
    expect((await checkServer(client, 'target', 'c', 1))[0]?.message).toContain('read-only');
    await client.query(`RESET default_transaction_read_only`);
  });

  it('tries the SQL of checks without changing anything', async () => {
    expect(await checkSql(client, 'SELECT count(*) FROM users;', 'q', { one: true })).toEqual([]);
    expect((await checkSql(client, 'SELECT count(*) FROM usrs', 'q', { one: true }))[0]).toMatchObject({ severity: 'error', place: 'q' });
    expect((await checkSql(client, 'SELECT id FROM users', 'q', { one: true }))[0]?.message).toContain('several rows');
    expect((await checkSql(client, 'DELETE FROM users RETURNING 1', 'q', { one: true }))[0]?.severity).toBe('error');
    expect((await checkSql(client, `SELECT nextval('users_serial_no_seq')`, 'q', { one: true }))[0]?.message).toContain('read-only');
    expect((await client.query<{ n: string }>('SELECT count(*) AS n FROM users')).rows[0]?.n).toBe('50');
  });
});

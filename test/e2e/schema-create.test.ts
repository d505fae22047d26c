import { Client } from 'pg';
import { createTables, type CreatedTables, type CreateRequest } from '../../activities/connectors/postgres/create-schema';
import { describe as describeDataset } from '../../activities/connectors/postgres/describe';
import { createRequest, expectedTarget } from '../../activities/connectors/postgres/create-request';
import { disableTriggers, dropForLoad, rebuild, type DroppedObject } from '../../activities/connectors/postgres/target-objects';
import { datasetSchema } from '../../migration/plan/schema';
import { fieldMappings } from '../../migration/plan/transformations';
import { builtinTransforms } from '../../migration/transform';
import { createDatabase, type TestDatabase } from '../fixtures/stack';

const LEGACY = `
  CREATE SCHEMA old; CREATE EXTENSION citext;
  CREATE TYPE old.mood AS ENUM ('sad', 'it''s ok');
  CREATE FUNCTION old.is_code(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 ~ '^[a-z0-9]+$' $$;
  CREATE DOMAIN old.code AS text NOT NULL DEFAULT 'x1' CHECK (old.is_code(VALUE));
  CREATE SEQUENCE old.shared START 500;
  CREATE TABLE old.users (id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) CONSTRAINT users_pkey PRIMARY KEY, nick serial, login varchar(40) COLLATE "C" NOT NULL DEFAULT 'n/a' CHECK (login <> ''),
    code old.code, mail citext, feeling old.mood DEFAULT 'sad', price numeric(12,2) DEFAULT 1.50, created text DEFAULT 'never' CHECK (created <> 'x'), ticket int DEFAULT nextval('old.shared'),
    label text GENERATED ALWAYS AS (upper(login) || '!') STORED, secret text, "select" int, first text, last text, boss bigint REFERENCES old.users ON DELETE SET NULL,
    UNIQUE (mail), CONSTRAINT pair CHECK (price > 0 OR "select" IS NOT NULL), CONSTRAINT hidden CHECK (secret <> login)) WITH (fillfactor = 80);
  CREATE INDEX users_lower ON old.users (lower(login) DESC NULLS LAST) INCLUDE (price) WHERE "select" > 0;
  CREATE INDEX users_secret ON old.users (secret); CREATE INDEX users_created ON old.users (created text_pattern_ops);
  CREATE INDEX users_price ON old.users (price); ALTER TABLE old.users CLUSTER ON users_price; ALTER INDEX old.users_lower ALTER COLUMN 1 SET STATISTICS 321; ALTER TABLE old.users ALTER COLUMN login SET STATISTICS 77;
  COMMENT ON TABLE old.users IS 'who''s who'; COMMENT ON COLUMN old.users.login IS 'name \\ at login'; COMMENT ON INDEX old.users_lower IS 'search'; COMMENT ON CONSTRAINT users_mail_key ON old.users IS 'one each';
  CREATE FUNCTION old.noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER watch BEFORE INSERT ON old.users FOR EACH ROW EXECUTE FUNCTION old.noop();
  CREATE TABLE old.regions (id int PRIMARY KEY);
  CREATE TABLE old.orders (id int, line int, user_id bigint NOT NULL, region int REFERENCES old.regions, at timestamptz(0), PRIMARY KEY (id, line),
    CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES old.users ON UPDATE CASCADE ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED, UNIQUE (user_id, at) DEFERRABLE INITIALLY DEFERRED);
  COMMENT ON CONSTRAINT orders_user ON old.orders IS 'owner';
  CREATE TABLE old.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE INDEX events_at ON old.events (at);`;

jest.setTimeout(60_000);

let from: TestDatabase;
let to: TestDatabase;
let source: Client;
let target: Client;

const base = { renames: {}, dropped: [], typeOverrides: {}, plain: [], added: [] };
const users: CreateRequest = {
  ...base, dataset: 'users', source: { table: { schema: 'old', name: 'users' } }, target: { schema: 'app', name: 'people' },
  renames: { login: 'user "name"', id: 'login', created: 'created_at', boss: 'manager' }, dropped: ['secret', 'first', 'last'],
  typeOverrides: { created: 'timestamp with time zone' }, added: [{ name: 'full_name', type: 'text' }],
};
const orders: CreateRequest = { ...base, dataset: 'orders', source: { table: { schema: 'old', name: 'orders' } }, target: { schema: 'public', name: 'orders' }, renames: { user_id: 'person' } };
const events: CreateRequest = { ...base, dataset: 'events', source: { table: { schema: 'old', name: 'events' } }, target: { schema: 'public', name: 'events' } };

async function connect(database: TestDatabase): Promise<Client> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  return client;
}

async function inTransaction<T>(work: () => Promise<T>): Promise<T> {
  await target.query('BEGIN');
  try {
    const result = await work();
    await target.query('COMMIT');
    return result;
  } catch (error) {
    await target.query('ROLLBACK');
    throw error;
  }
}

const create = (requests: CreateRequest[]): Promise<CreatedTables> => inTransaction(() => createTables(source, target, requests));

/** Constraints and indexes of a table, as the server spells them. */
async function objectsOf(table: string): Promise<string[]> {
  const { rows } = await target.query<{ text: string }>(
    `SELECT conname || ': ' || pg_get_constraintdef(oid) || coalesce(' -- ' || obj_description(oid, 'pg_constraint'), '') AS text FROM pg_constraint WHERE conrelid = $1::regclass AND contype <> 'n'
     UNION ALL SELECT pg_get_indexdef(indexrelid) || coalesce(' -- ' || obj_description(indexrelid, 'pg_class'), '') || CASE WHEN indisclustered THEN ' clustered' ELSE '' END FROM pg_index WHERE indrelid = $1::regclass ORDER BY 1`, [table]);
  return rows.map((row) => row.text);
}

beforeAll(async () => {
  from = await createDatabase('legacy', 'schema_from');
  to = await createDatabase('new', 'schema_to');
  source = await connect(from);
  target = await connect(to);
  await source.query(LEGACY);
});

afterAll(async () => {
  await source?.end();
  await target?.end();
  await from?.drop();
  await to?.drop();
});

describe('schema: create', () => {
  let made: CreatedTables;

  beforeAll(async () => {
    made = await create([orders, users, events]);
  });

  it('makes columns with exact types, defaults, identities and sequences, renamed everywhere', async () => {
    const { rows } = await target.query<Record<string, string>>(
      `SELECT a.attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull::text AS nn, pg_get_expr(adbin, adrelid) AS expression, attidentity AS identity, attgenerated AS generated
       FROM pg_attribute a LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'app.people'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`);
    expect(rows.map((row) => [row['name'], row['type'], row['nn'], row['expression'], [row['identity'], row['generated']].join('')])).toEqual([
      ['login', 'bigint', 'true', null, 'a'],
      ['nick', 'integer', 'true', `nextval('app.people_nick_seq'::regclass)`, ''],
      ['user "name"', 'character varying(40)', 'true', `'n/a'::character varying`, ''],
      ['code', 'old.code', 'false', null, ''],
      ['mail', 'citext', 'false', null, ''],
      ['feeling', 'old.mood', 'false', `'sad'::old.mood`, ''],
      ['price', 'numeric(12,2)', 'false', '1.50', ''],
      ['created_at', 'timestamp with time zone', 'false', null, ''],
      ['ticket', 'integer', 'false', `nextval('old.shared'::regclass)`, ''],
      ['label', 'text', 'false', `(upper(("user ""name""")::text) || '!'::text)`, 's'],
      ['select', 'integer', 'false', null, ''],
      ['manager', 'bigint', 'false', null, ''],
      ['full_name', 'text', 'false', null, ''],
    ]);
    const { rows: [row] } = await target.query(`INSERT INTO app.people (code) VALUES (DEFAULT) RETURNING login::text, nick, ticket, label, code`);
    expect(row).toEqual({ login: '100', nick: 1, ticket: 500, label: 'N/A!', code: 'x1' });
    await expect(target.query(`INSERT INTO app.people (code) VALUES ('NOT A CODE')`)).rejects.toMatchObject({ code: '23514' });
    await target.query('DELETE FROM app.people');
    const { rows: told } = await target.query(`SELECT obj_description('app.people'::regclass, 'pg_class') AS t, col_description('app.people'::regclass, 3) AS c, (SELECT reloptions FROM pg_class WHERE oid = 'app.people'::regclass) AS o,
      (SELECT attstattarget FROM pg_attribute WHERE attrelid = 'app.people'::regclass AND attnum = 3) AS s, pg_get_serial_sequence('app.people', 'nick') AS q`);
    expect(told).toEqual([{ t: `who's who`, c: 'name \\ at login', o: ['fillfactor=80'], s: 77, q: 'app.people_nick_seq' }]);
  });

  it('keeps keys and checks now, and returns the rest in the new names', async () => {
    expect(await objectsOf('app.people')).toEqual([
      'CREATE UNIQUE INDEX people_pkey ON app.people USING btree (login)',
      `pair: CHECK (((price > (0)::numeric) OR ("select" IS NOT NULL)))`,
      'people_pkey: PRIMARY KEY (login)',
      `users_login_check: CHECK ((("user ""name""")::text <> ''::text))`,
    ]);
    expect(made.created.map(({ dataset }) => dataset)).toEqual(['orders', 'users', 'events']);
    expect(made.deferred.map(({ object }) => [object.kind, object.table, object.name])).toEqual([
      ['foreign_key', 'orders', 'orders_user'], ['unique', 'orders', 'orders_user_id_at_key'],
      ['foreign_key', 'people', 'users_boss_fkey'], ['index', 'people', 'people_lower'], ['unique', 'people', 'people_mail_key'], ['index', 'people', 'people_price'],
    ]);
  });

  it('names what is not carried', () => {
    const named = made.leftOut.map(({ dataset, what, name }) => `${dataset}: ${what} ${name}`).sort();
    expect(named).toEqual([
      'orders: foreign key orders_region_fkey', 'users: constraint hidden', 'users: constraint users_created_check', 'users: default created',
      'users: index users_created', 'users: index users_secret',
    ]);
  });

  it('builds the rest after the load, equal, and may be repeated', async () => {
    for (const kind of ['index', 'unique', 'foreign_key']) for (const { object } of made.deferred) if (object.kind === kind) await rebuild(target, JSON.parse(JSON.stringify(object)) as DroppedObject);
    const people = await objectsOf('app.people');
    expect(people).toEqual(expect.arrayContaining([
      `CREATE INDEX people_lower ON app.people USING btree (lower(("user ""name""")::text) DESC NULLS LAST) INCLUDE (price) WHERE ("select" > 0) -- search`,
      'CREATE INDEX people_price ON app.people USING btree (price) clustered',
      'people_mail_key: UNIQUE (mail) -- one each', 'users_boss_fkey: FOREIGN KEY (manager) REFERENCES app.people(login) ON DELETE SET NULL',
    ]));
    expect(await objectsOf('public.orders')).toEqual(expect.arrayContaining([
      'orders_user: FOREIGN KEY (person) REFERENCES app.people(login) ON UPDATE CASCADE ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED -- owner',
      'orders_user_id_at_key: UNIQUE (person, at) DEFERRABLE INITIALLY DEFERRED',
    ]));
    for (const { object } of made.deferred) await rebuild(target, object);
    expect(await objectsOf('app.people')).toEqual(people);
    expect((await target.query(`SELECT attstattarget FROM pg_attribute WHERE attrelid = 'app.people_lower'::regclass AND attnum = 1`)).rows).toEqual([{ attstattarget: 321 }]);
  });

  it('leaves equal tables alone and refuses different ones by name', async () => {
    expect(await create([orders, users, events])).toMatchObject({ created: [], deferred: [], existing: [{ name: 'orders' }, { name: 'people' }, { name: 'events' }] });
    await target.query('ALTER TABLE app.people ALTER price TYPE numeric(10,2), DROP COLUMN label, ADD extra int');
    await expect(create([users])).rejects.toMatchObject({
      code: 'MAPPING_INVALID', message: expect.stringMatching(/price is numeric\(10,2\), not numeric\(12,2\).*label is missing.*extra is not in the source/) as string,
    });
    await expect(create([{ ...events, source: { table: { schema: 'old', name: 'evnts' } } }])).rejects.toMatchObject({ code: 'OBJECT_MISSING', message: expect.stringContaining('old.events') as string });
  });

  it('makes tables of views and queries, and swaps names', async () => {
    await source.query(`CREATE VIEW old.seen AS SELECT id, login FROM old.users`);
    await create([
      { ...base, dataset: 'seen', source: { table: { schema: 'old', name: 'seen' } }, target: { schema: 'public', name: 'seen' }, renames: { id: 'login', login: 'id' } },
      { ...base, dataset: 'sums', source: { query: 'SELECT user_id, count(*) AS n FROM old.orders GROUP BY 1;', key: ['user_id'] }, target: { schema: 'public', name: 'sums' } },
    ]);
    expect((await describeDataset(target, { table: 'seen' }, 't')).columns.map(({ name, type }) => [name, type])).toEqual([['login', 'bigint'], ['id', 'character varying(40)']]);
    expect(await describeDataset(target, { table: 'sums' }, 't')).toMatchObject({ key: ['user_id'], columns: [{ name: 'user_id', type: 'bigint', nullable: false }, { name: 'n', type: 'bigint' }] });
  });

  it('describes a table before it is made as it is described after', async () => {
    await source.query('CREATE TABLE old.plain (id int PRIMARY KEY, a text NOT NULL, b varchar(9), c text, d text, gone text)');
    const dataset = datasetSchema.parse({
      source: { connection: 'a', table: 'old.plain' }, target: { connection: 'b', table: 'plain_new' },
      transformations: [
        { old_field: 'a', new_field: 'amount', transform: 'to_decimal' }, { old_field: 'b', transform: ['trim', 'upper'] },
        { old_fields: ['c', 'd'], new_field: 'both', transform: 'concat' }, { old_field: 'gone', transform: 'drop' },
      ],
    });
    const described = await describeDataset(source, { table: 'old.plain' }, 's');
    const request = createRequest('plain', dataset, described, fieldMappings(dataset, builtinTransforms), builtinTransforms);
    await create([request]);
    const { columns, key } = await describeDataset(target, { table: 'plain_new' }, 't');
    const expected = expectedTarget(request, described);
    expect({ columns, key }).toEqual({ columns: expected.columns, key: expected.key });
    expect((await create([request])).existing).toHaveLength(1);
  });
});

describe('objects in the way of a load', () => {
  const table = { schema: 'public', name: 'loaded' };

  beforeAll(async () => {
    await target.query(`CREATE TABLE parents (id int PRIMARY KEY, name text UNIQUE); INSERT INTO parents VALUES (1, 'a');
      CREATE TABLE empties (id int PRIMARY KEY);
      CREATE TABLE loaded (id int PRIMARY KEY, a int, b int NOT NULL, c int NOT NULL, p int REFERENCES parents, e int REFERENCES empties, self int REFERENCES loaded, n text REFERENCES parents (name), UNIQUE (b));
      CREATE UNIQUE INDEX identity_of ON loaded (c); ALTER TABLE loaded REPLICA IDENTITY USING INDEX identity_of; CREATE INDEX of_a ON loaded (a);
      CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := 99; RETURN NEW; END';
      CREATE TRIGGER one BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION bump(); CREATE TRIGGER two BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION bump();
      ALTER TABLE loaded ENABLE ALWAYS TRIGGER two; CREATE TRIGGER off BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION bump(); ALTER TABLE loaded DISABLE TRIGGER off;`);
  });

  it('go, but for the key, the arbiter, the replica identity and references to rows that stay; and come back equal', async () => {
    const before = await objectsOf('loaded');
    const dropped = await inTransaction(() => dropForLoad(target, table, { arbiter: ['b'], isLoading: () => false }));
    expect(dropped.map(({ kind, name }) => [kind, name])).toEqual([['foreign_key', 'loaded_e_fkey'], ['foreign_key', 'loaded_self_fkey'], ['index', 'of_a']]);
    expect((await inTransaction(() => dropForLoad(target, table, { arbiter: ['b'], isLoading: () => false })))).toEqual([]);
    for (const object of [...dropped].reverse()) await rebuild(target, object);
    expect(await objectsOf('loaded')).toEqual(before);
    const all = await inTransaction(() => dropForLoad(target, table, { isLoading: ({ name }) => name === 'parents' }));
    expect(all.map(({ name }) => name)).toEqual(['loaded_e_fkey', 'loaded_n_fkey', 'loaded_p_fkey', 'loaded_self_fkey', 'loaded_b_key', 'of_a']);
    for (const object of [...all].reverse()) await rebuild(target, object);
    expect(await objectsOf('loaded')).toEqual(before);
  });

  it('keeps the unique index that a kept foreign key leans on', async () => {
    const dropped = await inTransaction(() => dropForLoad(target, { schema: 'public', name: 'parents' }, { isLoading: () => false }));
    // `loaded` is empty, so its keys to parents may go, and then parents' unique index.
    expect(dropped.map(({ name }) => name)).toEqual(['loaded_n_fkey', 'loaded_p_fkey', 'parents_name_key']);
    for (const object of [...dropped].reverse()) await rebuild(target, object);
    await target.query(`INSERT INTO loaded VALUES (1, 1, 1, 1, NULL, NULL, NULL, 'a')`);
    expect(await inTransaction(() => dropForLoad(target, { schema: 'public', name: 'parents' }, { isLoading: () => false }))).toEqual([]);
    await target.query('DELETE FROM loaded');
  });

  it('tells when rows break what is rebuilt, without a row value, and another object of the name', async () => {
    const dropped = await inTransaction(() => dropForLoad(target, table, { isLoading: ({ name }) => name === 'parents' }));
    await target.query(`ALTER TABLE loaded DISABLE TRIGGER ALL; INSERT INTO loaded VALUES (1, 4711, 4711, 1, 1), (2, 4711, 4711, 2, 1); ALTER TABLE loaded ENABLE TRIGGER one; ALTER TABLE loaded ENABLE ALWAYS TRIGGER two`);
    const unique = dropped.find(({ kind }) => kind === 'unique');
    const plain = dropped.find(({ kind }) => kind === 'index');
    if (!unique || !plain) throw new Error('not dropped');
    await expect(rebuild(target, unique)).rejects.toMatchObject({ code: 'ROW_REFUSED', details: { sqlstate: '23505' }, message: expect.not.stringContaining('4711') as string });
    await target.query('DELETE FROM loaded; CREATE INDEX of_a ON loaded (b)');
    await expect(rebuild(target, plain)).rejects.toMatchObject({ code: 'MAPPING_INVALID' });
    await target.query('DROP INDEX of_a');
    for (const object of [...dropped].reverse()) await rebuild(target, object);
  });

  it('turns triggers off and back on as they were', async () => {
    const states = async (): Promise<unknown[]> => (await target.query(`SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'loaded'::regclass AND NOT tgisinternal ORDER BY 1`)).rows;
    const before = await states();
    const dropped = await inTransaction(() => disableTriggers(target, table));
    expect(dropped.map(({ name, definition }) => [name, definition])).toEqual([['one', 'O'], ['two', 'A']]);
    await target.query('INSERT INTO loaded VALUES (9, 1, 1, 1)');
    expect((await target.query('SELECT a FROM loaded')).rows).toEqual([{ a: 1 }]);
    for (const object of dropped) await rebuild(target, object);
    expect(await states()).toEqual(before);
  });
});

import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { exitCodeOfProblems } from '../../scripts/commands/preflight';
import { exitCodeOf } from '../../scripts/commands/exit-codes';
import type { Problem } from '../../migration/protocol';
import { openDoor } from '../../workers/door';
import { createDatabase, type TestDatabase } from '../fixtures/stack';
import { TcpProxy } from '../fixtures/tcp-proxy';
import { testAuthority, tlsProxy, type TestAuthority } from '../fixtures/tls-proxy';

jest.setTimeout(120_000);

const SECRET = 'pa55-of-the-role';
const SOURCE = `CREATE TABLE customers (id int PRIMARY KEY, name text, born timestamptz); INSERT INTO customers VALUES (1, 'one', now());
CREATE VIEW seen AS SELECT * FROM customers`;
const TARGET = `CREATE TABLE customers (id int PRIMARY KEY, name text, born timestamptz);
CREATE TABLE strict (id int PRIMARY KEY, name text, born timestamptz, must int NOT NULL);
CREATE TABLE narrow (id int PRIMARY KEY, name varchar(3), born timestamptz);
CREATE TABLE guarded (id int PRIMARY KEY, name text, born timestamptz); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE TABLE triggered (id int PRIMARY KEY, name text, born timestamptz);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TABLE forced (id int PRIMARY KEY, name text, born timestamptz); ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TABLE named (id int, name text, born timestamptz); INSERT INTO named VALUES (1, 'theirs');
CREATE VIEW view_of AS SELECT * FROM customers; CREATE MATERIALIZED VIEW mat_of AS SELECT * FROM customers;
CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (id int, name text, born timestamptz) SERVER s`;

interface Case { name: string; exit: number; says: RegExp; target?: object; dataset?: object; source?: string | (() => string); into?: string | (() => string); batch?: object; plan?: object }

/** What a person gets who points Caravan at something that cannot work: before any row moves. */
describe('bad input is told with place, remedy and exit code', () => {
  let databases: { legacy: TestDatabase; fresh: TestDatabase };
  let admin: Client;
  let folder: string;
  const role = `caravan_poor_${process.pid}`;

  beforeAll(async () => {
    databases = { legacy: await createDatabase('legacy', 'bad'), fresh: await createDatabase('new', 'bad') };
    admin = new Client({ connectionString: databases.fresh.url });
    await admin.connect();
    await admin.query(TARGET);
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD '${SECRET}'; GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}; GRANT CREATE ON DATABASE "${databases.fresh.name}" TO ${role}; ALTER TABLE forced OWNER TO ${role}`);
    const legacy = new Client({ connectionString: databases.legacy.url });
    await legacy.connect();
    await legacy.query(SOURCE);
    await legacy.end();
    folder = mkdtempSync(path.join(tmpdir(), 'caravan-bad-'));
  });
  afterAll(async () => {
    await admin.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await admin.end();
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([databases.legacy.drop(), databases.fresh.drop()]);
  });

  const changed = (url: string, change: (url: URL) => void): string => {
    const other = new URL(url);
    change(other);
    return other.href;
  };
  const asRole = (): string => changed(databases.fresh.url, (url) => { url.username = role; url.password = SECRET; });
  const planOf = ({ target, dataset, batch, plan }: Case): object => ({
    migration: 'bad', ...(batch && { batch }), datasets: { customers: { source: { connection: 'legacy' }, target: { connection: 'new', ...target }, ...dataset } }, ...plan,
  });

  async function judge(one: Case, connectionsFile?: string): Promise<{ exit: number; text: string; problems: Problem[] }> {
    const at = (given: Case['source'], otherwise: string): string => (typeof given === 'function' ? given() : given ?? otherwise);
    const env = connectionsFile ? {} : { CARAVAN_CONNECTION_LEGACY: at(one.source, databases.legacy.url), CARAVAN_CONNECTION_NEW: at(one.into, databases.fresh.url) };
    const door = await openDoor({ env: { PATH: process.env['PATH'], ...env }, logLevel: 'error', ...(connectionsFile ? { connectionsFile } : {}) });
    try {
      const { problems } = await door.checkPlan(planOf(one), { connect: true, grants: false });
      const errors = problems.filter((problem) => problem.severity === 'error');
      return { exit: errors.length > 0 ? exitCodeOfProblems(errors) : 0, text: problems.map(({ place, message, remedy }) => `${place}: ${message} ${remedy ?? ''}`).join('\n'), problems };
    } catch (error) {
      return { exit: exitCodeOf(error), text: error instanceof Error ? error.message : String(error), problems: [] };
    } finally {
      await door.close();
    }
  }

  const cases: Case[] = [
    { name: 'nothing wrong', exit: 0, says: /^(?!.*(error|cannot))/ },
    { name: 'no server at the address', exit: 5, source: 'postgres://u:pa55-of-the-role@127.0.0.1:1/x', says: /connection legacy: .*cannot be reached \(ECONNREFUSED\).*host and port/ },
    { name: 'no such host', exit: 5, source: 'postgres://u:pa55-of-the-role@nowhere.invalid/x', says: /connection legacy: .*cannot be reached \((ENOTFOUND|EAI_AGAIN)\)/ },
    { name: 'wrong password', exit: 5, into: () => changed(asRole(), (url) => { url.password = 'wrong'; }), says: /connection new: .*password authentication failed.*Check user, password and database/ },
    { name: 'no password', exit: 5, into: () => changed(asRole(), (url) => { url.password = ''; }), says: /connection new: .*password is missing/ },
    { name: 'no such database', exit: 5, into: () => changed(databases.fresh.url, (url) => { url.pathname = '/nowhere'; }), says: /connection new: .*database "nowhere" does not exist.*Check user, password and database/ },
    { name: 'TLS of a server that has none', exit: 5, source: () => changed(databases.legacy.url, (url) => { url.searchParams.set('sslmode', 'verify-full'); }), says: /connection legacy: .*offers no TLS/ },
    { name: 'a connection that nobody set', exit: 2, plan: { control: 'elsewhere' }, says: /connection elsewhere is not known here\..*CARAVAN_CONNECTION_ELSEWHERE=URL/ },
    { name: 'a kind of system that is unknown', exit: 2, into: 'mysql://u@h/x', says: /connection new/ },
    { name: 'a misspelt source table', exit: 2, dataset: { source: { connection: 'legacy', table: 'custmers' } }, says: /datasets\.customers\.source: there is no table public\.custmers\. Did you mean public\.customers\?/ },
    { name: 'a misspelt target table', exit: 2, target: { table: 'costumers' }, says: /datasets\.customers\.target: there is no table public\.costumers\. Did you mean public\.customers\?/ },
    { name: 'a table in another schema', exit: 2, target: { table: 'shop.customers' }, says: /no table shop\.customers\. Did you mean public\.customers\?/ },
    { name: 'a misspelt column', exit: 2, dataset: { transformations: [{ old_field: 'nam', new_field: 'name' }] }, says: /nam.*[Dd]id you mean.*name/s },
    { name: 'a column that nothing fills', exit: 2, target: { table: 'strict' }, says: /must.*NOT NULL and has no default/ },
    { name: 'a narrower column', exit: 2, target: { table: 'narrow' }, says: /name.*(varchar|character varying)\(3\)/ },
    { name: 'the target is a view', exit: 2, target: { table: 'view_of' }, says: /public\.view_of is a view; rows can be written to tables only/ },
    { name: 'the target is a materialized view', exit: 2, target: { table: 'mat_of' }, says: /public\.mat_of is a materialized view/ },
    { name: 'the target is a foreign table', exit: 2, target: { table: 'far' }, says: /public\.far is a foreign( table)?/ },
    { name: 'row security hides rows of the target', exit: 2, into: asRole, target: { table: 'guarded' }, says: /row security of public\.guarded hides rows.*BYPASSRLS.*--grants/ },
    { name: 'row security that is forced on the owner, too', exit: 2, into: asRole, target: { table: 'forced' }, says: /row security of public\.forced hides rows.*BYPASSRLS.*FORCE ROW LEVEL SECURITY/ },
    { name: 'triggers that only the owner may turn off', exit: 2, into: asRole, target: { table: 'triggered' }, says: /public\.triggered has triggers \(t\).*only its owner.*--grants/ },
    { name: 'an update by columns that nothing keeps unique', exit: 2, target: { table: 'named', on_conflict: 'update', key: ['name'] }, says: /no unique index covers exactly \(name\)/ },
    { name: 'a query that does not parse', exit: 2, dataset: { source: { connection: 'legacy', query: 'SELECT id, FROM customers', key: ['id'] } }, says: /datasets\.customers\.source: .*(syntax error|SQL cannot be read)/ },
    { name: 'a check that gives rows instead of a number', exit: 2, plan: { checks: { integrity: { odd: { source: 'SELECT id, name FROM customers' } } } }, says: /checks\.integrity\.odd/ },
    { name: 'more workers than connections', exit: 2, batch: { parallel_workers: 60, parallel_datasets: 20 }, says: /connections are free, and 1204 are needed.*parallel_workers/ },
  ];

  test.each(cases)('$name: $exit', async (one) => {
    const { exit, text, problems } = await judge(one);
    expect(text).toMatch(one.says);
    expect(exit).toBe(one.exit);
    expect(text).not.toContain(SECRET);
    expect(text).not.toMatch(/\n\s+at /);
    const told = problems.filter((problem) => problem.severity === 'error').map(({ place, message }) => `${place} ${message}`);
    expect(new Set(told).size).toBe(told.length);
  });

  test('a role without connections left, and one that may not write', async () => {
    await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT 0`);
    expect(await judge({ name: '', exit: 5, says: /./, into: asRole })).toMatchObject({ exit: 5, text: expect.stringMatching(/connection new: .*too many connections.*CONNECTION LIMIT.*needs \d+ at most/) as string });
    await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT 5`);
    expect(await judge({ name: '', exit: 2, says: /./, into: asRole })).toMatchObject({ exit: 2, text: expect.stringMatching(/connection new: \d connections are free, and \d+ are needed/) as string });
    await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT -1; ALTER ROLE ${role} SET default_transaction_read_only = on`);
    expect(await judge({ name: '', exit: 2, says: /./, into: asRole })).toMatchObject({ exit: 2, text: expect.stringMatching(/connection new: the target is read-only by default_transaction_read_only/) as string });
    await admin.query(`ALTER ROLE ${role} RESET default_transaction_read_only`);
    expect((await judge({ name: '', exit: 0, says: /./, into: asRole })).exit).toBe(0);
  });

  test('a pooler before the server is told, with the way around it', async () => {
    const proxy = await TcpProxy.start(new URL(databases.fresh.url));
    try {
      const pooled = proxy.address(databases.fresh.url);
      expect((await judge({ name: '', exit: 0, says: /./, into: pooled })).text).not.toMatch(/pooler/);
      // As a pooler does: the process number in the greeting (BackendKeyData) is its own.
      proxy.cut = (bytes, towards) => {
        const at = towards === 'client' ? bytes.indexOf(Buffer.from('4b0000000c', 'hex')) : -1;
        if (at >= 0) bytes.writeInt32BE(1 + bytes.readInt32BE(at + 5), at + 5);
        return 'pass';
      };
      expect(await judge({ name: '', exit: 0, says: /./, into: pooled })).toMatchObject({ exit: 0, text: expect.stringMatching(/connection new: a connection pooler .*pool_mode = session/) as string });
    } finally {
      await proxy.stop();
    }
  });

  describe('certificates', () => {
    const authority: TestAuthority | null = testAuthority();
    const given = authority ? test : test.skip;
    afterAll(() => authority?.remove());

    given.each([
      ['a good one', 'IP:127.0.0.1', false, true, 0, /^/],
      ['expired', 'IP:127.0.0.1', true, true, 5, /connection legacy: the certificate of the server has expired/],
      ['of another host', 'DNS:db.example.org', false, true, 5, /connection legacy: the certificate of the server is for another host name/],
      ['of an unknown authority', 'IP:127.0.0.1', false, false, 5, /connection legacy: the certificate of the server comes from an authority that is not trusted here.*tls: \{ ca: PATH \}/],
    ] as const)('%s', async (_, altName, expired, trusted, exit, says) => {
      if (!authority) return;
      const proxy = await tlsProxy(databases.legacy.url, authority.issue(altName, expired));
      const file = path.join(folder, 'connections.yaml');
      writeFileSync(file, JSON.stringify({ legacy: { url: proxy.url, tls: trusted ? { ca: authority.caFile } : {} }, new: { url: databases.fresh.url } }));
      try {
        const found = await judge({ name: '', exit, says }, file);
        expect(found.text).toMatch(says);
        expect(found.exit).toBe(exit);
      } finally {
        await proxy.close();
      }
    });
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { pino } from 'pino';
import { toMigrationError } from '../../activities/connectors/postgres/errors';
import { asPostgres } from '../../activities/connectors/postgres/system';
import { readConnections, openSystems } from '../../workers/connections';
import { toFailure } from '../../workers/errors-interceptor';
import { redactText, redactUrl } from '../../workers/redact';
import { Marks } from '../fixtures/leak-marks';

/** Whatever is wrong with a connection, what is said about it holds none of its secrets: as a message, as Temporal gets it, as a log would print it. */
describe('a connection that cannot be used does not tell its secrets', () => {
  const marks = new Marks();
  const s = (where: string): string => marks.text('secret', where);
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-secrets-'));
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => { lines.push(line); } });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const addresses: Record<string, string> = {
    refused: `postgres://${s('user')}:${s('password')}@127.0.0.1:1/db`,
    'no such host': `postgres://u:${s('password')}@no-such-host.invalid/db?application_name=${s('parameter')}`,
    'broken port': `postgres://u:${s('password')}@127.0.0.1:99999x/db`,
    'an @ in the password': `postgres://u:${s('first half')}@${s('second half')}@127.0.0.1:1/db`,
    'a slash in the password': `postgres://u:${s('first half')}/${s('second half')}@127.0.0.1:1/db`,
    'a # in the password': `postgres://u:${s('first half')}#${s('second half')}@127.0.0.1:1/db`,
    'a % in the password': `postgres://u:${s('password')}%@127.0.0.1:1/db`,
    'no scheme': `u:${s('password')}@127.0.0.1/db`,
    'another system': `mysql://u:${s('password')}@127.0.0.1/db?token=${s('token')}`,
    'not an address': `host=127.0.0.1 password=${s('password')} user=u`,
    'any server accepted': `postgres://u:${s('password')}@127.0.0.1/db?sslmode=no-verify`,
    'a missing key file': `postgres://u:${s('password')}@127.0.0.1:1/db?sslmode=require&sslkey=/none/${s('path of a key')}`,
    'password as a parameter': `postgres://u@127.0.0.1:1/db?password=${s('password parameter')}&sslpassword=${s('sslpassword')}`,
    'empty': ` postgres://u:${s('password')}@`,
  };
  it.each(Object.entries(addresses))('in a variable: %s', async (_, url) => {
    await expectNothingTold(() => use({ CARAVAN_CONNECTION_BAD: url }));
  });

  const files: Record<string, string> = {
    'not YAML': `bad: { url: "postgres://u:${s('password')}@h/db"\n  password: [${s('password')}\n`,
    'a password in the file': `bad: { url: "postgres://u@127.0.0.1:1/db", password: ${s('password')} }`,
    'an unknown way to a password': `bad: { url: "postgres://u@127.0.0.1:1/db", password: { value: ${s('password')} } }`,
    'a list of addresses': `bad: { url: ["postgres://u:${s('password')}@h/db"] }`,
    'no such variable': `bad: { url: "postgres://u:@127.0.0.1:1/db", admin_url: "postgres://a:${s('admin password')}@127.0.0.1:1/db", password: { env: NOT_SET } }`,
    'a broken key': `bad: { url: "postgres://u:${s('password')}@127.0.0.1:1/db", tls: { ca: "-----BEGIN ${s('certificate')}", key: "-----BEGIN ${s('key')}" } }`,
    'a broken admin address': `bad: { url: "postgres://u:${s('password')}@127.0.0.1:1/db", admin_url: "postgres://a:${s('admin password')}@h:x/db" }`,
    'tls and no tls': `bad: { url: "postgres://u:${s('password')}@127.0.0.1:1/db?sslmode=disable", tls: { ca: "-----BEGIN ${s('certificate')}" } }`,
    'an alias': `bad: &x { url: "postgres://u:${s('password')}@h/db" }\nother: *y\n`,
    'a duplicate key': `bad: { url: "postgres://u:${s('password')}@h/db", url: "postgres://u:${s('password')}@h/db" }`,
    'too few connections': `bad: { url: "postgres://u:${s('password')}@h/db", connections_max: ${s('a number')} }`,
  };
  it.each(Object.entries(files))('in a file: %s', async (_, text) => {
    const file = path.join(folder, `${Math.random()}.yaml`);
    writeFileSync(file, text);
    await expectNothingTold(() => use({}, file));
  });

  it('in a text that somebody else wrote', () => {
    const texts = [
      `connect to postgres://u:${s('password')}@h:5432/db failed`, `password=${s('password')}; retry`, `"password": "${s('password')}"`, `token: ${s('token')}`,
      `postgres://${s('user')}:${s('password')}@${s('second half')}@h/db and redis://:${s('password')}@h`, `api_key='${s('key')}'`, `secret = ${s('secret')}`,
    ];
    expect(texts.flatMap((text) => marks.find('text', redactText(text)))).toEqual([]);
    expect(Object.values(addresses).flatMap((url) => marks.find('address', redactUrl(url)).map((hit) => hit.around))).toEqual([]);
  });

  it('counts as many secrets as it should', () => {
    expect(marks.count('secret')).toBeGreaterThanOrEqual(40);
  });

  async function use(env: Record<string, string>, file?: string): Promise<unknown> {
    const book = readConnections({ env, file, cwd: folder });
    lines.push(JSON.stringify(book.list().map(({ name, address, from }) => ({ name, address, from }))));
    const systems = openSystems(book);
    try {
      return await asPostgres(systems.open('bad')).use((client) => client.query('SELECT 1'));
    } finally {
      await systems.close();
    }
  }

  async function expectNothingTold(work: () => Promise<unknown>): Promise<void> {
    lines.length = 0;
    const error: unknown = await work().then(() => { throw new Error('it was taken'); }, (thrown: unknown) => thrown);
    const failure = toFailure(error, 'probe', false, log);
    const told = [inspect(error, { depth: 9 }), inspect(failure, { depth: 9 }), JSON.stringify(failure), ...lines].join('\n');
    expect(told).not.toContain('it was taken');
    expect(marks.find('told', told).map((hit) => `${hit.mark?.planted ?? ''}: ${hit.around}`)).toEqual([]);
  }
});

/** Row values in what a server says. */
describe('a server that speaks of a row', () => {
  const marks = new Marks();
  const v = marks.text('row', 'value');
  const server = (code: string, more: object = {}): Error => Object.assign(new Error(`a word about ${v}`), { severity: 'ERROR', code, ...more });

  it.each([
    ['a constraint', server('23505', { detail: `Key (email)=(${v}) already exists.`, constraint: 'users_email_key', table: 'users' })],
    ['a cast', server('22P02', { where: `COPY users, line 3, column age: "${v}"` })],
    ['an exception of PL/pgSQL', server('P0001', { file: 'pl_exec.c', where: 'PL/pgSQL function f(text) line 1 at RAISE', hint: v, detail: v })],
    ['an exception that poses as a missing right, with names made of the row', server('42501', { file: 'pl_exec.c', where: 'PL/pgSQL function f(text) line 1 at RAISE', table: v, column: v, constraint: v, schema: v })],
    ['SQL that a function made of the row', server('42P01', { file: 'parse_relation.c', where: `SQL statement "SELECT 1 FROM ${v}"\nPL/pgSQL function f(text) line 1 at EXECUTE` })],
    ['an SQL function', server('42883', { where: 'SQL function "f" statement 1' })],
    ['the same in German', server('42501', { where: 'SQL-Funktion »f« Anweisung 1', table: v })],
    ['an exception of PL/Python', server('38000', { file: 'plpy_elog.c', where: 'PL/Python function "f"' })],
    ['a deadlock that a function met', server('40P01', { where: `PL/pgSQL function f(text) line 1`, detail: v })],
    ['SQL that cannot be read', server('42601')],
    ['an error nobody foresaw', new Error(`a word about ${v}`)],
  ])('%s', (_, error) => {
    const told = toMigrationError(error, 'users, commit 1');
    expect(marks.find('told', inspect(told, { depth: 9 }) + JSON.stringify(told.details)).map((hit) => hit.around)).toEqual([]);
    expect(told.message).toContain('users, commit 1');
  });

  it('is quoted where it speaks of names', () => {
    const told = toMigrationError(Object.assign(new Error('relation "users" does not exist'), { severity: 'ERROR', code: '42P01', file: 'parse_relation.c' }), 'users');
    expect(told.message).toContain('relation "users" does not exist');
  });
});

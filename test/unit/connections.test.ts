import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { pino } from 'pino';
import { compareAnswers, isZero, sameAnswer, shown } from '../../activities/check-answer';
import { MigrationError } from '../../migration/errors';
import { readConnections } from '../../workers/connections';
import { toFailure } from '../../workers/errors-interceptor';
import { openPlanFolder } from '../../workers/plan-folder';
import { redactText } from '../../workers/redact';
import { loadTransforms } from '../../workers/user-transforms';

const SECRET = 'hunter2-planted';

let folder: string;
beforeEach(() => { folder = mkdtempSync(path.join(tmpdir(), 'caravan-connections-')); });
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

function write(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

function problemOf(work: () => unknown): MigrationError {
  try {
    work();
  } catch (error) {
    if (error instanceof MigrationError) {
      expect(error.message).not.toContain(SECRET);
      return error;
    }
    throw error;
  }
  throw new Error('it did not fail');
}

describe('connections', () => {
  test('come from variables and the file; a variable wins; secrets come by reference', () => {
    write('password', `${SECRET}\n`);
    const file = write('c.yaml', 'legacy_db:\n  url: postgres://reader@old.example:5432/shop\n  password: { file: password }\nnew-db: { url: "postgres://new.example/shop", password: { env: NEW_PASSWORD } }\n');
    const book = readConnections({ file, env: { CARAVAN_CONNECTION_NEW_DB: 'postgres://writer@other.example/shop', CARAVAN_CONNECTION_EXTRA: 'postgres://x:y@z/extra', NEW_PASSWORD: 'p@ss/word' }, cwd: folder });
    expect(book.list().map(({ name, address }) => [name, address])).toEqual([
      ['extra', 'postgres://z/extra'], ['legacy_db', 'postgres://old.example:5432/shop'], ['new-db', 'postgres://other.example/shop'],
    ]);
    expect(book.config('legacy_db').url).toBe(`postgres://reader:${SECRET}@old.example:5432/shop`);
    expect(book.config('new-db').url).toBe('postgres://writer:p%40ss%2Fword@other.example/shop');
    // However a plan spells it, the variable is found.
    expect(book.config('Extra').name).toBe('Extra');
  });

  test('the default file is read when it exists, and none is needed', () => {
    expect(readConnections({ env: {}, cwd: folder }).list()).toEqual([]);
    write('caravan.connections.yaml', 'a: { url: "postgres://h/d" }');
    expect(readConnections({ env: {}, cwd: folder }).list()).toHaveLength(1);
  });

  test('an unknown name lists those there are and the variable to set', () => {
    const book = readConnections({ env: { CARAVAN_CONNECTION_LEGACY: `postgres://u:${SECRET}@h/d` }, cwd: folder });
    const problem = problemOf(() => book.config('legcy'));
    expect(problem.code).toBe('CONNECTION_UNKNOWN');
    expect(problem.message).toContain('There are: legacy');
    expect(problem.message).toContain('CARAVAN_CONNECTION_LEGCY');
  });

  test.each([
    ['an unknown key', `db: { url: "postgres://u:${SECRET}@h/d", pasword: { env: X } }`, 'pasword'],
    ['a password in clear', `db: { url: "postgres://h/d", password: ${SECRET} }`, 'password itself does not belong here'],
    ['no url', 'db: { tls: { ca: x } }', 'db.url'],
    ['broken YAML', `db: { url: "postgres://u:${SECRET}@h/d"\nother: x: y`, 'not valid YAML'],
    ['a key twice', `db: { url: "postgres://u:${SECRET}@h/d" }\ndb: { url: x }`, 'DUPLICATE_KEY'],
  ])('a file with %s is refused with its place and without its secrets', (_what, text, expected) => {
    const file = write('c.yaml', text);
    const problem = problemOf(() => readConnections({ file, env: {}, cwd: folder }));
    expect(problem.message).toContain(file);
    expect(problem.message).toContain(expected);
  });

  test('a file that was named but is not there is an error', () => {
    expect(problemOf(() => readConnections({ file: 'none.yaml', env: {}, cwd: folder })).message).toContain('there is no such file');
    expect(problemOf(() => readConnections({ env: { CARAVAN_CONNECTIONS: 'none.yaml' }, cwd: folder })).message).toContain('there is no such file');
  });

  test.each([
    ['mongodb://u:hunter2-planted@h/d', 'MongoDB (mongodb:) is not built yet'],
    ['redis://h', 'Redis (redis:) is not built yet'],
    ['gopher://u:hunter2-planted@h', 'nothing here can open gopher:'],
    ['hunter2-planted@h/d', 'no scheme'],
    ['postgres://u:hunter2-planted@h:notaport/d', 'cannot be understood'],
    ['postgres://u:hunter2-planted@h/d?sslmode=no-verify', 'sslmode=no-verify'],
  ])('the address %s is refused by name, without the address', (url, expected) => {
    const book = readConnections({ env: { CARAVAN_CONNECTION_DB: url }, cwd: folder });
    expect(problemOf(() => book.config('db')).message).toContain(expected);
  });

  test('tls settings are read from files, and the address may not switch them off', () => {
    write('ca.pem', '-----BEGIN CERTIFICATE-----');
    const file = write('c.yaml', 'a: { url: "postgres://h/d?sslmode=require", tls: { ca: ca.pem } }\nb: { url: "postgres://h/d?sslmode=disable", tls: { ca: ca.pem } }\nc: { url: "postgres://h/d", tls: { ca: missing.pem } }');
    const book = readConnections({ file, env: {}, cwd: folder });
    expect(book.config('a')).toMatchObject({ url: 'postgres://h/d', tls: { ca: '-----BEGIN CERTIFICATE-----' } });
    expect(problemOf(() => book.config('b')).message).toContain('sslmode=disable');
    expect(problemOf(() => book.config('c')).message).toContain('missing.pem');
  });

  test('a password variable that is not set is named', () => {
    const file = write('c.yaml', 'a: { url: "postgres://h/d", password: { env: NOWHERE } }');
    expect(problemOf(() => readConnections({ file, env: {}, cwd: folder }).config('a')).message).toContain('NOWHERE');
  });
});

describe('plan folder', () => {
  test('finds plans by name and nothing outside', async () => {
    write('shop.yaml', 'migration: shop');
    write('../caravan-outside.yaml', 'secret: yes');
    const plans = openPlanFolder(folder);
    await expect(plans.read('shop')).resolves.toMatchObject({ text: 'migration: shop' });
    await expect(plans.read('shop.yaml')).resolves.toMatchObject({ text: 'migration: shop' });
    await expect(plans.read('../caravan-outside')).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
    await expect(plans.read('sop')).rejects.toThrow('There are: shop');
    rmSync(path.join(folder, '..', 'caravan-outside.yaml'));
  });
});

describe('errors that leave an activity', () => {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });

  function textOf(error: Error): string {
    return JSON.stringify([error.message, error.stack, error.cause, error instanceof ApplicationFailure ? [error.type, error.details] : null]);
  }

  test('an error nobody foresaw tells its class only, in history and log', () => {
    const error = new TypeError(`row (${SECRET})`, { cause: new Error(SECRET) });
    const failure = toFailure(error, 'copySplit', false, log);
    expect(textOf(failure)).not.toContain(SECRET);
    expect(lines.join('')).not.toContain(SECRET);
    expect(lines.join('')).toContain('TypeError');
    expect(failure).toMatchObject({ type: 'INTERNAL', nonRetryable: true });
    expect(failure.message).toContain('copySplit');
  });

  test('a MigrationError keeps code, kind and details; cause, stack and passwords go', () => {
    const error = new MigrationError('SYSTEM_UNREACHABLE', `connection a: postgres://user:${SECRET}@host/db is away, password=${SECRET}`, { connection: 'a' });
    error.cause = new Error(SECRET);
    const failure = toFailure(error, 'admit', false, log);
    expect(textOf(failure)).not.toContain(SECRET);
    expect(failure).toMatchObject({ type: 'SYSTEM_UNREACHABLE', nonRetryable: false, details: ['transient', { connection: 'a' }] });
    expect(toFailure(new MigrationError('LEASE_LOST', 'x'), 'admit', false, log)).toMatchObject({ nonRetryable: true, details: ['fenced', {}] });
  });

  test('cancellation passes', () => {
    const cancelled = new CancelledFailure('stop');
    expect(toFailure(cancelled, 'a', true, log)).toBe(cancelled);
    expect(toFailure(new DOMException('aborted', 'AbortError'), 'a', true, log)).toBeInstanceOf(CancelledFailure);
    expect(toFailure(new DOMException('aborted', 'AbortError'), 'a', false, log)).toMatchObject({ type: 'INTERNAL' });
  });

  test('addresses lose user and password even when the password holds an @', () => {
    expect(redactText('at postgres://u:p@ss@host/db!')).toBe('at postgres://***@host/db!');
    expect(redactText('see http://127.0.0.1:8233/namespaces')).toBe('see http://127.0.0.1:8233/namespaces');
  });
});

describe('answers of checks', () => {
  test('numbers compare by value and without loss, other answers by text', () => {
    expect(sameAnswer('1.10', '1.1')).toBe(true);
    expect(sameAnswer('9007199254740993', '9007199254740992')).toBe(false);
    expect(sameAnswer('-0.0', '0')).toBe(true);
    expect(sameAnswer(null, null)).toBe(true);
    expect(sameAnswer(null, '0')).toBe(false);
    expect(sameAnswer('a', 'A')).toBe(false);
    expect(compareAnswers('-2', '-1.5')).toBe(-1);
    expect(isZero({ state: 'answer', value: '0.00' })).toBe(true);
    expect(isZero({ state: 'answer', value: null })).toBe(false);
  });

  test('only numbers are shown', () => {
    expect(shown({ state: 'answer', value: '12.5' })).toBe('12.5');
    expect(shown({ state: 'answer', value: 'anna@example.org' })).not.toContain('anna');
  });
});

describe('user transforms', () => {
  test('are added to the built-in ones with a digest of their text; others are refused', () => {
    expect(loadTransforms(undefined, folder)).toMatchObject({ digest: 'none', file: null });
    const userModule = path.resolve(__dirname, '../../migration/transform/user');
    const file = write('mine.cjs', `const { defineTransforms } = require(${JSON.stringify(userModule)});\nexports.default = defineTransforms({ shout: { help: 'x', apply: (value) => String(value) + '!' } });`);
    const loaded = loadTransforms(file, folder);
    expect(Object.keys(loaded.catalog)).toEqual(expect.arrayContaining(['shout', 'trim']));
    expect(loaded.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(problemOf(() => loadTransforms(write('bad.cjs', 'exports.default = { a: 1 };'), folder)).message).toContain('defineTransforms');
    expect(problemOf(() => loadTransforms('none.ts', folder)).message).toContain('no such file');
  });
});

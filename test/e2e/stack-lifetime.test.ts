import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startStack, StackError, type Stack } from '../../scripts/stack';
import { answersQuery, startPostgresCluster } from '../../scripts/stack/postgres-cluster';
import { asNobody } from '../../scripts/stack/postgres-user';
import { reservePort } from '../../scripts/stack/port-reservation';
import { isStillRunning, type ProcessIdentity } from '../../scripts/stack/process-identity';
import { answersDescribe } from '../../scripts/stack/temporal-health';
import { temporalRungs } from '../../scripts/stack/temporal-program';
import { postgresRungs } from '../../scripts/stack/postgres-binaries';
import { climb } from '../../scripts/stack/provider-ladder';

const project = path.resolve(__dirname, '../..');
/** Ours alone: nothing of the shell that would make the stack use a server of somebody else. */
const env: NodeJS.ProcessEnv = { ...process.env, TEMPORAL_ADDRESS: undefined, CARAVAN_STACK_ALPHA_URL: undefined };
const isRoot = process.getuid?.() === 0;

let dir: string;
beforeEach(() => (dir = mkdtempSync(path.join(tmpdir(), 'caravan-lifetime-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface StartedElsewhere {
  child: ChildProcess;
  servers: ProcessIdentity[];
  temporal: string;
  url: string;
}

/** Starts a stack in a process of its own, which then does `afterwards`. */
async function startElsewhere(folder: string, afterwards: string, as: { uid?: number; gid?: number; env?: NodeJS.ProcessEnv } = {}): Promise<StartedElsewhere> {
  const program = `
    require('tsx/cjs');
    const { startStack } = require('./scripts/stack/index.ts');
    startStack({ dir: process.argv[1], postgres: ['alpha'], temporal: { headless: true }, durable: false }).then((stack) => {
      const { temporal, postgres: { alpha } } = stack;
      console.log(JSON.stringify({ servers: [temporal.server.identity, alpha.server.identity], temporal: temporal.address, url: alpha.url }));
      ${afterwards}
    }, (error) => { console.error(error); process.exit(1); });`;
  const child = spawn(process.execPath, ['-e', program, folder], { cwd: project, env, ...as, stdio: ['ignore', 'pipe', 'inherit'] });
  const started = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(String(line)));
    child.once('exit', (code) => reject(new Error(`the process ended with ${String(code)} before its stack was up`)));
  });
  return { child, ...(JSON.parse(started) as Omit<StartedElsewhere, 'child'>) };
}

async function untilGone(servers: ProcessIdentity[], limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (servers.some(isStillRunning)) {
    if (Date.now() > deadline) throw new Error(`still running after ${limitMs} ms: ${JSON.stringify(servers.filter(isStillRunning))}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const keepRunning = 'setInterval(() => {}, 1000);';

describe('servers end with the process that started them', () => {
  it('when it is killed by kill -9', async () => {
    const { child, servers } = await startElsewhere(dir, keepRunning);
    expect(servers.map(isStillRunning)).toEqual([true, true]);
    child.kill('SIGKILL');
    await untilGone(servers, 30_000);
    expect(existsSync(path.join(dir, 'postgres/alpha/data/postmaster.pid'))).toBe(false); // an orderly end, not a crash
  }, 180_000);

  it('when it comes to its end without stopping them', async () => {
    const { child, servers } = await startElsewhere(dir, '');
    if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
    expect(child.exitCode).toBe(0);
    await untilGone(servers, 30_000);
  }, 180_000);
});

describe('starting', () => {
  let stack: Stack | undefined;
  afterEach(async () => {
    await stack?.stop();
    stack = undefined;
  });

  it('works twice at the same moment', async () => {
    const both = await Promise.all(['a', 'b'].map((name) => startElsewhere(path.join(dir, name), keepRunning)));
    try {
      const ports = both.flatMap(({ temporal, url }) => [temporal.split(':')[1], new URL(url).port]);
      expect(new Set(ports).size).toBe(4);
      for (const { temporal, url } of both) expect([await answersDescribe(temporal), await answersQuery(url)]).toEqual([true, true]);
    } finally {
      for (const { child } of both) child.kill('SIGKILL');
      await untilGone(both.flatMap(({ servers }) => servers), 15_000);
    }
  }, 180_000);

  it('takes another port when the wanted one is in use', async () => {
    const { port, release } = await reservePort();
    const occupant = createServer();
    await new Promise<void>((resolve) => occupant.listen(port, '127.0.0.1', resolve));
    release();
    try {
      stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], preferredPostgresPorts: { alpha: port }, temporal: { headless: true, preferredPort: port } });
      expect(new URL(stack.postgres['alpha']!.url).port).not.toBe(String(port));
      expect(stack.temporal!.address).not.toBe(`127.0.0.1:${port}`);
    } finally {
      await new Promise((resolve) => occupant.close(resolve));
    }
  }, 180_000);

  it('shows the end of the log when a server cannot start, and leaves nothing running', async () => {
    const data = path.join(dir, 'postgres/alpha/data');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    writeFileSync(path.join(data, 'PG_VERSION'), '18\n');
    writeFileSync(path.join(dir, 'postgres/alpha/password'), 'x');
    const failure = await startStack({ dir, env, durable: false, postgres: ['alpha', 'beta'], temporal: false }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StackError);
    expect((failure as Error).message).toMatch(/PostgreSQL "alpha" ended while it was starting[^]*server\.log[^]*could not access the server configuration file/);
    expect(existsSync(path.join(dir, 'postgres/beta/data/postmaster.pid'))).toBe(false);
  }, 180_000);

  it('keeps what is in the folder', async () => {
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false });
    const { url } = stack.postgres['alpha']!;
    await stack.stop();
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false, preferredPostgresPorts: { alpha: Number(new URL(url).port) } });
    expect(stack.postgres['alpha']!.url).toBe(url);
  }, 180_000);

  it('begins again where a killed server left a lock file and its pid went to another process', async () => {
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false });
    const lock = path.join(dir, 'postgres/alpha/data/postmaster.pid');
    const { identity } = stack.postgres['alpha']!.server!;
    const [, ...rest] = readFileSync(lock, 'utf8').split('\n');
    process.kill(identity.pid, 'SIGKILL');
    await untilGone([identity], 5_000);
    writeFileSync(lock, [process.pid, ...rest].join('\n'));
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false });
    expect(await answersQuery(stack.postgres['alpha']!.url)).toBe(true);
  }, 180_000);

  it('refuses a data folder on which another server runs', async () => {
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false });
    await expect(startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: false })).rejects.toThrow(/lock file "postmaster.pid" already exists/);
    expect(await answersQuery(stack.postgres['alpha']!.url)).toBe(true);
  }, 180_000);

  it('uses a server that is given, and does not stop it', async () => {
    stack = await startStack({ dir, env, durable: false, postgres: ['alpha'], temporal: { headless: true } });
    const given = { ...env, TEMPORAL_ADDRESS: stack.temporal!.address, CARAVAN_STACK_ALPHA_URL: stack.postgres['alpha']!.url };
    const user = await startStack({ dir: path.join(dir, 'other'), env: given, postgres: ['alpha'] });
    expect([user.temporal!.address, user.postgres['alpha']!.url]).toEqual([stack.temporal!.address, stack.postgres['alpha']!.url]);
    await user.stop();
    expect([await answersDescribe(stack.temporal!.address), await answersQuery(stack.postgres['alpha']!.url)]).toEqual([true, true]);
  }, 180_000);

  it('says what is wrong with a given server', async () => {
    const { port, release } = await reservePort();
    const given = { ...env, TEMPORAL_ADDRESS: `127.0.0.1:${port}`, CARAVAN_STACK_ALPHA_URL: `postgres://postgres:x@127.0.0.1:${port}/postgres` };
    const failure = await startStack({ dir, env: given, postgres: ['alpha'] }).catch((error: unknown) => error);
    release();
    expect((failure as Error).message).toMatch(/PostgreSQL given for "alpha" cannot be used[^]*CARAVAN_STACK_ALPHA_URL[^]*Temporal at 127[^]*TEMPORAL_ADDRESS/);
  }, 180_000);
});

// Needs root: only root can become somebody else.
(isRoot ? describe : describe.skip)('started by root (skipped without root)', () => {
  it('runs PostgreSQL as the user nobody where user namespaces are forbidden', async () => {
    const { value: source } = await climb('PostgreSQL', postgresRungs('alpha', env));
    if (source.kind !== 'binaries') throw new Error('expected programs, not an address');
    const user = await asNobody(path.join(source.folder, 'postgres'));
    const cluster = await startPostgresCluster({ name: 'alpha', binaries: source.folder, folder: path.join(dir, 'postgres/alpha'), durable: false, user });
    try {
      expect(await answersQuery(cluster.url)).toBe(true);
    } finally {
      await cluster.server.stop();
    }
  }, 180_000);

  it('works as an ordinary user too', async () => {
    // A home of its own, and the program on its PATH: the cache of root is closed to it.
    const home = path.join(dir, 'home');
    mkdirSync(path.join(home, 'bin'), { recursive: true });
    const { value: source } = await climb('Temporal', temporalRungs(env));
    if (source.kind !== 'program') throw new Error('expected a program, not an address');
    copyFileSync(source.program, path.join(home, 'bin/temporal'));
    chmodSync(dir, 0o711);
    chownSync(home, 65534, 65534);
    const itsEnv = { ...env, HOME: home, PATH: `${path.join(home, 'bin')}:${env['PATH'] ?? ''}` };
    const { child, servers, temporal, url } = await startElsewhere(path.join(home, 'stack'), keepRunning, { uid: 65534, gid: 65534, env: itsEnv });
    try {
      expect([await answersDescribe(temporal), await answersQuery(url)]).toEqual([true, true]);
    } finally {
      child.kill('SIGKILL');
      await untilGone(servers, 30_000);
    }
  }, 180_000);
});

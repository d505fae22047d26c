import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { startGuarded, waitUntilHealthy, type GuardedServer } from './guarded-server';
import { reservePort } from './port-reservation';
import { clearStaleLock } from './postgres-stale-lock';
import { findPostgresUser, type PostgresUser } from './postgres-user';
import { ask } from './program-lookup';
import { StackError } from './stack-error';
import { writePrivateFile } from './private-file';

export interface PostgresClusterOptions {
  name: string;
  /** Folder with `postgres` and `initdb`. */
  binaries: string;
  /** Holds `data/`, `password` and `server.log`; what is there already is used again. */
  folder: string;
  /** false: no fsync, for tests. A crash of the machine then loses the cluster; a crash of the server does not. */
  durable: boolean;
  preferredPort?: number;
  /** How the programs are run; found out by itself when not given. */
  user?: PostgresUser;
}

export interface PostgresCluster {
  server: GuardedServer;
  port: number;
  /** Superuser `postgres`, database `postgres`, with the password. */
  url: string;
}

const healthLimitMs = 60_000;
const startAttempts = 4;

/** Settings fit for a small shared machine; logical decoding and prepared transactions are on, for change capture and its drain. */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_replication_slots: '10',
  max_wal_senders: '10',
  max_prepared_transactions: '10',
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
};

/** Creates the cluster if need be, starts it and waits until it answers a query. */
export async function startPostgresCluster(options: PostgresClusterOptions): Promise<PostgresCluster> {
  const user = options.user ?? (await findPostgresUser(options.binaries));
  if ('reason' in user) throw new StackError(user.reason, user.remedy);
  const password = await ensureCluster(options, user);
  await clearStaleLock(dataFolder(options));
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(options, user, password, attempt === 1 ? options.preferredPort : undefined);
    } catch (error) {
      if (attempt === startAttempts || !isPortConflict(error)) throw error;
    }
  }
}

async function startOnce(options: PostgresClusterOptions, user: PostgresUser, password: string, preferredPort?: number): Promise<PostgresCluster> {
  const reservation = await reservePort(preferredPort);
  try {
    const { port } = reservation;
    const durability = options.durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
    const flags = Object.entries({ ...settings, ...durability }).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
    const [program = '', ...args] = [...user.prefix, path.join(options.binaries, 'postgres'), '-D', dataFolder(options), '-p', String(port), ...flags];
    const server = await startGuarded({
      program,
      args,
      logFile: path.join(options.folder, 'server.log'),
      stopSignal: 'SIGINT', // "fast": ends sessions, writes a checkpoint
      uid: user.uid,
      gid: user.gid,
      cwd: dataFolder(options),
    });
    const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
    await waitUntilHealthy(server, `PostgreSQL "${options.name}"`, healthLimitMs, () => answersQuery(url));
    return { server, port, url };
  } finally {
    reservation.release();
  }
}

/** True when the server at this URL answers a query within 5 s; throws its own error when it does not. */
export async function answersQuery(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A server that dies in between reports it here as well as in the promise.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Makes the data folder under another name and renames it at the end, so that a half-made one is never used. Returns the password. */
async function ensureCluster(options: PostgresClusterOptions, user: PostgresUser): Promise<string> {
  const data = dataFolder(options);
  const passwordFile = path.join(options.folder, 'password');
  if (existsSync(path.join(data, 'PG_VERSION'))) {
    await refuseOtherMajor(options);
    return readFileSync(passwordFile, 'utf8');
  }
  mkdirSync(options.folder, { recursive: true });
  const password = randomBytes(18).toString('hex');
  const unfinished = path.join(options.folder, `data.${randomBytes(4).toString('hex')}`);
  const passwordForInitdb = `${unfinished}.password`;
  mkdirSync(unfinished, { mode: 0o700 });
  try {
    writeFileSync(passwordForInitdb, password, { mode: 0o600 });
    await giveTo(user, options.folder, [unfinished, passwordForInitdb]);
    const flags = ['-D', unfinished, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordForInitdb}`, '--encoding=UTF8', '--locale=C', '--no-sync'];
    const [program = '', ...args] = [...user.prefix, path.join(options.binaries, 'initdb'), ...flags];
    const answer = await ask(program, args, { timeoutMs: 120_000, uid: user.uid, gid: user.gid, cwd: unfinished, env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' } });
    if (!answer.ok) throw new StackError(`initdb failed for PostgreSQL "${options.name}":\n${answer.output}`);
    writePrivateFile(passwordFile, password);
    renameSync(unfinished, data);
  } finally {
    rmSync(passwordForInitdb, { force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
  return password;
}

async function refuseOtherMajor(options: PostgresClusterOptions): Promise<void> {
  const data = dataFolder(options);
  const found = readFileSync(path.join(data, 'PG_VERSION'), 'utf8').trim();
  const answer = await ask(path.join(options.binaries, 'postgres'), ['--version']);
  const ours = /(\d+)/.exec(answer.output)?.[1] ?? 'unknown';
  if (ours === found) return;
  throw new StackError(`${data} was made by PostgreSQL ${found}, and ${options.binaries} holds version ${ours}.`, `Remove ${options.folder} to begin with an empty cluster, or put PostgreSQL ${found} back.`);
}

/** With a user of its own PostgreSQL must own its data and be able to walk to it; the other files of our folders stay closed (0600). */
async function giveTo(user: PostgresUser, folder: string, owned: string[]): Promise<void> {
  const { uid, gid } = user;
  if (uid === undefined || gid === undefined) return;
  for (const file of owned) chownSync(file, uid, gid);
  // The folders that the stack itself made; whatever lies above them is not ours to open.
  const stackDir = path.dirname(path.dirname(folder));
  const made = [folder, path.dirname(folder), stackDir, path.dirname(stackDir)];
  for (const parent of made.filter((ancestor, depth) => depth < 3 || path.basename(ancestor) === '.caravan')) chmodSync(parent, 0o711);
  const entered = await ask('test', ['-x', folder], { uid, gid, cwd: '/' });
  if (!entered.ok) throw new StackError(`PostgreSQL must run as the user nobody here, who cannot enter ${folder}.`, 'Run this as an ordinary user, or in a folder that every user may enter.');
}

function dataFolder(options: PostgresClusterOptions): string {
  return path.join(options.folder, 'data');
}

function isPortConflict(error: unknown): boolean {
  return error instanceof StackError && /could not bind|Address already in use|could not create any TCP\/IP sockets/i.test(error.message);
}

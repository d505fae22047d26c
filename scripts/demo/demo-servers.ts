import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { startStack, type Stack } from '../stack';

/** The servers of one demo. */
export interface DemoServers {
  /** Data, logs and staging store; gone after `stop`. */
  folder: string;
  temporal: { address: string; namespace: string; uiUrl?: string };
  legacyUrl: string;
  newUrl: string;
  /** Variables that name the two databases for the plan. */
  connections: Record<string, string>;
  /** An empty file: the demo knows no other connections. */
  connectionsFile: string;
  /** Rejects when a server ends before it was stopped. */
  failed: Promise<never>;
  stop(): Promise<void>;
}

export interface DemoServerOptions {
  /** Use the servers that the environment names. */
  given: boolean;
  signal: AbortSignal;
  /** Called with the address of the Web UI as soon as it answers. */
  onUi: (link: string) => void;
  onProgress: (line: string) => void;
}

const LOOK_EVERY_MS = 500;
const DEMO_FOLDER = path.join(__dirname, '..', '..', '.caravan', 'demo');

/**
 * Starts Temporal and two PostgreSQL clusters, Temporal first to be seen. Own servers unless `given`: a demo must not meet servers that
 * people work on. Rejects with the reason when one cannot be had; those already started are stopped then.
 */
export async function startDemoServers({ given, signal, onUi, onProgress }: DemoServerOptions): Promise<DemoServers> {
  const folder = ownFolder();
  const env = given ? process.env : withoutGiven(process.env);
  const begin = (options: Parameters<typeof startStack>[0]): Promise<Stack> => startStack({ ...options, env, durable: false, onProgress });
  const starts = await Promise.allSettled([
    begin({ dir: folder, postgres: [], temporal: { preferredUiPort: 8233 } }).then((stack) => {
      if (stack.temporal?.uiUrl) onUi(`${stack.temporal.uiUrl}/namespaces/${stack.temporal.namespace}/workflows`);
      return stack;
    }),
    begin({ dir: folder, temporal: false }),
  ]);
  const stacks = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const halt = async (): Promise<void> => {
    await Promise.all(stacks.map((stack) => stack.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const failure = starts.find((start) => start.status === 'rejected');
    if (failure) throw failure.reason;
    signal.throwIfAborted();
    return await openDatabases(stacks, folder, halt);
  } catch (error) {
    await halt();
    throw signal.aborted ? new Error('interrupted while the servers were starting') : error;
  }
}

async function openDatabases(stacks: Stack[], folder: string, halt: () => Promise<void>): Promise<DemoServers> {
  const temporal = stacks[0]?.temporal;
  const [legacy, fresh] = ['legacy', 'new'].map((name) => stacks[1]?.postgres[name]);
  if (!temporal || !legacy || !fresh) throw new Error('a server of the demo is missing');
  const suffix = randomBytes(3).toString('hex');
  const legacyDatabase = await createDatabase(legacy.url, legacy.server ? 'shop' : `caravan_demo_legacy_${suffix}`);
  const newDatabase = await createDatabase(fresh.url, fresh.server ? 'shop' : `caravan_demo_new_${suffix}`);
  const connectionsFile = path.join(folder, 'connections.yaml');
  writeFileSync(connectionsFile, '{}\n');
  const watch = watchServers(stacks);
  let stopping: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    watch.end();
    if (!legacy.server) await legacyDatabase.drop();
    if (!fresh.server) await newDatabase.drop();
    await halt();
  };
  return {
    folder, connectionsFile,
    temporal: { address: temporal.address, namespace: temporal.namespace, uiUrl: temporal.uiUrl },
    legacyUrl: legacyDatabase.url, newUrl: newDatabase.url,
    connections: { CARAVAN_CONNECTION_LEGACY_DB: legacyDatabase.url, CARAVAN_CONNECTION_NEW_DB: newDatabase.url },
    failed: watch.failed,
    stop: () => (stopping ??= stop()),
  };
}

/** A folder named by this process; those of demos that were killed are removed. */
function ownFolder(): string {
  const base = path.join(DEMO_FOLDER, 'servers');
  mkdirSync(base, { recursive: true });
  for (const name of readdirSync(base)) if (!isAlive(Number(name))) rmSync(path.join(base, name), { recursive: true, force: true });
  const folder = path.join(base, String(process.pid));
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
  return folder;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function withoutGiven(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name !== 'TEMPORAL_ADDRESS' && !/^CARAVAN_STACK_.*_URL$/.test(name)));
}

async function createDatabase(server: string, name: string): Promise<{ url: string; drop(): Promise<void> }> {
  await runOn(server, `CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8'`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => runOn(server, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`) };
}

async function runOn(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A run waits for systems that are away; a demo whose server has ended would wait for ever. */
function watchServers(stacks: Stack[]): { failed: Promise<never>; end(): void } {
  const servers = stacks.flatMap((stack) => [
    ...Object.entries(stack.postgres).map(([name, service]) => ({ name: `PostgreSQL "${name}"`, server: service.server })),
    ...(stack.temporal ? [{ name: 'Temporal', server: stack.temporal.server }] : []),
  ]);
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    timer = setInterval(() => {
      const gone = servers.find(({ server }) => server?.hasExited());
      if (!gone) return;
      clearInterval(timer);
      reject(new Error(`${gone.name} ended in the middle of the demo. The end of its log is in ${gone.server?.logFile ?? 'its log file'}`));
    }, LOOK_EVERY_MS);
    timer.unref();
  });
  failed.catch(() => undefined);
  return { failed, end: () => clearInterval(timer) };
}

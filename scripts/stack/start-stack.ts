import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { GuardedServer } from './guarded-server';
import { answersQuery, startPostgresCluster } from './postgres-cluster';
import { postgresRungs, postgresUrlVariable } from './postgres-binaries';
import { climb } from './provider-ladder';
import { StackError } from './stack-error';
import { checkGivenTemporal } from './temporal-health';
import { temporalRungs } from './temporal-program';
import { startTemporalServer } from './temporal-server';

export interface TemporalOptions {
  /** Workflows survive a restart with the same file; without one they live in memory. */
  dbFile?: string;
  /** true: no Web UI. */
  headless?: boolean;
  /** Taken when free, else another one. */
  preferredPort?: number;
  preferredUiPort?: number;
  /** Settings of the server for special tests, `KEY=JSON`. */
  dynamicConfig?: string[];
}

export interface StackOptions {
  /** Data, logs and passwords go here. The same folder again means the same clusters again. */
  dir: string;
  /** false: no Temporal. */
  temporal?: TemporalOptions | false;
  /** Names of the PostgreSQL clusters (letters, digits, `-`, `_`); `legacy` and `new` when not given. */
  postgres?: string[];
  /** false: no fsync, for tests. */
  durable?: boolean;
  /** Port wanted per PostgreSQL cluster; taken when free, else another one. */
  preferredPostgresPorts?: Record<string, number>;
  /** Where given addresses, PATH and cache settings are read; `process.env` when not given. */
  env?: NodeJS.ProcessEnv;
  /** One line for people per step. */
  onProgress?: (line: string) => void;
}

export interface TemporalService {
  address: string;
  namespace: string;
  /** Missing when the server is not ours or has no UI. */
  uiUrl?: string;
  /** The server's own numbers. Missing when the server is not ours. */
  metricsUrl?: string;
  provider: string;
  /** Missing when the server is not ours. */
  server?: GuardedServer;
}

export interface PostgresService {
  /** Superuser, database `postgres`, with the password. */
  url: string;
  provider: string;
  /** Missing when the server is not ours. */
  server?: GuardedServer;
}

/** Running servers. They end with this process, however it ends, unless they are released. */
export interface Stack {
  temporal?: TemporalService;
  postgres: Record<string, PostgresService>;
  /** Stops what was started here, never a server that was given. Resolves once all are gone. */
  stop(): Promise<void>;
}

/**
 * Starts (or finds) the servers, all at the same time, and waits until each one answers.
 * Throws a StackError with the reason and the remedy when one cannot be had; those already started are stopped before.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack: Stack = { postgres: {}, stop: () => stopServers(stack) };
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  const starts: Promise<void>[] = (options.postgres ?? ['legacy', 'new']).map(async (name) => {
    stack.postgres[name] = await startPostgres(name, options);
  });
  if (options.temporal !== false) starts.push(startTemporal(options).then((service) => void (stack.temporal = service)));
  const results = await Promise.allSettled(starts);
  const failures = results.filter((result) => result.status === 'rejected').map((result) => result.reason as Error);
  if (failures.length > 0) {
    await stack.stop();
    throw failures.length === 1 ? failures[0] : new StackError(failures.map((failure) => failure.message).join('\n\n'));
  }
  return stack;
}

/** Finds or starts Temporal alone; see {@link startStack}. */
export async function startTemporal(options: Pick<StackOptions, 'dir' | 'env' | 'onProgress'> & { temporal?: TemporalOptions | false }): Promise<TemporalService> {
  const { env = process.env, onProgress = () => undefined } = options;
  const { value: source, provider } = await climb('Temporal', temporalRungs(env, onProgress), onProgress);
  if (source.kind === 'address') {
    const namespace = await checkGivenTemporal(source.address, env);
    onProgress(`Temporal: ${source.address}, namespace ${namespace} (${provider})`);
    return { address: source.address, namespace, provider };
  }
  const { server, address, uiUrl, metricsUrl } = await startTemporalServer({ ...(options.temporal || {}), program: source.program, folder: path.join(options.dir, 'temporal') });
  onProgress(`Temporal: ${address}${uiUrl ? `, Web UI ${uiUrl}` : ''} (${provider})`);
  return { address, namespace: 'default', uiUrl, metricsUrl, provider, server };
}

async function startPostgres(name: string, options: StackOptions): Promise<PostgresService> {
  if (!/^[a-z][a-z0-9_-]*$/i.test(name)) throw new StackError(`"${name}" is not a name for a PostgreSQL cluster`, 'Use letters, digits, "-" and "_", with a letter first.');
  const { env = process.env, onProgress = () => undefined } = options;
  const { value: source, provider } = await climb(`PostgreSQL "${name}"`, postgresRungs(name, env), onProgress);
  if (source.kind === 'url') {
    await checkGivenPostgres(name, source.url);
    onProgress(`PostgreSQL "${name}": ${new URL(source.url).host} (${provider})`);
    return { url: source.url, provider };
  }
  const { server, port, url } = await startPostgresCluster({
    name,
    binaries: source.folder,
    folder: path.join(options.dir, 'postgres', name),
    durable: options.durable ?? true,
    preferredPort: options.preferredPostgresPorts?.[name],
  });
  onProgress(`PostgreSQL "${name}": 127.0.0.1:${port} (${provider})`);
  return { url, provider, server };
}

async function checkGivenPostgres(name: string, url: string): Promise<void> {
  try {
    await answersQuery(url);
  } catch (error) {
    throw new StackError(`the PostgreSQL given for "${name}" cannot be used: ${(error as Error).message}`, `Check ${postgresUrlVariable(name)}, or unset it to use a local server.`);
  }
}

async function stopServers(stack: Stack): Promise<void> {
  const services = [...Object.values(stack.postgres), ...(stack.temporal ? [stack.temporal] : [])];
  await Promise.all(services.map(async (service) => service.server?.stop()));
}

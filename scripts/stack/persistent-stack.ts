import { rmSync } from 'node:fs';
import path from 'node:path';
import { withFolderLock } from './folder-lock';
import { lastLines, stopLimitMs } from './guarded-server';
import { answersQuery } from './postgres-cluster';
import { writePrivateFile, readJsonFile } from './private-file';
import { isStillRunning, stopProcess, type ProcessIdentity } from './process-identity';
import { attachOrStartTemporal, runningTemporal } from './project-temporal';
import { StackError } from './stack-error';
import { startStack } from './start-stack';
import { answersDescribe } from './temporal-health';

/** One server of the project's persistent stack, as `.caravan/stack/state.json` records it. */
export interface ServiceRecord {
  service: 'temporal' | 'postgres';
  /** `temporal`, or the name of the cluster. */
  name: string;
  provider: string;
  /** PostgreSQL: superuser URL with the password. Temporal: host and port. */
  url: string;
  uiUrl?: string;
  namespace?: string;
  /** The process that `stack down` stops. Missing for a server that was given, or that belongs to another command. */
  process?: ProcessIdentity;
  logFile?: string;
}

export type ServiceState = 'running' | 'not answering' | 'stopped' | 'given' | 'of another command';

export interface ServiceStatus extends ServiceRecord {
  state: ServiceState;
}

export interface StackUpOptions {
  /** false: no Temporal. */
  temporal?: boolean;
  /** Names of the clusters; `legacy` and `new` when not given. */
  postgres?: string[];
  /** Temporal's ports wanted the first time; free ones when not given. */
  preferredTemporalPort?: number;
  preferredTemporalUiPort?: number;
  env?: NodeJS.ProcessEnv;
  onProgress?: (line: string) => void;
}

/**
 * Starts what does not run yet; all of it outlives this process. May be repeated: servers that run are kept, stopped ones
 * start again on their data and, where free, their ports. Recorded before they are let go: if this process is killed in
 * between, they end with it.
 */
export async function stackUp(projectDir: string, options: StackUpOptions = {}): Promise<ServiceStatus[]> {
  return withFolderLock(stackFolder(projectDir), async () => {
    const before = readRecords(projectDir);
    const temporal = options.temporal === false ? before.filter((record) => record.service === 'temporal') : [await temporalUp(projectDir, options)];
    saveRecords(projectDir, [...temporal, ...before.filter((record) => record.service === 'postgres')]);
    await postgresUp(projectDir, options);
    writeEnvironmentFile(projectDir);
    return stackStatus(projectDir);
  });
}

/** Stops exactly the servers that `stackUp` started, never another process. Data stays. Returns what was stopped. */
export async function stackDown(projectDir: string): Promise<ServiceRecord[]> {
  return withFolderLock(stackFolder(projectDir), async () => {
    const records = recordsWithTemporal(projectDir);
    const running = records.filter((record) => record.process && isStillRunning(record.process));
    await Promise.all(running.map((record) => stopProcess(record.process!, record.service === 'postgres' ? 'SIGINT' : 'SIGTERM', stopLimitMs)));
    saveRecords(projectDir, records.filter((record) => record.logFile).map((record) => ({ ...record, process: undefined })));
    rmSync(environmentFile(projectDir), { force: true });
    return running;
  });
}

/** Every recorded server and whether it answers now. */
export async function stackStatus(projectDir: string): Promise<ServiceStatus[]> {
  return Promise.all(readRecords(projectDir).map(async (record) => ({ ...record, state: await stateOf(record) })));
}

/** The last lines of the log of each server that we started; of one server if a name is given. */
export function stackLogs(projectDir: string, name?: string, lineCount = 50): { name: string; logFile: string; text: string }[] {
  const records = readRecords(projectDir).filter((record) => name === undefined || record.name === name);
  if (name !== undefined && records.length === 0) throw new StackError(`the stack has no server "${name}"`, 'caravan stack status shows their names; caravan stack up starts them.');
  return records.flatMap(({ name: recorded, logFile }) => (logFile ? [{ name: recorded, logFile, text: lastLines(logFile, lineCount) }] : []));
}

export function stateFile(projectDir: string): string {
  return path.join(stackFolder(projectDir), 'state.json');
}

/** Shell settings with the addresses and passwords (mode 0600); present while the stack is up. */
export function environmentFile(projectDir: string): string {
  return path.join(stackFolder(projectDir), 'env');
}

async function temporalUp(projectDir: string, options: StackUpOptions): Promise<ServiceRecord> {
  const temporal = await attachOrStartTemporal(projectDir, {
    persistent: true,
    preferredPort: options.preferredTemporalPort,
    preferredUiPort: options.preferredTemporalUiPort,
    env: options.env,
    onProgress: options.onProgress,
  });
  const { address, uiUrl, namespace, provider, record, attached } = temporal;
  if (attached) {
    options.onProgress?.(`Temporal: ${address} runs already${record?.persistent === false ? '; it ends with the command that started it' : ''}`);
    await temporal.stop();
  }
  return { service: 'temporal', name: 'temporal', provider, url: address, uiUrl, namespace, process: record?.persistent ? record.process : undefined, logFile: record?.logFile };
}

async function postgresUp(projectDir: string, options: StackUpOptions): Promise<void> {
  const { postgres: wanted = ['legacy', 'new'], env, onProgress } = options;
  const records = readRecords(projectDir);
  const kept: string[] = [];
  for (const { name, state, process: hung, logFile } of (await stackStatus(projectDir)).filter((record) => record.service === 'postgres')) {
    if (state === 'running') kept.push(name);
    if (state === 'not answering') throw new StackError(`PostgreSQL "${name}" runs (process ${hung?.pid ?? 'unknown'}) but does not answer. Its log: ${logFile ?? 'none'}`, 'Stop it with "caravan stack down", then start it again.');
  }
  for (const name of kept) onProgress?.(`PostgreSQL "${name}": runs already`);
  const preferredPostgresPorts = Object.fromEntries(records.filter((record) => record.service === 'postgres' && record.logFile).map((record) => [record.name, Number(new URL(record.url).port)]));
  const stack = await startStack({ dir: stackFolder(projectDir), temporal: false, postgres: wanted.filter((name) => !kept.includes(name)), preferredPostgresPorts, env, onProgress });
  const inOrder = Object.entries(stack.postgres).sort(([a], [b]) => wanted.indexOf(a) - wanted.indexOf(b));
  const started = inOrder.map(([name, { url, provider, server }]): ServiceRecord => ({ service: 'postgres', name, provider, url, process: server?.identity, logFile: server?.logFile }));
  saveRecords(projectDir, [...records.filter((record) => record.service !== 'postgres' || !(record.name in stack.postgres)), ...started]);
  await Promise.all(Object.values(stack.postgres).map(async (service) => service.server?.release()));
}

/** The recorded servers, with the Temporal of a \`stackUp\` that ended before it could write them. */
function recordsWithTemporal(projectDir: string): ServiceRecord[] {
  const records = readRecords(projectDir);
  const temporal = runningTemporal(projectDir);
  if (!temporal?.persistent) return records;
  const { address, uiUrl, provider, process, logFile } = temporal;
  return [{ service: 'temporal', name: 'temporal', provider, url: address, uiUrl, process, logFile }, ...records.filter((record) => record.service !== 'temporal')];
}

async function stateOf(record: ServiceRecord): Promise<ServiceState> {
  const answers = (): Promise<boolean> => (record.service === 'temporal' ? answersDescribe(record.url) : answersQuery(record.url)).catch(() => false);
  if (!record.logFile) return 'given';
  if (!record.process) return record.service === 'temporal' && (await answers()) ? 'of another command' : 'stopped';
  if (!isStillRunning(record.process)) return 'stopped';
  return (await answers()) ? 'running' : 'not answering';
}

function stackFolder(projectDir: string): string {
  return path.join(projectDir, '.caravan', 'stack');
}

function readRecords(projectDir: string): ServiceRecord[] {
  return readJsonFile<{ services: ServiceRecord[] }>(stateFile(projectDir))?.services ?? [];
}

function saveRecords(projectDir: string, services: ServiceRecord[]): void {
  writePrivateFile(stateFile(projectDir), JSON.stringify({ services }, null, 2));
}

function writeEnvironmentFile(projectDir: string): void {
  const lines = readRecords(projectDir).map(({ service, name, url }) => (service === 'temporal' ? `export TEMPORAL_ADDRESS='${url}'` : `export CARAVAN_CONNECTION_${name.toUpperCase().replaceAll('-', '_')}='${url}'`));
  writePrivateFile(environmentFile(projectDir), `${lines.join('\n')}\n`);
}

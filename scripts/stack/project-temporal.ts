import path from 'node:path';
import { withFolderLock } from './folder-lock';
import { readJsonFile, writePrivateFile } from './private-file';
import { isStillRunning, type ProcessIdentity } from './process-identity';
import { StackError } from './stack-error';
import { startTemporal } from './start-stack';
import { answersDescribe } from './temporal-health';

/** What `.caravan/temporal/server.json` records about the project's own Temporal, running or not. */
export interface TemporalRecord {
  address: string;
  uiUrl?: string;
  provider: string;
  process: ProcessIdentity;
  logFile: string;
  /** true: started by `stack up`, runs until `stack down`. false: ends with the command that started it. */
  persistent: boolean;
}

export interface ProjectTemporal {
  address: string;
  namespace: string;
  uiUrl?: string;
  provider: string;
  /** true: it ran already (or was given) and `stop` leaves it alone. */
  attached: boolean;
  /** Missing for a server that was given. */
  record?: TemporalRecord;
  /** Stops the server if this call started it and it is not persistent. */
  stop(): Promise<void>;
}

export interface ProjectTemporalOptions {
  /** true: the server outlives this process. */
  persistent?: boolean;
  /** Ports wanted the first time; later the same as before, so that workers find it again. */
  preferredPort?: number;
  preferredUiPort?: number;
  env?: NodeJS.ProcessEnv;
  onProgress?: (line: string) => void;
}

const endLimitMs = 20_000;
const watchEveryMs = 1_000;

export function temporalFolder(projectDir: string): string {
  return path.join(projectDir, '.caravan', 'temporal');
}

/** The record of the project's Temporal if its process lives. */
export function runningTemporal(projectDir: string): TemporalRecord | undefined {
  const record = readJsonFile<TemporalRecord>(recordFile(projectDir));
  return record && isStillRunning(record.process) ? record : undefined;
}

/**
 * The Temporal of this project: the one that TEMPORAL_ADDRESS names, else the project's own one, whose database is
 * `.caravan/temporal/temporal.db`. If its process lives we attach to it, else it is started on the same database and,
 * where they are free, the same ports. While attached to a server of another command we watch it: when that command
 * ends, the server is started again here.
 */
export async function attachOrStartTemporal(projectDir: string, options: ProjectTemporalOptions = {}): Promise<ProjectTemporal> {
  const { env = process.env, onProgress } = options;
  const known = readJsonFile<TemporalRecord>(recordFile(projectDir));
  const given = env['TEMPORAL_ADDRESS'];
  // After `stack up` the shell may name our own server: that one is attached to, or started again, like without.
  if (given && given !== known?.address) {
    const service = await startTemporal({ dir: path.join(projectDir, '.caravan'), env, onProgress });
    return { ...service, attached: true, stop: async () => undefined };
  }
  const own = await withFolderLock(temporalFolder(projectDir), async () => (await attach(projectDir)) ?? (await start(projectDir, options)));
  return own.attached && !own.record?.persistent ? watched(own, projectDir, options) : own;
}

async function attach(projectDir: string): Promise<ProjectTemporal | undefined> {
  const deadline = Date.now() + endLimitMs;
  for (;;) {
    const record = runningTemporal(projectDir);
    if (!record) return undefined;
    if (await answersDescribe(record.address).catch(() => false)) {
      const { address, uiUrl, provider } = record;
      return { address, uiUrl, provider, namespace: 'default', attached: true, record, stop: async () => undefined };
    }
    // It may be on its way out, and two servers must not share one database file.
    if (Date.now() > deadline) throw new StackError(`the Temporal of this project (process ${record.process.pid}, ${record.address}) runs but does not answer. Its log: ${record.logFile}`, `Stop process ${record.process.pid} and try again.`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function start(projectDir: string, options: ProjectTemporalOptions): Promise<ProjectTemporal> {
  const { env = process.env, onProgress, persistent = false } = options;
  const before = readJsonFile<TemporalRecord>(recordFile(projectDir));
  const service = await startTemporal({
    dir: path.join(projectDir, '.caravan'),
    env: { ...env, TEMPORAL_ADDRESS: undefined },
    onProgress,
    temporal: {
      dbFile: path.join(temporalFolder(projectDir), 'temporal.db'),
      preferredPort: portOf(before?.address) ?? options.preferredPort,
      preferredUiPort: portOf(before?.uiUrl) ?? options.preferredUiPort,
    },
  });
  const { address, uiUrl, provider, namespace, server } = service;
  if (!server) throw new Error('a Temporal that was just started has no process');
  const record: TemporalRecord = { address, uiUrl, provider, process: server.identity, logFile: server.logFile, persistent };
  writePrivateFile(recordFile(projectDir), JSON.stringify(record, null, 2));
  if (persistent) await server.release();
  return { address, uiUrl, provider, namespace, attached: false, record, stop: async () => (persistent ? undefined : server.stop()) };
}

/** Takes over when the server that we attached to ends with its own command. Its clients reconnect by themselves: same ports. */
function watched(attached: ProjectTemporal, projectDir: string, options: ProjectTemporalOptions): ProjectTemporal {
  let successor: Promise<ProjectTemporal> | undefined;
  const { onProgress = () => undefined } = options;
  const timer = setInterval(() => {
    if (!attached.record || isStillRunning(attached.record.process)) return;
    clearInterval(timer);
    successor = attachOrStartTemporal(projectDir, options);
    successor.then(
      (next) => next.address !== attached.address && onProgress(`Temporal moved from ${attached.address} to ${next.address}: this command must be started again`),
      (error: Error) => onProgress(`Temporal ended and could not be started again: ${error.message}`),
    );
  }, watchEveryMs);
  timer.unref();
  return {
    ...attached,
    async stop() {
      clearInterval(timer);
      await (await successor?.catch(() => undefined))?.stop();
    },
  };
}

function recordFile(projectDir: string): string {
  return path.join(temporalFolder(projectDir), 'server.json');
}

function portOf(address: string | undefined): number | undefined {
  const port = Number(address?.slice(address.lastIndexOf(':') + 1));
  return Number.isInteger(port) && port > 0 ? port : undefined;
}

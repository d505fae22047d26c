import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { startGuarded, waitUntilHealthy, type GuardedServer } from './guarded-server';
import { reservePort, type PortReservation } from './port-reservation';
import { StackError } from './stack-error';
import { answersDescribe, registerSearchAttributes, searchAttributeNames } from './temporal-health';

export interface TemporalServerOptions {
  program: string;
  /** Holds `server.log`. */
  folder: string;
  /** Workflows survive a restart with the same file; without one they live in memory. */
  dbFile?: string;
  /** true: no Web UI. */
  headless?: boolean;
  preferredPort?: number;
  preferredUiPort?: number;
  /** Settings of the server for special tests, `KEY=JSON`. */
  dynamicConfig?: string[];
}

export interface TemporalServer {
  server: GuardedServer;
  port: number;
  uiPort?: number;
  address: string;
  uiUrl?: string;
  /** The server's own numbers, in Prometheus' format. */
  metricsUrl: string;
}

const healthLimitMs = 60_000;
const startAttempts = 4;

/** Starts the dev server and waits until its namespace `default` answers and has Caravan's search attributes. */
export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(attempt === 1 ? options : { ...options, preferredPort: undefined, preferredUiPort: undefined });
    } catch (error) {
      if (attempt === startAttempts || !isPortConflict(error)) throw error;
    }
  }
}

async function startOnce(options: TemporalServerOptions): Promise<TemporalServer> {
  const reservations: PortReservation[] = [];
  const reserve = async (preferred?: number): Promise<number> => {
    const reservation = await reservePort(preferred);
    reservations.push(reservation);
    return reservation.port;
  };
  try {
    const port = await reserve(options.preferredPort);
    const uiPort = options.headless ? undefined : await reserve(options.preferredUiPort);
    // Left to itself the server takes random ports for these two as well, which two starts at once could both pick.
    const metricsPort = await reserve();
    const inner = ['--http-port', String(await reserve()), '--metrics-port', String(metricsPort)];
    if (options.dbFile) mkdirSync(path.dirname(options.dbFile), { recursive: true });
    const server = await startGuarded({
      program: options.program,
      args: [...serverFlags(options, port, uiPort), ...inner],
      logFile: path.join(options.folder, 'server.log'),
      stopSignal: 'SIGTERM',
    });
    const address = `127.0.0.1:${port}`;
    await waitUntilHealthy(server, 'Temporal', healthLimitMs, () => answersDescribe(address));
    // The flags count only when the database file is new; an older file may lack an attribute.
    await waitUntilHealthy(server, 'Temporal', healthLimitMs, () => registerSearchAttributes(address).then(() => true));
    return { server, port, uiPort, address, uiUrl: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`, metricsUrl: `http://127.0.0.1:${metricsPort}/metrics` };
  } finally {
    for (const reservation of reservations) reservation.release();
  }
}

function serverFlags(options: TemporalServerOptions, port: number, uiPort?: number): string[] {
  const isNew = !options.dbFile || !existsSync(options.dbFile);
  return [
    'server',
    'start-dev',
    ...['--ip', '127.0.0.1', '--port', String(port), '--namespace', 'default', '--log-level', 'warn'],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-ip', '127.0.0.1', '--ui-port', String(uiPort)]),
    ...(options.dbFile ? ['--db-filename', options.dbFile] : []),
    ...(isNew ? searchAttributeNames.flatMap((name) => ['--search-attribute', `${name}=Keyword`]) : []),
    // The UI offers to pause a whole workflow only with this.
    ...['frontend.WorkflowPauseEnabled=true', ...(options.dynamicConfig ?? [])].flatMap((setting) => ['--dynamic-config-value', setting]),
  ];
}

function isPortConflict(error: unknown): boolean {
  return error instanceof StackError && /address already in use|can't set .*port|port .*(in use|not available)/i.test(error.message);
}

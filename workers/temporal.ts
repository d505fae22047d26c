import { Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';
import { MigrationError } from '../migration/errors';
import type { Environment } from './connections';

const DEFAULT_WAIT_MS = 15_000;
const PAUSE_MS = 500;

/** Where Temporal is and how to get in, TLS and keys included. */
export interface TemporalAddress { options: ReturnType<typeof loadClientConnectConfig>['connectionOptions']; address: string; namespace: string; uiUrl: string | null }

/**
 * The given address, else what the standard TEMPORAL_* variables and profile say, else `localhost:7233`. `CARAVAN_TEMPORAL_UI` is the Web UI's address.
 * @throws MigrationError `SYSTEM_UNREACHABLE` when the configuration cannot be read.
 */
export function temporalAddress(given: { address: string; namespace?: string; uiUrl?: string } | undefined, env: Environment): TemporalAddress {
  const ui = given?.uiUrl ?? (env['CARAVAN_TEMPORAL_UI'] || null);
  if (given) return { options: { address: given.address }, address: given.address, namespace: given.namespace ?? 'default', uiUrl: ui };
  const set = Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: set });
    const address = connectionOptions.address ?? 'localhost:7233';
    return { options: connectionOptions, address, namespace: namespace ?? 'default', uiUrl: ui ?? (/\.tmprl\.cloud(:\d+)?$/.test(address) ? 'https://cloud.temporal.io' : null) };
  } catch (error) {
    throw new MigrationError('SYSTEM_UNREACHABLE', `the Temporal configuration (TEMPORAL_* variables or profile) cannot be read: ${error instanceof Error ? error.message : 'unknown problem'}`);
  }
}

/** A connection whose calls may still wait, or be about to be tried again, when it closes. */
export interface ClientConnection { connection: Connection; close(): Promise<void> }

/** The longest wait for a retry that is due; a connection with a later one is left to the end of the process. */
const RETRY_GRACE_MS = 2_000;

/** A client's connection, tried again until `waitMs` has passed. @throws MigrationError `SYSTEM_UNREACHABLE` naming the address. */
export async function connectClient(where: TemporalAddress, waitMs = DEFAULT_WAIT_MS): Promise<ClientConnection> {
  const retries = new ClosableRetries();
  const connection = await retrying(() => Connection.connect({ ...where.options, address: where.address, connectTimeout: '5s', interceptors: [retries.interceptor] }), where, waitMs);
  return {
    connection,
    async close() {
      if (await retries.end()) await connection.close();
    },
  };
}

/** The library's own retries, except that none begins on a closed connection: its timer would throw where nobody can catch it. */
class ClosableRetries {
  private ended = false;
  private lastDue = 0;
  private readonly defaults = defaultGrpcRetryOptions();
  readonly interceptor = makeGrpcRetryInterceptor({
    retryableDecider: (attempt, status) => !this.ended && this.defaults.retryableDecider(attempt, status),
    delayFunction: (attempt, status) => {
      const delay = this.defaults.delayFunction(attempt, status);
      this.lastDue = Math.max(this.lastDue, Date.now() + delay);
      return delay;
    },
  });

  /** No call is tried again from here on; answers, once those that were due have begun, whether the connection may be closed. */
  async end(): Promise<boolean> {
    this.ended = true;
    const left = this.lastDue - Date.now();
    if (left > RETRY_GRACE_MS) return false;
    if (left > -50) await new Promise((resolve) => setTimeout(resolve, left + 50));
    return true;
  }
}

/** A worker's connection, tried again until `waitMs` has passed. @throws MigrationError `SYSTEM_UNREACHABLE` naming the address. */
export function connectWorker(where: TemporalAddress, waitMs = DEFAULT_WAIT_MS): Promise<NativeConnection> {
  return retrying(() => NativeConnection.connect({ ...where.options, address: where.address }), where, waitMs);
}

async function retrying<T>(connect: () => Promise<T>, where: TemporalAddress, waitMs: number): Promise<T> {
  const until = Date.now() + waitMs;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (isRefusal(error)) throw new MigrationError('CONNECTION_REFUSED', `Temporal at ${where.address} refuses this client. Check TEMPORAL_API_KEY or the TEMPORAL_TLS_* settings.`);
      if (Date.now() + PAUSE_MS >= until) {
        throw new MigrationError('SYSTEM_UNREACHABLE', `Temporal cannot be reached at ${where.address}. Check that it runs and that TEMPORAL_ADDRESS is right.`);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** gRPC 16 and 7: unauthenticated, permission denied. */
function isRefusal(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 16 || code === 7;
}

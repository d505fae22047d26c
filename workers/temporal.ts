import { Connection } from '@temporalio/client';
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

/** A client's connection, tried again until `waitMs` has passed. @throws MigrationError `SYSTEM_UNREACHABLE` naming the address. */
export function connectClient(where: TemporalAddress, waitMs = DEFAULT_WAIT_MS): Promise<Connection> {
  return retrying(() => Connection.connect({ ...where.options, address: where.address, connectTimeout: '5s' }), where, waitMs);
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

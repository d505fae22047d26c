import type { Logger } from 'pino';
import type { Encoding } from '../migration/batch';
import type { System } from '../migration/connector';
import type { TransformCatalog } from '../migration/transform';

/** What the worker gives to every activity: built once per process in `workers/dependencies.ts`. */
export interface ActivityDependencies {
  systems: Systems;
  plans: PlanFolder;
  /** Built-in and user transforms by name. */
  transforms: TransformCatalog;
  /** Digest of the user transforms' source: pinned in the ledger per dataset. */
  transformsDigest: string;
  /** Values that transforms name but plans must not hold (salts): by name. */
  constants: Readonly<Record<string, string>>;
  engineVersion: string;
  owners: OwnerLookup;
  notifiers: Notifiers;
  /** Webhooks and commands that switch applications, by name. Absent: there are none. */
  endpoints?: Endpoints;
  staging: StagingSettings;
  /** Whether the namespace knows the search attributes; absent: it does not. */
  searchAttributes?: boolean;
  /** Encodings this worker may use. Absent: all. The result is the same in each, only the speed differs. */
  encodings?: readonly Encoding[];
  log: Logger;
}

/** Connections of this worker by name, opened on first use and kept. */
export interface Systems {
  /** @throws MigrationError `CONNECTION_UNKNOWN` with the names there are. */
  open(connection: string): System;
  /** Connections of this worker, sorted. */
  names(): string[];
  close(): Promise<void>;
}

export interface PlanFolder {
  /** Text of the plan called `name` (`name`, `name.yaml`, `name.yml`, `name.json` in CARAVAN_PLANS). @throws MigrationError `PLAN_NOT_FOUND`. */
  read(name: string): Promise<{ text: string; path: string }>;
}

/** Tells whether the workflow that holds a lease still lives. */
export interface OwnerLookup {
  state(workflowId: string, firstRunId: string): Promise<'running' | 'closed' | 'not_found'>;
  /** Whether a worker asked this queue for activities within the last minutes. Unknown counts as not. */
  serves(queue: string): Promise<boolean>;
  namespace: string;
  /** Base address of the Web UI for links, when known. */
  uiUrl?: string;
}

export interface Notifiers {
  /** @throws MigrationError `NOTIFY_FAILED` (transient). The payload holds no row values. */
  send(target: { webhook?: string; command?: string }, payload: Record<string, unknown>): Promise<void>;
}

/** What the worker's environment says of webhooks and commands. */
export interface Endpoints {
  /** @throws MigrationError `SWITCH_FAILED` that names the missing variable. */
  webhook(name: string): Endpoint;
  /** The shell line. @throws MigrationError `SWITCH_FAILED` that names the missing variable. */
  command(name: string): string;
}
/** `variable`: the one that holds the address. The secret is in the one of that name with `_SECRET` behind it. */
export interface Endpoint { address: string; secret?: string; variable: string }

export interface StagingSettings {
  folder: string;
  /** 32 bytes: segments are encrypted (AES-256-GCM). Every worker of a staged migration holds the same. */
  key: Buffer;
}

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import type { ActivityDependencies, OwnerLookup, StagingSettings } from '../activities/dependencies';
import { MigrationError } from '../migration/errors';
import { version } from '../package.json';
import { openSystems, type ConnectionBook, type Environment } from './connections';
import { openEndpoints } from './endpoints';
import { openNotifiers } from './notifiers';
import { noOwners } from './owners';
import { openPlanFolder } from './plan-folder';
import { loadTransforms } from './user-transforms';

const CONSTANT = 'CARAVAN_CONSTANT_';
const KEY_BYTES = 32;

export interface DependencyOptions {
  connections: ConnectionBook;
  env: Environment;
  log: Logger;
  plansFolder?: string;
  transformsFile?: string;
  stagingFolder?: string;
  owners?: OwnerLookup;
  searchAttributes?: boolean;
}

/**
 * Everything activities need, once per process. Connections open at their first use; whoever builds closes `systems`.
 * @throws MigrationError `PLAN_INVALID` when the user's transforms cannot be loaded.
 */
export function buildDependencies(options: DependencyOptions): ActivityDependencies {
  const { connections, env, log } = options;
  const transforms = loadTransforms(options.transformsFile ?? (env['CARAVAN_TRANSFORMS'] || undefined));
  return {
    systems: openSystems(connections),
    plans: openPlanFolder(options.plansFolder ?? (env['CARAVAN_PLANS'] || 'plans')),
    transforms: transforms.catalog,
    transformsDigest: transforms.digest,
    constants: constantsOf(env),
    engineVersion: version,
    owners: options.owners ?? noOwners,
    notifiers: openNotifiers(env),
    endpoints: openEndpoints(env),
    staging: stagingOf(options.stagingFolder ?? (env['CARAVAN_STAGING'] || path.join('.caravan', 'staging')), env),
    searchAttributes: options.searchAttributes ?? false,
    log,
  };
}

/** `CARAVAN_CONSTANT_PEPPER=...` is the constant `pepper`. */
function constantsOf(env: Environment): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([variable, value]) =>
    (variable.startsWith(CONSTANT) && value !== undefined ? [[variable.slice(CONSTANT.length).toLowerCase(), value]] : [])));
}

/** The key is CARAVAN_STAGING_KEY (32 bytes as hex or base64), else one that the first worker on this machine made and kept beside the folder. Read at first use. */
function stagingOf(folder: string, env: Environment): StagingSettings {
  const resolved = path.resolve(folder);
  let key: Buffer | null = null;
  return {
    folder: resolved,
    get key() {
      key ??= env['CARAVAN_STAGING_KEY'] ? givenKey(env['CARAVAN_STAGING_KEY']) : keptKey(`${resolved}.key`);
      return key;
    },
  };
}

function givenKey(text: string): Buffer {
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  if (key.length !== KEY_BYTES) throw new MigrationError('CONNECTION_UNKNOWN', 'CARAVAN_STAGING_KEY must be 32 bytes as hex or base64, such as the output of: openssl rand -hex 32');
  return key;
}

function keptKey(file: string): Buffer {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    // Only the first of several workers makes the file.
    writeFileSync(file, randomBytes(KEY_BYTES).toString('hex'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return givenKey(readFileSync(file, 'utf8').trim());
}

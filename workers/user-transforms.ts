import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { require as requireTypeScript } from 'tsx/cjs/api';
import { MigrationError } from '../migration/errors';
import { transformCatalog, type TransformCatalog, type UserTransforms } from '../migration/transform';

const DEFAULT_FILE = 'caravan.transforms.ts';

export interface LoadedTransforms { catalog: TransformCatalog; digest: string; file: string | null }

/**
 * Built-in transforms, and those of the user's module (`export default defineTransforms({...})`): the given one, or `caravan.transforms.ts` in the working
 * directory when it exists. The digest is the SHA-256 of the module's own text, `none` without a module.
 * @throws MigrationError `PLAN_INVALID` when the module cannot be loaded or exports something else.
 */
export function loadTransforms(named: string | undefined, cwd = process.cwd()): LoadedTransforms {
  const file = path.resolve(cwd, named ?? DEFAULT_FILE);
  if (named === undefined && !existsSync(file)) return { catalog: transformCatalog(), digest: 'none', file: null };
  const fail = (problem: string): MigrationError => new MigrationError('PLAN_INVALID', `transforms module ${file}: ${problem}`);
  if (!existsSync(file)) throw fail('there is no such file; CARAVAN_TRANSFORMS names it');
  let exported: unknown;
  try {
    exported = loadModule(file);
  } catch (error) {
    throw fail(`cannot be loaded: ${error instanceof Error ? `${error.name}: ${error.message.split('\n')[0] ?? ''}` : 'it threw'}`);
  }
  const transforms = defaultExport(exported);
  if (!isTransforms(transforms)) throw fail('its default export must be what `defineTransforms({...})` gives');
  return { catalog: transformCatalog(transforms), digest: createHash('sha256').update(readFileSync(file)).digest('hex'), file };
}

function loadModule(file: string): unknown {
  if (/\.[cm]?tsx?$/.test(file)) return requireTypeScript(file, __filename);
  return createRequire(__filename)(file) as unknown;
}

/** Compilers wrap a default export in CommonJS once or twice. */
function defaultExport(exported: unknown): unknown {
  let value = exported;
  for (let depth = 0; depth < 2 && typeof value === 'object' && value !== null && 'default' in value; depth++) value = value.default;
  return value;
}

function isTransforms(value: unknown): value is UserTransforms {
  return typeof value === 'object' && value !== null && Object.values(value).every((entry: unknown) =>
    typeof entry === 'object' && entry !== null && 'name' in entry && 'compile' in entry && typeof entry.compile === 'function');
}

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { PlanFolder } from '../activities/dependencies';
import { MigrationError } from '../migration/errors';

const ENDINGS = ['', '.yaml', '.yml', '.json'];

/** Plans by name in a folder. A name that leads out of the folder is not found: whoever starts a workflow reads no other files of the worker. */
export function openPlanFolder(folder: string): PlanFolder {
  const root = path.resolve(folder);
  return {
    read(name) {
      for (const ending of ENDINGS) {
        const file = path.resolve(root, name + ending);
        const text = path.dirname(file) === root ? readIfThere(file) : null;
        if (text !== null) return Promise.resolve({ text, path: file });
      }
      const names = planNames(root);
      return Promise.reject(new MigrationError('PLAN_NOT_FOUND',
        `there is no plan ${name} in ${root}. ${names.length > 0 ? `There are: ${names.join(', ')}.` : 'The folder has no plans; CARAVAN_PLANS names another one.'}`, { plan: name }));
    },
  };
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return null;
    throw new MigrationError('PLAN_NOT_FOUND', `the plan ${file} cannot be read (${code ?? 'unknown'})`);
  }
}

function planNames(root: string): string[] {
  try {
    return [...new Set(readdirSync(root).filter((file) => /\.(ya?ml|json)$/.test(file)).map((file) => file.replace(/\.(ya?ml|json)$/, '')))].sort();
  } catch {
    return [];
  }
}

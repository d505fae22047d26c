import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/** The full path of a program in the folders of PATH, or undefined. */
export function findOnPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, program))
    .find(isProgram);
}

export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

export interface ProgramAnswer {
  ok: boolean;
  /** Both output streams, trimmed. */
  output: string;
}

/** Runs a program to its end. Never throws: a program that fails, is missing or takes too long answers `ok: false`. */
export function ask(program: string, args: string[], options: { timeoutMs?: number; uid?: number; gid?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {}): Promise<ProgramAnswer> {
  const { timeoutMs = 15_000, ...rest } = options;
  return new Promise((resolve) => {
    try {
      execFile(program, args, { ...rest, timeout: timeoutMs, encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.trim();
        resolve({ ok: error === null, output: output || (error?.message ?? '') });
      });
    } catch (error) {
      // spawn itself throws when the system refuses the uid or the program.
      resolve({ ok: false, output: (error as Error).message });
    }
  });
}

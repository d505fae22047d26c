import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, fstatSync } from 'node:fs';
import path from 'node:path';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { identifyProcess, isStillRunning, stopProcess, type ProcessIdentity } from './process-identity';
import { StackError } from './stack-error';

export interface ServerCommand {
  program: string;
  args: string[];
  /** Everything that the server prints is appended here. */
  logFile: string;
  stopSignal: 'SIGINT' | 'SIGTERM';
  cwd?: string;
  uid?: number;
  gid?: number;
}

/** A server is given this long, in ms, to end by its stop signal before it is killed. */
export const stopLimitMs = 10_000;
/** More than the guard needs to see that its server has ended. */
const guardSlackMs = 5_000;

/**
 * A server that ends with this process, however this process ends.
 * It does not keep this process alive: a program that comes to its end takes its servers with it.
 */
export interface GuardedServer {
  identity: ProcessIdentity;
  logFile: string;
  hasExited(): boolean;
  /** Resolves once the server is gone. May be called again. */
  stop(): Promise<void>;
  /** From now on the server outlives this process; whoever recorded its identity stops it. */
  release(): Promise<void>;
}

export async function startGuarded(command: ServerCommand): Promise<GuardedServer> {
  mkdirSync(path.dirname(command.logFile), { recursive: true });
  const guard = spawn(process.execPath, [path.join(__dirname, 'guard.cjs'), JSON.stringify({ ...command, stopLimitMs })], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
    env: serverEnvironment(),
  });
  guard.stdin?.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => guard.once('exit', () => resolve()));
  const pid = await reportedPid(guard, command);
  const identity = identifyProcess(pid) ?? { pid, startedAt: 'ended at once' };
  guard.unref();
  (guard.stdin as Socket).unref();
  (guard.stdout as Socket).unref();
  const leave = async (farewell?: string): Promise<void> => {
    guard.ref();
    guard.stdin?.end(farewell);
    await ended;
  };
  return {
    identity,
    logFile: command.logFile,
    hasExited: () => !isStillRunning(identity),
    async stop() {
      await Promise.race([leave(), waitFor(stopLimitMs + guardSlackMs)]);
      // Only if the guard itself was killed or hangs is there anything left to stop; without its server it ends.
      await stopProcess(identity, command.stopSignal, stopLimitMs);
    },
    release: () => leave('release\n'),
  };
}

/** Waits until `isHealthy` answers true. On failure the server is stopped and the error shows the end of its log. */
export async function waitUntilHealthy(server: GuardedServer, name: string, limitMs: number, isHealthy: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  let lastError: unknown;
  while (!server.hasExited() && Date.now() < deadline) {
    try {
      if ((await isHealthy()) && !server.hasExited()) return;
    } catch (error) {
      lastError = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const what = server.hasExited() ? 'ended while it was starting' : `did not answer within ${limitMs / 1000} s`;
  const cause = lastError instanceof Error ? ` (${lastError.message})` : '';
  await server.stop();
  throw new StackError(`${name} ${what}${cause}. The end of ${server.logFile}:\n${lastLines(server.logFile, 20)}`);
}

/** The last lines of a text file, from at most its last 64 KB. Empty when there is no such file. */
export function lastLines(file: string, count: number): string {
  if (!existsSync(file)) return '';
  const handle = openSync(file, 'r');
  try {
    const { size } = fstatSync(handle);
    const length = Math.min(size, 64 * 1024);
    const tail = Buffer.alloc(length);
    readSync(handle, tail, 0, length, size - length);
    return tail.toString('utf8').trimEnd().split('\n').slice(-count).join('\n');
  } finally {
    closeSync(handle);
  }
}

/** Servers get no more of our environment than they need: it may hold passwords, or settings meant for clients. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const passed = ['PATH', 'HOME', 'USER', 'TMPDIR', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH'];
  const inherited = Object.fromEntries(passed.filter((name) => process.env[name] !== undefined).map((name) => [name, process.env[name]]));
  return { ...inherited, LC_ALL: 'C', TZ: 'UTC' };
}

/** A timer that keeps nobody alive: the guard, which does, ends sooner. */
function waitFor(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function reportedPid(guard: ChildProcess, command: ServerCommand): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new StackError(`cannot start ${command.program}: ${reason}`));
    guard.once('error', (error) => fail(error.message));
    guard.once('exit', () => fail('its guard process ended'));
    createInterface({ input: guard.stdout! }).on('line', (line) => {
      const fact = JSON.parse(line) as { pid?: number; failed?: string };
      if (fact.pid !== undefined) resolve(fact.pid);
      else fail(fact.failed ?? 'no reason given');
    });
  });
}

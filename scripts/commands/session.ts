import { userInfo } from 'node:os';
import path from 'node:path';
import { isMigrationError } from '../../migration/errors';
import type * as doorModule from '../../workers/door';
import type { Door, DoorOptions } from '../../workers/door';
import { attachOrStartTemporal, runningTemporal } from '../stack';
import { terminalOf, type Terminal } from '../terminal/terminal';
import { wrapText } from '../terminal/text-width';
import { exitCodeOf, ExitRequest } from './exit-codes';

/** Options every command has. */
export interface CommonOptions { json?: boolean; connections?: string }

/**
 * One call of the command: where it prints and how it reaches the systems. Results go to stdout; progress, questions
 * and errors go to stderr as soon as `--json` was asked for, so that stdout holds one JSON document.
 */
export interface Session {
  json: boolean;
  terminal: Terminal;
  /** Where people read: stdout, or stderr with `--json`. */
  people: NodeJS.WriteStream;
  /** For people; silent with `--json`. */
  print(...lines: string[]): void;
  /** Progress and how to go on: with `--json` on stderr. */
  tell(...lines: string[]): void;
  /** The machine-readable answer. Nothing is printed without `--json`. */
  printJson(value: unknown): void;
  /** A door with this command's connections, closed with the session. */
  door(options?: Partial<DoorOptions>): Promise<Door>;
  /** The door, after Temporal was found (TEMPORAL_*) or the project's own was started. */
  doorWithTemporal(options?: Partial<DoorOptions>): Promise<Door>;
  /** The door to a Temporal that runs already: TEMPORAL_*, the project's own while it runs, else the standard address. Starts none. */
  doorWithRunningTemporal(options?: Partial<DoorOptions>): Promise<Door>;
  /** Runs before the door closes, latest first. */
  onClose(work: () => Promise<void>): void;
}

/** Runs the body of a command, prints what went wrong, closes what was opened and sets the exit code. Never rejects. */
export async function runSession(options: CommonOptions, body: (session: Session) => Promise<number | void>): Promise<void> {
  const closing: (() => Promise<void>)[] = [];
  const session = openSession(options, closing);
  let exitCode = 0;
  try {
    exitCode = (await body(session)) ?? 0;
  } catch (error) {
    exitCode = exitCodeOf(error);
    if (!(error instanceof ExitRequest)) printError(error, session, exitCode);
  }
  for (const work of closing.reverse()) {
    await work().catch((error: unknown) => {
      if (process.env['CARAVAN_DEBUG']) process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    });
  }
  process.exitCode = exitCode;
}

/** Loaded when needed: drivers and the worker cost half a second, and help and usage errors should be there at once. */
function loadDoor(): typeof doorModule {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() of TypeScript is not transformed in this process
  return require('../../workers/door') as typeof doorModule;
}

function openSession(options: CommonOptions, closing: (() => Promise<void>)[]): Session {
  const json = options.json === true;
  const people = json ? process.stderr : process.stdout;
  const open = async (extra: Partial<DoorOptions> = {}): Promise<Door> => {
    const door = await loadDoor().openDoor({ connectionsFile: options.connections, logLevel: process.env['CARAVAN_DEBUG'] ? 'debug' : 'error', ...extra });
    closing.push(() => door.close());
    return door;
  };
  return {
    json,
    people,
    terminal: terminalOf(people),
    print: (...lines) => void (json || people.write(lines.map((line) => `${line}\n`).join(''))),
    tell: (...lines) => void people.write(lines.map((line) => `${line}\n`).join('')),
    printJson: (value) => void (json && process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)),
    door: open,
    async doorWithTemporal(extra = {}) {
      if (hasTemporalProfile(process.env)) return open(extra);
      const onProgress = (line: string): void => void (process.env['CARAVAN_DEBUG'] && process.stderr.write(`${line}\n`));
      const found = await attachOrStartTemporal(process.cwd(), { onProgress });
      closing.push(() => found.stop());
      // A server that was given is described by the standard variables: TLS, keys and namespace included.
      return open({ ...(found.record ? { temporal: { address: found.address, namespace: found.namespace, uiUrl: found.uiUrl } } : {}), ...extra });
    },
    doorWithRunningTemporal(extra = {}) {
      const own = process.env['TEMPORAL_ADDRESS'] || hasTemporalProfile(process.env) ? undefined : runningTemporal(process.cwd());
      return open({ ...(own ? { temporal: { address: own.address, uiUrl: own.uiUrl } } : {}), ...extra });
    },
    onClose: (work) => void closing.push(work),
  };
}

/** Whether the environment names a profile of the standard Temporal configuration, which then says everything. */
function hasTemporalProfile(env: NodeJS.ProcessEnv): boolean {
  return Boolean(env['TEMPORAL_PROFILE'] || env['TEMPORAL_CONFIG_FILE']);
}

function printError(error: unknown, session: Session, exitCode: number): void {
  const message = error instanceof Error ? error.message : String(error);
  const code = isMigrationError(error) ? error.code : undefined;
  if (session.json) session.printJson({ error: message, ...(code ? { code } : {}), exitCode });
  const errors = terminalOf(process.stderr);
  const unexpected = code === 'INTERNAL' || (!code && exitCode === 1);
  const lines = [
    ...wrapText(message, errors.columns, `${errors.marks.bad} `).map((line, index) => (index === 0 ? line.replace(errors.marks.bad, errors.color.red(errors.marks.bad)) : line)),
    ...(unexpected ? [errors.color.dim('  This was not expected. Set CARAVAN_DEBUG=1 to see where it came from.')] : []),
  ];
  if (process.env['CARAVAN_DEBUG'] && error instanceof Error && error.stack) lines.push(error.stack);
  process.stderr.write(lines.map((line) => `${line}\n`).join(''));
}

/** A path as a person would type it from here. */
export function displayPath(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative && !relative.startsWith('..') ? relative : file;
}

/** Who decides: `--by`, else the account's name. */
export function actorOf(options: { by?: string }): string {
  return options.by || process.env['USER'] || process.env['USERNAME'] || accountName();
}

function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    // An account without an entry in the system's list, as in some containers.
    return 'unknown';
  }
}

/** A word as a shell takes it back. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

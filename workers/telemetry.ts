import { DefaultLogger, Runtime, type LogEntry, type LogLevel } from '@temporalio/worker';
import { pino, type Logger } from 'pino';
import { redactText } from './redact';

export type LogChoice = 'silent' | 'error' | 'warn' | 'info' | 'debug';

const TEMPORAL_LEVELS: Record<LogChoice, LogLevel> = { silent: 'ERROR', error: 'ERROR', warn: 'WARN', info: 'INFO', debug: 'DEBUG' };

/** JSON lines on stderr: stdout belongs to the command's answers. */
export function createLog(level: LogChoice): Logger {
  return pino({ level, base: { service: 'caravan' } }, pino.destination({ dest: 2, sync: true }));
}

let installed = false;

/** Gives Temporal's own lines to our log; once per process, before the first connection of a worker. */
export function installTelemetry(log: Logger, level: LogChoice): void {
  if (installed) return;
  installed = true;
  const logger = new DefaultLogger(TEMPORAL_LEVELS[level], (entry) => bridge(log, entry));
  Runtime.install({
    logger,
    // The process decides itself when it ends: workers are stopped by their owner.
    shutdownSignals: [],
    telemetryOptions: { logging: { filter: { core: level === 'debug' ? 'INFO' : 'ERROR', other: 'ERROR' }, forward: {} } },
  });
}

function bridge(log: Logger, { level, message, meta }: LogEntry): void {
  const line = level === 'TRACE' || level === 'DEBUG' ? 'debug' : level === 'INFO' ? 'info' : level === 'WARN' ? 'warn' : 'error';
  log[line](plainMeta(meta), redactText(message));
}

/** Whole tasks as Temporal sends them: noise, and payloads. */
const LEFT_OUT = new Set(['task', 'taskEncoded', 'taskToken', 'completion', 'completionEncoded', 'activation']);

/** Names and numbers as they are; of an error, class, type and message, since stack and cause may hold more. */
function plainMeta(meta: object | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(meta ?? {}).flatMap(([key, value]: [string, unknown]): [string, unknown][] => {
    if (LEFT_OUT.has(key)) return [];
    if (value instanceof Error) return [[key, `${value.name}${'type' in value && typeof value.type === 'string' ? ` ${value.type}` : ''}: ${redactText(value.message)}`]];
    return ['string', 'number', 'boolean'].includes(typeof value) ? [[key, value]] : [];
  }));
}

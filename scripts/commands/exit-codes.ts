import { isMigrationError } from '../../migration/errors';
import type { ErrorCode, RunStatus } from '../../migration/protocol';

/** What the command's exit code says. Scripts rely on it. */
export const EXIT = {
  complete: 0,
  unexpected: 1,
  badUsage: 2,
  blocked: 3,
  undone: 4,
  unreachable: 5,
  interrupted: 130,
} as const;

/** A command used wrongly: said to the person as it is, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Ends a command with this code after everything was said. */
export class ExitRequest extends Error {
  override readonly name = 'ExitRequest';
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

/** A wrong password counts as "cannot be reached": nothing was admitted, and nothing in the plan is wrong. */
const UNREACHABLE: readonly ErrorCode[] = ['SYSTEM_UNREACHABLE', 'SYSTEM_BUSY', 'CONNECTION_REFUSED'];
/** A person has to decide or repair something; then the same command goes on. */
const BLOCKED: readonly ErrorCode[] = [
  'LEASE_HELD', 'LEASE_LOST', 'FENCED', 'SYSTEM_CHANGED', 'PRIVILEGE_MISSING', 'SCHEMA_CHANGED', 'TARGET_NOT_EMPTY', 'TARGET_OWNED', 'ENGINE_MISMATCH', 'PLAN_CHANGED', 'PLAN_AMENDED', 'ROW_REFUSED',
  'ERROR_RATE_EXCEEDED', 'SPEED_TOO_LOW', 'KEY_NOT_UNIQUE', 'CHECK_FAILED', 'VALIDATION_FAILED', 'QUEUE_UNSERVED', 'NO_PROGRESS', 'ROLLBACK_REFUSED', 'ROLLBACK_CONFLICT', 'UNDO_MISSING', 'UNDO_NEEDED',
];
const BAD_USAGE: readonly ErrorCode[] = ['PLAN_INVALID', 'PLAN_NOT_FOUND', 'APPROACH_NOT_BUILT', 'CONNECTION_UNKNOWN', 'OBJECT_MISSING', 'MAPPING_INVALID', 'SQL_INVALID'];

/** The exit code that a stable error code stands for when it ends a command. */
export function exitCodeOfCode(code: ErrorCode): number {
  if (BAD_USAGE.includes(code)) return EXIT.badUsage;
  if (UNREACHABLE.includes(code)) return EXIT.unreachable;
  if (BLOCKED.includes(code)) return EXIT.blocked;
  return EXIT.unexpected;
}

/** The exit code for whatever ended a command. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ExitRequest) return error.exitCode;
  if (error instanceof UsageError) return EXIT.badUsage;
  if (isMigrationError(error)) return exitCodeOfCode(error.code);
  // The stack's own error class, by name: it may come from another copy of the module.
  if (error instanceof Error && error.name === 'StackError') return EXIT.unreachable;
  return EXIT.unexpected;
}

/** The exit code for a migration as it stands. Running and paused are no failure. */
export function exitCodeOfStatus(status: RunStatus): number {
  if (status === 'blocked' || status === 'waiting_for_approval') return EXIT.blocked;
  if (status === 'aborted' || status === 'cancelled' || status === 'rolled_back') return EXIT.undone;
  return status === 'failed' ? EXIT.unexpected : EXIT.complete;
}

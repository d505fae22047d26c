import { ERROR_CODES, type ErrorCode, type ErrorKind } from './error-codes';

/**
 * The one error that crosses borders: between connectors and activities, activities and workflows, the command and people.
 * The message is written for a person: it names the place and the remedy, and never holds secrets or row values.
 * Its kind follows from its code; only `transient` is retried.
 */
export class MigrationError extends Error {
  readonly kind: ErrorKind;

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** Names and counts a program may want; no secrets, no row values. */
    readonly details: Record<string, string | number | boolean> = {},
  ) {
    super(message);
    this.name = 'MigrationError';
    this.kind = ERROR_CODES[code].kind;
  }
}

export function isMigrationError(error: unknown): error is MigrationError {
  return error instanceof MigrationError || (error instanceof Error && error.name === 'MigrationError' && 'code' in error);
}

import type { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { Logger } from 'pino';
import { isMigrationError } from '../migration/errors';
import { redactText } from './redact';

/**
 * Every error that leaves an activity goes into Temporal's history, where many may read it. It leaves as an ApplicationFailure with
 * type = code, a message for people, details `[kind, names and counts]`, and no cause or stack; only `transient` errors are retried.
 * Of an error nobody foresaw only the class name is told, in the log as in the history: its message may hold a row.
 */
export function errorsInterceptor(log: Logger): (context: Context) => ActivityInterceptors {
  return (context) => ({
    inbound: {
      async execute(input, next) {
        try {
          return await next(input);
        } catch (error) {
          throw toFailure(error, context.info.activityType, context.cancellationSignal.aborted, log);
        }
      },
    },
  });
}

/** What may be told of an error. Cancellation and failures that are already fit pass unchanged. */
export function toFailure(error: unknown, activity: string, cancelled: boolean, log: Logger): Error {
  if (error instanceof CancelledFailure || error instanceof ApplicationFailure) return error;
  if (error instanceof Error && error.name === 'CompleteAsyncError') return error;
  if (cancelled && typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError') return new CancelledFailure(`${activity} was cancelled`);
  if (isMigrationError(error)) {
    return bare(ApplicationFailure.create({ type: error.code, message: redactText(error.message), details: [error.kind, error.details], nonRetryable: error.kind !== 'transient' }));
  }
  const name = error instanceof Error ? error.constructor.name : typeof error;
  log.error({ activity, error: name, at: frames(error) }, 'an activity failed in a way that was not foreseen');
  return bare(ApplicationFailure.create({
    type: 'INTERNAL', nonRetryable: true, details: ['internal', { activity, error: name }],
    message: `${activity} failed in a way that was not foreseen (${name}). Please report it with the worker's log of this moment.`,
  }));
}

function bare(failure: ApplicationFailure): ApplicationFailure {
  failure.stack = '';
  return failure;
}

/** Where it happened: the places of the stack without the message above them. */
function frames(error: unknown): string[] {
  if (!(error instanceof Error) || error.stack === undefined) return [];
  return error.stack.split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 8).map((line) => line.trim());
}

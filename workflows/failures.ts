import {
  ActivityFailure, ApplicationFailure, CancelledFailure, ChildWorkflowFailure, TemporalFailure, TerminatedFailure, TimeoutFailure,
} from '@temporalio/workflow';
import { ERROR_CODES, type ErrorCode, type ErrorKind } from '../migration/protocol';

/** A failure in the words of people and of the protocol. */
export interface Described {
  code: ErrorCode;
  kind: ErrorKind;
  message: string;
  /** Trying again by itself may help: the system was away or a worker was lost. */
  transient: boolean;
}

/** Type of the failure that carries a person's `abort` up to the root. Not an error code: nothing broke. */
const ABORTED = 'STEP_ABORTED';

/** A failure of this workflow's own making. Ends the run that throws it, unless a step catches it and blocks. */
export function failure(code: ErrorCode, message: string): ApplicationFailure {
  return withoutStack(ApplicationFailure.create({ type: code, message, nonRetryable: true }));
}

export function abortedBy(step: string, by: string | undefined): ApplicationFailure {
  return withoutStack(ApplicationFailure.create({ type: ABORTED, message: `${step} was aborted${by ? ` by ${by}` : ''}.`, nonRetryable: true }));
}

/** Where in the code a refusal was made helps nobody who reads it in the UI. */
function withoutStack(refusal: ApplicationFailure): ApplicationFailure {
  refusal.stack = '';
  return refusal;
}

export function isErrorCode(text: string | null | undefined): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(ERROR_CODES, text);
}

/** The failure at the bottom: what the activity, or the child of a child, met. */
export function rootFailure(error: unknown): unknown {
  let current = error;
  while ((current instanceof ActivityFailure || current instanceof ChildWorkflowFailure) && current.cause) current = current.cause;
  return current;
}

/** @returns code, kind and message for anything that an activity or a child can end with. */
export function describeFailure(error: unknown): Described {
  const bottom = rootFailure(error);
  if (bottom instanceof ApplicationFailure) {
    const code = isErrorCode(bottom.type) ? bottom.type : 'INTERNAL';
    const kind = ERROR_CODES[code].kind;
    return { code, kind, message: bottom.message, transient: kind === 'transient' };
  }
  const what = error instanceof ActivityFailure ? error.activityType : error instanceof ChildWorkflowFailure ? error.workflowType : 'the work';
  if (bottom instanceof TimeoutFailure) return { ...described('NO_PROGRESS', timeoutMessage(what, bottom)), transient: true };
  if (bottom instanceof CancelledFailure) return described('INTERNAL', `${what} was cancelled by hand.`);
  if (bottom instanceof TerminatedFailure) return described('INTERNAL', `${what} was terminated by hand.`);
  return described('INTERNAL', bottom instanceof Error ? bottom.message : `${what} failed.`);
}

/** Failures that no step may keep to itself: the lease went to another run, a person aborted, or the plan was amended. */
export function endsRun(error: unknown): boolean {
  const bottom = rootFailure(error);
  return bottom instanceof ApplicationFailure && (bottom.type === ABORTED || bottom.type === 'LEASE_LOST' || bottom.type === 'PLAN_AMENDED');
}

/** The plan was amended: work under the former one is over. */
export function isAmended(error: unknown): boolean {
  return describeFailure(error).code === 'PLAN_AMENDED';
}

/** False for defects of the workflow code itself: those fail the workflow task, so that a corrected worker can go on. */
export function isExpected(error: unknown): boolean {
  return error instanceof TemporalFailure;
}

export function isUnserved(error: unknown): boolean {
  return error instanceof ActivityFailure && error.cause instanceof TimeoutFailure && error.cause.timeoutType === 'SCHEDULE_TO_START';
}

function described(code: ErrorCode, message: string): Described {
  return { code, kind: ERROR_CODES[code].kind, message, transient: false };
}

function timeoutMessage(what: string, timeout: TimeoutFailure): string {
  if (timeout.timeoutType === 'HEARTBEAT') return `${what} stopped reporting: its worker was lost or is stuck.`;
  return `${what} did not finish within its time.`;
}

import type { ErrorCode } from '../migration/protocol';

const REMEDIES: Partial<Record<ErrorCode, string[]>> = {
  SYSTEM_UNREACHABLE: ['Make sure that the system is up and that the workers reach it, then retry.'],
  SYSTEM_BUSY: ['Find what holds the locks or connections of that system, then retry; smaller batches may help.'],
  SYSTEM_CHANGED: ['A connection leads to another server than at the start: correct it on the workers, then retry.'],
  CONNECTION_UNKNOWN: ['Give the workers this connection (CARAVAN_CONNECTION_<NAME> or the connections file), then retry.'],
  CONNECTION_REFUSED: ['Correct the address or the password of this connection on the workers, then retry.'],
  PRIVILEGE_MISSING: ['Grant what is missing (`caravan check PLAN --grants` prints the SQL), then retry.'],
  OBJECT_MISSING: ['Create or rename the object, or correct the plan with `caravan amend`, then retry.'],
  MAPPING_INVALID: ['Correct the columns in the target or the mapping in the plan (`caravan amend`), then retry.'],
  SCHEMA_CHANGED: ['Take the change back, or amend the plan so that the dataset starts anew, then retry.'],
  SQL_INVALID: ['Correct the SQL in the plan (`caravan amend`), then retry.'],
  TARGET_NOT_EMPTY: ['Empty the target table, or choose `on_existing: append` or `replace` in the plan, then retry.'],
  TARGET_OWNED: ['Another migration owns this target: finish or roll it back first, then retry.'],
  ROW_REFUSED: ['Correct the row in the source, or let the plan send such rows to quarantine, then retry.'],
  ERROR_RATE_EXCEEDED: ['Look at the quarantine (`caravan quarantine list`); retry goes on with the same rules.'],
  SPEED_TOO_LOW: ['Look for locks and load on both systems; retry goes on.'],
  KEY_NOT_UNIQUE: ['Remove the duplicate keys in the source or name another key in the plan, then retry.'],
  CHECK_FAILED: ['Correct the data, or set `on_fail: warn` for this check in the plan, then retry. Skip accepts the result as it is.'],
  VALIDATION_FAILED: ['Repair exactly these rows: retry with `overrides: {"repair": true}`.', 'Or correct the data and retry. Skip accepts the difference as it is.'],
  ENGINE_MISMATCH: ['Run workers of the version that began this dataset, or amend the plan so that it starts anew, then retry.'],
  PLAN_CHANGED: ['Admit the change with `caravan amend`, or restore the plan, then retry.'],
  NO_PROGRESS: ['Look at the locks and the load of both systems and at the worker\'s log, then retry; a smaller batch may help: `overrides: {"batchSize": 1000}`.'],
  QUEUE_UNSERVED: ['Start a worker for this queue (`caravan worker`) or more of them, then retry.'],
  STAGING_FAILED: ['Make sure that the staging folder exists, has space and is reached by both sides, then retry.'],
};

/** What a person can do about a failure with this code, most helpful first; never empty. */
export function remediesFor(code: ErrorCode): string[] {
  return REMEDIES[code] ?? ['Look at the worker\'s log, remove the cause, then retry.'];
}

import type { ErrorCode } from '../migration/protocol';

/** The run goes on under the amended plan by itself; nothing has to be resumed. */
const CORRECT_PLAN = 'Or correct the plan and carry it over: `npx caravan amend PLAN`. The run goes on under it.';

const REMEDIES: Partial<Record<ErrorCode, string[]>> = {
  SYSTEM_UNREACHABLE: ['Make sure that the system is up and that the workers reach it, then retry.'],
  SYSTEM_BUSY: ['Find what holds the locks or connections of that system, then retry; smaller commits may help: `npx caravan resume ID --set checkpoint_interval=5000`.'],
  SYSTEM_CHANGED: ['A connection leads to another server than at the start: correct it on the workers, then retry.'],
  CONNECTION_UNKNOWN: ['Give the workers this connection (CARAVAN_CONNECTION_<NAME> or the connections file), then retry.'],
  CONNECTION_REFUSED: ['Correct the address or the password of this connection on the workers, then retry.'],
  PRIVILEGE_MISSING: ['Grant what is missing (`npx caravan check PLAN --grants` prints the SQL), then retry.'],
  OBJECT_MISSING: ['Create or rename the object, then retry.', CORRECT_PLAN],
  MAPPING_INVALID: ['Correct the columns in the target, then retry.', CORRECT_PLAN],
  SCHEMA_CHANGED: ['Take the change back, then retry.', 'Or copy the dataset again as its columns are now: `npx caravan amend PLAN --again DATASET`, then retry.'],
  SQL_INVALID: ['Create what the SQL needs, or grant it, then retry.', CORRECT_PLAN],
  TARGET_NOT_EMPTY: ['Empty the target table, then retry.', 'Or choose `on_existing: append` or `replace` in the plan and carry it over: `npx caravan amend PLAN`. After a rollback with `keep_new` these are rows of the new side: `append` keeps them, `replace` deletes them.'],
  TARGET_OWNED: ['Another migration owns this target: let it finish first, then retry.', 'Or name another target in the plan and carry it over: `npx caravan amend PLAN`.'],
  ROW_REFUSED: ['Correct the row in the source, then retry.', 'Or let the plan send such rows to quarantine (`on_invalid: quarantine`) and carry it over: `npx caravan amend PLAN`.'],
  ERROR_RATE_EXCEEDED: ['Look at the quarantine (`npx caravan quarantine list`); retry goes on with the same rules.'],
  SPEED_TOO_LOW: ['Look for locks and load on both systems; retry goes on.'],
  KEY_NOT_UNIQUE: ['Remove the duplicate keys in the source, then retry.', CORRECT_PLAN],
  CHECK_FAILED: ['Correct the data, then retry.', 'Or skip: that accepts the result as it is, on the record.', 'Or correct the check, or set its `on_fail: warn`, and carry it over: `npx caravan amend PLAN`.'],
  VALIDATION_FAILED: ['Repair exactly these rows: retry with `overrides: {"repair": true}`.', 'Or correct the data, then retry.', 'Or skip: that accepts the difference as it is, on the record.'],
  ENGINE_MISMATCH: ['Run workers of the version that began this dataset, then retry.'],
  PLAN_CHANGED: ['Undo the edit of the plan, also with `npx caravan amend PLAN`, then retry.', 'Or remove from the target table what is not this migration\'s, then retry.'],
  NO_PROGRESS: [
    'Look at the locks and the load of both systems and at the worker\'s log, then retry.',
    'Smaller commits may help: `npx caravan resume ID --set checkpoint_interval=5000`, or retry with `overrides: {"checkpointInterval": 5000}`.',
    'Against very large rows, smaller batches: `--set batch_size=1000`, or `overrides: {"batchSize": 1000}`.',
  ],
  QUEUE_UNSERVED: ['Start a worker for this queue (`npx caravan worker`) or more of them, then retry.'],
  BACKUP_FAILED: ['Remove the cause (room in the backup folder, the tool\'s own log), then retry: what is proved already stays.', 'Or skip, with your name and a reason: production then opens without this backup, on the record.'],
  WRITES_NOT_BLOCKED: ['See who writes, or which lock or right stands in the way (the message names it), then retry.', 'Or give the connection an `admin_url` whose user owns the tables, then retry.'],
  WRITES_REFUSED: ['Lift what makes that side refuse writes (a read-only setting, missing rights, another migration\'s block), then retry.'],
  SWITCH_FAILED: ['Mend the webhook, statement, file or command of that application, then retry. Nobody writes on either side until then.', 'Or abort: applications are switched back and the old side accepts writes again.'],
  CUTOVER_UNDONE: ['Remove the cause, then retry: the next try copies only what changed since.', 'Or abort: the old side stays in use, the new one refuses writes, copied rows stay.'],
  MONITORING_FAILED: ['Mend the new side, then retry: the window begins again.', 'Or skip: that accepts it on the record.', 'Or abort: the cutover is taken back, and what was written on the new side is listed.'],
  REHEARSAL_FAILED: ['Correct what the message names, then retry: the rehearsal begins again.', 'Or skip, with your name and a reason: that waives the rehearsal, on the record.'],
  REHEARSAL_STALE: ['Retry: the sample goes through the whole process again.', 'Or skip, with your name and a reason: that waives the rehearsal, on the record.'],
  ROLLBACK_CONFLICT: ['Decide what becomes of these rows: retry with `overrides: {"changedRows": "keep_new"}` (they stay) or `"restore_old"` (changed ones go back).', 'Or skip: this dataset stays migrated, on the record.'],
  UNDO_MISSING: ['Put the table back to the verified backup: retry with `overrides: {"fromBackup": true}`. What was written to it since the backup is gone then.', 'Or skip: this dataset stays migrated, on the record.'],
  ROLLBACK_REFUSED: ['Do what the message says, then retry.', 'Or skip: this step is left out, on the record.'],
  STAGING_FAILED: ['Make sure that the staging folder exists, has space and is reached by both sides, then retry.'],
};

/** What a person can do about a failure with this code, most helpful first; never empty. */
export function remediesFor(code: ErrorCode): string[] {
  return REMEDIES[code] ?? ['Look at the worker\'s log, remove the cause, then retry.'];
}

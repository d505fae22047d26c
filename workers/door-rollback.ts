import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createActivities } from '../activities';
import type { ActivityDependencies } from '../activities/dependencies';
import { isMigrationError, MigrationError } from '../migration/errors';
import { RollbackCourse, type RollbackMeans } from '../migration/rollback-course';
import type { RollbackResult, RollbackStart } from '../migration/protocol';

const ATTEMPTS = 5;
const PAUSE_MS = 1_000;

/**
 * A rollback in this process, with the control store and both sides but without Temporal: the same steps in the same order, on record like those of the
 * workflow. What cannot go on ends it; the same command again goes on from there. @throws MigrationError of the step that failed.
 */
export async function rollBackOffline(deps: ActivityDependencies, start: RollbackStart, onStep: (step: string) => void): Promise<RollbackResult> {
  const activities = createActivities(deps);
  const begun = await activities.beginRollback({ ...start, workflowId: `offline-rollback-${hostname()}-${process.pid}`, firstRunId: randomUUID() });
  const means: RollbackMeans = {
    async step(name, work) {
      onStep(name);
      return patiently(() => work(activities, {}));
    },
    lacksRights: (error) => isMigrationError(error) && (error.code === 'WRITES_NOT_BLOCKED' || error.code === 'PRIVILEGE_MISSING'),
    differs: (dataset, detail) => new MigrationError('VALIDATION_FAILED', `${dataset}: ${detail}`),
  };
  const datasets = await new RollbackCourse(begun, means).run();
  await activities.closeRun({ ref: begun.view.ref, outcome: 'rolled_back' });
  return { migration: start.migration, status: 'rolled_back', tier: begun.tier, datasets, skipped: [] };
}

/** Transient failures are tried again for a while. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isMigrationError(error) || error.kind !== 'transient' || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt));
    }
  }
}

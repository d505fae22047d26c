import type { LifeStep, RunRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { loadControl } from './run-context';
import { readSteps } from './stores/step-store';

/** The steps of a migration's cutovers and rollbacks, oldest first. @throws MigrationError `LEASE_LOST`. */
export async function lifeSteps(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<LifeStep[]> {
  const { control } = await loadControl(deps, ref);
  return readSteps(control, ref.migration);
}

import { orderDatasets } from '../migration/plan/order';
import type { RehearsalInput, RehearsedRollback } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { whileAlive } from './reconciliation/liveness';
import { scratchDigests } from './rehearsal/scratch-tables';
import { restoreObjects } from './restore-objects';
import { loadRun } from './run-context';
import { readRehearsals } from './stores/rehearsal-store';
import { undoDataset } from './undoing/undo-dataset';

/** Of the one attempt that a rehearsal makes. */
const ATTEMPT = 1;

/**
 * Takes the sample back from the scratch tables by the rollback's own code, children first, and compares every row of what is there then with what was there before the copy.
 * A repeat goes on. @throws MigrationError as `undoDataset`.
 */
export function rehearseRollback(deps: ActivityDependencies, { ref, id, rehearsal }: RehearsalInput): Promise<RehearsedRollback> {
  return whileAlive(async () => {
    const { plan, control } = await loadRun(deps, ref);
    const before = (await readRehearsals(control, ref.migration)).find((one) => one.id === id)?.evidence.before ?? [];
    const begun = Date.now();
    const datasets = orderDatasets(plan);
    let rows = 0;
    for (const dataset of [...datasets].reverse()) {
      const undone = await undoDataset(deps, { ref: rehearsal, dataset, attempt: ATTEMPT, policy: 'stop', leaving: datasets });
      rows += undone.removed + undone.restored;
    }
    const { left } = await restoreObjects(deps, { ref: rehearsal });
    const milliseconds = Date.now() - begun;
    const after = await scratchDigests(deps, plan);
    const different = before.filter((one) => !after.some((now) => now.dataset === one.dataset && now.rows === one.rows && now.digest === one.digest)).map(({ dataset }) => dataset);
    return { rows, milliseconds, equal: before.length === after.length && different.length === 0 && left.length === 0, different: [...different, ...left].slice(0, 20) };
  });
}

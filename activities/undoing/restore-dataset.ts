import type { RollbackDatasetInput, UndoneDataset } from '../../migration/protocol';
import { restoreFromBackup } from '../backup/restore-from-backup';
import type { ActivityDependencies } from '../dependencies';
import { guardDataset } from '../reconciliation/dataset-fence';
import { whileAlive } from '../reconciliation/liveness';
import { loadDataset } from '../run-context';
import { markUndone, stopCopies } from './undo-dataset';

/**
 * The way back where the journal is of no use: the dataset's table becomes what the last verified backup of the target holds, and the ledger says undone,
 * in one transaction under the dataset's fence. What anybody wrote to the table since the backup is gone, so a person asks for it by name.
 * @throws MigrationError `BACKUP_FAILED` (no verified backup here, damaged, or taken by a tool of the team: nothing was changed), `FENCED`.
 */
export function restoreDataset(deps: ActivityDependencies, input: RollbackDatasetInput): Promise<UndoneDataset> {
  return whileAlive(async () => {
    const ctx = await loadDataset(deps, input);
    const answer: UndoneDataset = { dataset: input.dataset, state: 'undone', removed: 0, restored: 0, conflicts: 0, exported: 0 };
    const held = await stopCopies(ctx);
    if (held === null) return { ...answer, state: 'nothing' };
    if (held === 'undone') return answer;
    const restored = await restoreFromBackup(deps, ctx.control, {
      ref: input.ref, datasets: [input.dataset],
      within: async (client) => {
        await guardDataset(client, held);
        await markUndone(client, held, input.ref, 'restored');
      },
    });
    return { ...answer, restored: restored.reduce((sum, { rows }) => sum + rows, 0) };
  });
}

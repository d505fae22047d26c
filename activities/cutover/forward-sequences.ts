import type { LifeStep, StepInput } from '../../migration/protocol';
import { forwardSequences } from '../close-dataset';
import type { ActivityDependencies } from '../dependencies';
import { takeDatasetFence } from '../reconciliation/dataset-fence';
import { openSides } from '../reconciliation/open-sides';
import { loadDataset } from '../run-context';
import { performStep } from './life-step';

/** Sets the sequences of every dataset's target to the further of both sides once more: numbers were drawn while rows moved. Only forward. */
export function forwardAllSequences(deps: ActivityDependencies, input: StepInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async ({ plan, ref, signal }) => {
    let datasets = 0;
    for (const dataset of Object.keys(plan.datasets)) {
      signal.throwIfAborted();
      const ctx = await loadDataset(deps, { ref, dataset });
      const sides = await openSides(deps, ctx);
      await forwardSequences(sides, await takeDatasetFence(ctx.target, { migration: ref.migration, dataset, generation: sides.ledger.generation }));
      datasets += 1;
    }
    return { what: `Sequences of ${datasets} datasets stand at the further of both sides.`, datasets };
  });
}

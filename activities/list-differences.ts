import type { RunRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { readDifferences, type DifferenceKind } from './reconciliation/difference-store';
import { loadDataset, loadRun } from './run-context';

/** Where the last comparison of a dataset found something. `key` is masked, part by part; `id` finds it in `caravan.difference` of the target. */
export interface MaskedDifference { id: string; dataset: string; kind: DifferenceKind; key: string[] | null; columns: string[] }

const HIDDEN = '***';

/** Differences of the last comparisons in the plan's order of datasets, at most `limit`. Values never leave the target. @throws MigrationError as `loadRun`. */
export async function listDifferences(deps: ActivityDependencies, { ref, dataset, limit }: { ref: RunRef; dataset?: string; limit: number }): Promise<MaskedDifference[]> {
  const { plan } = await loadRun(deps, ref);
  const answer: MaskedDifference[] = [];
  for (const name of dataset === undefined ? Object.keys(plan.datasets) : [dataset]) {
    if (answer.length >= limit) break;
    const { target } = await loadDataset(deps, { ref, dataset: name });
    const found = await target.use((client) => readDifferences(client, ref.migration, name, limit - answer.length));
    answer.push(...found.map(({ id, kind, sourceKey, targetKey, columns }) => ({ id, dataset: name, kind, key: (sourceKey ?? targetKey)?.map(masked) ?? null, columns })));
  }
  return answer;
}

function masked(part: string | null): string {
  return part === null ? 'NULL' : `${HIDDEN} (${[...part].length})`;
}

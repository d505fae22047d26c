import type { DatasetView, GroupView, ProductionInput, ProductionResult, RunInput, RunView } from '../migration/protocol';
import { restoreObjects } from './restoring';

/** `leaveOut`: datasets that a person skipped. `notRestored`: what their targets still lack, in words. */
export interface MovedGroups { leaveOut: string[]; notRestored: string[] }

/**
 * Moves groups one after the other; `move` runs the child of one. Targets of skipped datasets get back what the copy took away once all groups are
 * through: foreign keys to them had to wait for the rows of later groups.
 */
export async function moveGroups(input: RunInput, groups: readonly GroupView[], move: (workflowId: string, production: ProductionInput, summary: string) => Promise<ProductionResult | null>, before: (group: GroupView) => Promise<void> = () => Promise.resolve()): Promise<MovedGroups> {
  const { view, root, activityQueue } = input;
  const leaveOut: string[] = [];
  const left: DatasetView[] = [];
  let notRestored: string[] = [];
  for (const group of groups) {
    await before(group);
    // Ids of phases begin with a digit, names of datasets never do: they cannot meet.
    const workflowId = view.groups.length > 0 ? `${root}/2-production-${group.name}` : `${root}/2-production`;
    const datasets = view.paged ? undefined : group.datasets;
    const moved = await move(workflowId, { ...input, group: group.name, datasets }, `${group.size ?? group.datasets.length} datasets of ${group.name}`);
    leaveOut.push(...(moved?.skipped ?? []));
    left.push(...(moved?.left ?? []));
    notRestored = moved?.notRestored ?? [];
  }
  const skipped = view.paged ? left : view.datasets.filter((dataset) => leaveOut.includes(dataset.name));
  if (groups.length > 1) notRestored = await restoreObjects(view.ref, skipped, activityQueue);
  return { leaveOut, notRestored };
}

/** The plan's groups in their order; datasets that stand in none move first, together. Without groups all datasets are one. */
export function groupsOf(view: RunView): GroupView[] {
  const named = new Set(view.groups.flatMap((group) => group.datasets));
  const others = view.datasets.map((dataset) => dataset.name).filter((name) => !named.has(name));
  return others.length > 0 ? [{ name: 'datasets', datasets: others, gate: null }, ...view.groups] : view.groups;
}

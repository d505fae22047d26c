import { MigrationError } from '../migration/errors';
import { workPages } from '../migration/plan/work-pages';
import type { WorkPage, WorkPageInput } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { loadControl } from './run-context';
import { inventorySizes } from './stores/inventory';

/**
 * One page of the work of an admitted plan: units in the order they should start, tiny datasets bundled by the sizes that the last inventory found.
 * A page behind the last one is empty.
 * @throws MigrationError `PLAN_INVALID` when `leaveOut` names a dataset that the plan does not have; `LEASE_LOST`, `PLAN_AMENDED`.
 */
export async function planWork(deps: ActivityDependencies, { ref, group, page, leaveOut = [] }: WorkPageInput): Promise<WorkPage> {
  const { plan, control } = await loadControl(deps, ref);
  const unknown = leaveOut.filter((name) => !Object.hasOwn(plan.datasets, name));
  if (unknown.length > 0) throw new MigrationError('PLAN_INVALID', `"leaveOut" names datasets that the plan does not have: ${unknown.slice(0, 20).join(', ')}.`);
  const sizes = await control.use((client) => inventorySizes(client, plan));
  const pages = workPages(plan, (name) => sizes.get(name) ?? null, group, new Set(leaveOut));
  return { units: pages[page] ?? [], last: page >= pages.length - 1 };
}

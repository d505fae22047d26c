import { firstNames } from '../migration/name-list';
import type { PlanEdits } from '../migration/plan/edits';
import { settledCutover } from '../migration/rollback-steps';
import type { PostgresSystem } from './connectors/postgres/system';
import { readSteps } from './stores/step-store';

const NAMED_MAX = 10;

/**
 * Why edits of datasets cannot be carried out any more: a cutover that came to its end stands, and what it moved is in use on the new side, where a copy would
 * take away what applications wrote. Datasets that were rolled back since may change. Each reason says what to do instead; none: nothing stands in the way.
 */
export async function refusalsAfterCutover(control: PostgresSystem, migration: string, { changed, added, removed }: Pick<PlanEdits, 'changed' | 'added' | 'removed'>): Promise<string[]> {
  if (changed.length + added.length + removed.length === 0) return [];
  const settled = settledCutover(await readSteps(control, migration));
  if (!settled) return [];
  const back = new Set(settled.rolledBack);
  const inUse = changed.map(({ dataset }) => dataset).filter((name) => !back.has(name));
  const gone = removed.filter((name) => !back.has(name));
  return [
    ...(inUse.length > 0 ? [inUseWords(migration, inUse)] : []),
    ...(added.length > 0 ? [`the cutover of ${migration} is complete, so ${firstNames(added, NAMED_MAX)} would not be moved any more. Move new datasets with a plan of their own, under another name of the migration`] : []),
    ...(gone.length > 0 ? [`the cutover of ${migration} is complete: without ${firstNames(gone, NAMED_MAX)} in the plan, a rollback would leave it on the new side, and its old tables blocked. Leave it in the plan, or take it back first`] : []),
  ];
}

function inUseWords(migration: string, datasets: readonly string[]): string {
  const named = datasets.slice(0, NAMED_MAX).map((name) => ` --dataset ${name}`).join('');
  return `the cutover of ${migration} is complete, and applications write to ${firstNames(datasets, NAMED_MAX)} on the new side: nothing is copied there again, for that would take away what they wrote. `
    + `Change the rows on the new side itself. Or take these datasets back first (npx caravan rollback ${migration} --partial${named}, or --immediate for everything), then amend, and run the plan again`;
}

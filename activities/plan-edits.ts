import { MigrationError } from '../migration/errors';
import { canonicalJson } from '../migration/plan/hash';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { hasTable } from './stores/control-store';

/** What decides which rows arrive and how they look. The rest of a dataset (order, mode, masking) may change at any time. */
function dataPart(plan: Plan, dataset: DatasetPlan): string {
  return canonicalJson({
    source: dataset.source, target: dataset.target, schema: dataset.schema ?? plan.schema, transformations: dataset.transformations,
    validation: dataset.validation, on_invalid: dataset.on_invalid, accept: dataset.accept,
  });
}

/**
 * Lets an edited plan pass unless it changes what rows already copied should have looked like.
 * @throws MigrationError `PLAN_CHANGED` naming the datasets.
 */
export async function refuseDataEdits(deps: ActivityDependencies, former: Plan, plan: Plan): Promise<void> {
  const approach = former.approach === plan.approach ? [] : ['approach'];
  const edited = Object.entries(former.datasets).filter(([name, dataset]) => {
    const now = Object.hasOwn(plan.datasets, name) ? plan.datasets[name] : undefined;
    return !now || dataPart(plan, now) !== dataPart(former, dataset);
  });
  if (edited.length === 0 && approach.length === 0) return;
  const suspects = approach.length > 0 ? Object.entries(former.datasets) : edited;
  const copied = await datasetsWithRows(deps, former.migration, suspects);
  const changed = edited.map(([name]) => name).filter((name) => copied.has(name));
  if (changed.length > 0) {
    throw new MigrationError('PLAN_CHANGED',
      `migration ${plan.migration}: the plan changes what rows already copied look like, in ${changed.length === 1 ? 'dataset' : 'datasets'} ${changed.join(', ')}. \`caravan amend\` is not built yet: undo the edit, roll the datasets back, or use a new migration name.`,
      { datasets: changed.join(', ') });
  }
  if (approach.length > 0 && copied.size > 0) {
    throw new MigrationError('PLAN_CHANGED', `migration ${plan.migration}: the approach cannot change from ${former.approach} to ${plan.approach} after rows were copied (${[...copied].join(', ')}). Undo the edit, or use a new migration name.`);
  }
}

/** Those of the datasets whose ledger shows work on rows. */
async function datasetsWithRows(deps: ActivityDependencies, migration: string, datasets: [string, DatasetPlan][]): Promise<Set<string>> {
  const byTarget = new Map<string, string[]>();
  for (const [name, dataset] of datasets) byTarget.set(dataset.target.connection, [...(byTarget.get(dataset.target.connection) ?? []), name]);
  const copied = new Set<string>();
  for (const [connection, names] of byTarget) {
    await asPostgres(deps.systems.open(connection)).use(async (client) => {
      if (!(await hasTable(client, 'dataset'))) return;
      const { rows } = await client.query<{ dataset: string }>(
        `SELECT d.dataset FROM caravan.dataset d WHERE d.migration = $1 AND d.dataset = ANY ($2::text[])
           AND (d.state <> 'open' OR EXISTS (SELECT FROM caravan.split s WHERE s.migration = d.migration AND s.dataset = d.dataset AND s.generation = d.generation AND s.commit_no > 0))
         ORDER BY d.dataset`, [migration, names]);
      for (const row of rows) copied.add(row.dataset);
    });
  }
  return copied;
}

import { firstNames } from '../migration/name-list';
import { MigrationError } from '../migration/errors';
import { planEdits, type PlanEdits } from '../migration/plan/edits';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import { refusalsAfterCutover } from './after-cutover';
import type { ActivityDependencies } from './dependencies';
import { hasTable } from './stores/control-store';

/** What the ledger knows of a dataset. */
export interface LedgerState {
  state: 'open' | 'copied' | 'closed';
  base: 'empty' | 'foreign';
  /** Source rows accounted for so far. */
  rows: number;
  /** Work on rows has begun. */
  begun: boolean;
}

/**
 * What an edited plan may do by itself when a migration is started again: anything but change rows that are there already.
 * @returns datasets that the ledger knows but whose copy has not begun, and whose edit it has to follow.
 * @throws MigrationError `PLAN_CHANGED` naming the datasets and the command that carries the edit out, or after a cutover what to do instead.
 */
export async function refuseDataEdits(deps: ActivityDependencies, control: PostgresSystem, former: Plan, plan: Plan, planWord = 'PLAN'): Promise<string[]> {
  const edits = planEdits(former, plan);
  const [tooLate] = await refusalsAfterCutover(control, plan.migration, edits);
  if (tooLate !== undefined) throw new MigrationError('PLAN_CHANGED', `${tooLate}. Nothing was changed; undo the edit to go on.`);
  const approach = former.approach !== plan.approach;
  const touched = approach ? Object.keys(former.datasets) : [...edits.changed.map(({ dataset }) => dataset), ...edits.removed];
  const ledger = await ledgerStates(deps, former.migration, former, touched);
  const begun = touched.filter((name) => ledger.get(name)?.begun === true);
  refuseEdits(plan.migration, edits, new Set(begun), planWord);
  if (approach && begun.length > 0) throw approachChanged(former, plan, begun);
  return edits.changed.map(({ dataset }) => dataset).filter((name) => ledger.has(name));
}

/** @throws MigrationError `PLAN_CHANGED` when the edits touch datasets whose copy has begun. */
export function refuseEdits(migration: string, { changed, removed }: PlanEdits, begun: ReadonlySet<string>, planWord: string): void {
  const named = changed.map(({ dataset }) => dataset).filter((name) => begun.has(name));
  const left = removed.filter((name) => begun.has(name));
  if (named.length + left.length === 0) return;
  const parts = [
    ...(named.length > 0 ? [`changes what rows already copied look like, in ${datasetsNamed(named)}`] : []),
    ...(left.length > 0 ? [`no longer holds ${datasetsNamed(left)}, of which rows are there`] : []),
  ];
  throw new MigrationError('PLAN_CHANGED',
    `migration ${migration}: the plan ${parts.join(', and ')}. To carry that out: npx caravan amend ${planWord}. It shows what would be copied again and asks first. Or undo the edit.`,
    { datasets: [...named, ...left].slice(0, 20).join(', ') });
}

export function approachChanged(former: Plan, plan: Plan, begun: readonly string[]): MigrationError {
  return new MigrationError('PLAN_CHANGED', `migration ${plan.migration}: the approach cannot change from ${former.approach} to ${plan.approach} after rows were copied (${begun.slice(0, 10).join(', ')}). Undo the edit, or use a new migration name.`);
}

function datasetsNamed(names: readonly string[]): string {
  return `${names.length === 1 ? 'dataset' : 'datasets'} ${firstNames(names, 10)}`;
}

/** Those of the datasets that the ledgers of the plan's targets know. */
export async function ledgerStates(deps: Pick<ActivityDependencies, 'systems'>, migration: string, plan: Plan, names: readonly string[]): Promise<Map<string, LedgerState>> {
  const byTarget = new Map<string, string[]>();
  for (const [name, dataset] of named(plan, names)) byTarget.set(dataset.target.connection, [...(byTarget.get(dataset.target.connection) ?? []), name]);
  const known = new Map<string, LedgerState>();
  for (const [connection, wanted] of byTarget) {
    await asPostgres(deps.systems.open(connection)).use(async (client) => {
      if (!(await hasTable(client, 'dataset'))) return;
      const { rows } = await client.query<{ dataset: string } & Omit<LedgerState, 'rows'> & { rows: string }>(
        `SELECT d.dataset, CASE d.state WHEN 'undone' THEN 'open' ELSE d.state END AS state, d.base, CASE d.state WHEN 'undone' THEN 0 ELSE s.rows END::text AS rows,
           d.state <> 'undone' AND (d.state <> 'open' OR s.commits > 0) AS begun
         FROM caravan.dataset d
         CROSS JOIN LATERAL (
           SELECT coalesce(sum(read_rows), 0) AS rows, coalesce(sum(commit_no), 0) AS commits FROM caravan.split
           WHERE migration = d.migration AND dataset = d.dataset AND generation = d.generation
         ) s
         WHERE d.migration = $1 AND d.dataset = ANY ($2::text[])`, [migration, wanted]);
      for (const { dataset, state, base, rows: count, begun } of rows) known.set(dataset, { state, base, begun, rows: Number(count) });
    });
  }
  return known;
}

function named(plan: Plan, names: readonly string[]): [string, DatasetPlan][] {
  return names.flatMap((name): [string, DatasetPlan][] => {
    const dataset = Object.hasOwn(plan.datasets, name) ? plan.datasets[name] : undefined;
    return dataset ? [[name, dataset]] : [];
  });
}

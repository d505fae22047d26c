/** The plan that a rehearsal carries out: the migration's own, on a sample, into a scratch schema. Pure. */
import type { CheckOutcome, CompareResult } from '../protocol';
import type { Plan } from '../plan/schema';

/** What a dataset reads and writes in the rehearsal. `where`: SQL that selects the sample; `table`: the scratch table as a plan names one. */
export interface RehearsedDataset { where: string; table: string }

export const rehearsalName = (migration: string): string => `${migration}-rehearsal`;

/**
 * Mapping, rules, batch sizes and modes stay as they are. Gates, groups and the phases around the copy go, and so do the plan's own SQL checks: they name the real tables.
 * Datasets that are not in `datasets` are left out.
 */
export function rehearsalPlan(plan: Plan, control: string, datasets: ReadonlyMap<string, RehearsedDataset>): Plan {
  const { backup: _backup, rehearsal: _rehearsal, cutover: _cutover, window: _window, ...rest } = plan;
  return {
    ...rest, migration: rehearsalName(plan.migration), approach: 'big_bang', control, schema: 'given', groups: {}, gates: [], sign_off: [], probes: {},
    schema_objects: Object.fromEntries(Object.keys(plan.schema_objects).map((kind) => [kind, false])) as unknown as Plan['schema_objects'],
    checks: { ...plan.checks, integrity: {}, business_rules: {}, rows: true, repair: false }, alerts: { on_alert: 'warn' },
    datasets: Object.fromEntries(Object.entries(plan.datasets).flatMap(([name, { group: _group, schema: _schema, ...dataset }]) => {
      const rehearsed = datasets.get(name);
      return rehearsed ? [[name, { ...dataset, source: { ...dataset.source, where: rehearsed.where }, target: { ...dataset.target, table: rehearsed.table } }]] : [];
    })),
  };
}

/** What the control store and the ledger hold about a rehearsal. */
export interface RehearsalResults { rows: readonly (CompareResult | CheckOutcome)[]; counts: readonly (CompareResult | CheckOutcome)[]; sample: readonly (CompareResult | CheckOutcome)[]; closed: readonly string[] }

/** Why a rehearsal did not pass; empty when it did. What was not compared did not pass, and what a person skipped did not either. */
export function judgeRehearsal(datasets: readonly string[], results: RehearsalResults, skipped: readonly string[]): string[] {
  const failures = skipped.map((step) => `${step} was skipped`);
  for (const dataset of datasets) {
    if (!results.closed.includes(dataset)) failures.push(`${dataset} was not copied to its end`);
    for (const kind of ['counts', 'sample', 'rows'] as const) {
      const found = results[kind].find((one) => one.dataset === dataset);
      if (!found) failures.push(`${dataset}: ${kind} were not compared`);
      else if (found.verdict === 'failed') failures.push(`${dataset}: ${kind} differ (${found.detail})`);
    }
  }
  return failures;
}

import type { Plan } from './schema';

/** Datasets whose target table a text of SQL names. */
export function datasetsNamed({ datasets }: Pick<Plan, 'datasets'>, sql: string): string[] {
  return Object.entries(datasets).flatMap(([name, { target }]) => {
    const table = (target.table ?? name).split('.').at(-1) ?? name;
    return new RegExp(`(?<![\\w$])${table.replace(/[.*+?^${}()|[\]\\"]/g, '\\$&')}(?![\\w$])`, 'i').test(sql) ? [name] : [];
  });
}

/**
 * The plan as far as these datasets go, for a cutover after the one that everything went through: applications are on the new side already, and what belongs
 * to no dataset stays as it is. Checks that look at other datasets are left out: their two sides are meant to differ by now.
 */
export function restrictPlan(plan: Plan, names: readonly string[]): Plan {
  const chosen = new Set(names);
  const ours = ({ target, source }: { target?: string; source?: string }): boolean => datasetsNamed(plan, `${target ?? ''}\n${source ?? ''}`).every((name) => chosen.has(name));
  const kept = <C extends { target?: string; source?: string }>(checks: Record<string, C>): Record<string, C> => Object.fromEntries(Object.entries(checks).filter(([, check]) => ours(check)));
  return {
    ...plan,
    datasets: Object.fromEntries(Object.entries(plan.datasets).filter(([name]) => chosen.has(name))),
    checks: { ...plan.checks, integrity: kept(plan.checks.integrity), business_rules: kept(plan.checks.business_rules) },
    ...(plan.cutover ? { cutover: { ...plan.cutover, switch: [], also_block: [] } } : {}),
  };
}

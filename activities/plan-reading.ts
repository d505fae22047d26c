import { MigrationError } from '../migration/errors';
import { parsePlan } from '../migration/plan/parse';
import type { Plan } from '../migration/plan/schema';
import type { Problem } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';

/**
 * The plan that a workflow start names (looked up in the plans folder) or holds, with defaults and warnings.
 * @throws MigrationError `PLAN_NOT_FOUND`, `PLAN_INVALID` with every problem, `APPROACH_NOT_BUILT`.
 */
export async function readPlanInput(deps: Pick<ActivityDependencies, 'plans' | 'transforms'>, input: string | object): Promise<{ plan: Plan; warnings: Problem[] }> {
  const known = { transforms: deps.transforms };
  if (typeof input !== 'string') return parsePlan(input, known);
  const { text, path } = await deps.plans.read(input);
  try {
    return parsePlan(text, known);
  } catch (error) {
    if (error instanceof MigrationError) throw new MigrationError(error.code, `${path}: ${error.message}`, error.details);
    throw error;
  }
}

/** Connection of the plan's control store. @throws MigrationError `PLAN_INVALID` when several targets leave it open. */
export function controlConnection(plan: Plan): string {
  if (plan.control !== undefined) return plan.control;
  const targets = [...new Set(Object.values(plan.datasets).map((dataset) => dataset.target.connection))];
  if (targets.length === 1 && targets[0] !== undefined) return targets[0];
  throw new MigrationError('PLAN_INVALID', `migration ${plan.migration} has several targets (${targets.join(', ')}): name the PostgreSQL connection that keeps the run's own records, such as \`control: ${targets[0] ?? 'caravan_db'}\``);
}

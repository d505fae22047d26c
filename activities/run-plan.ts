import { restrictPlan } from '../migration/plan/restrict';
import type { Plan } from '../migration/plan/schema';
import type { RunRef } from '../migration/protocol';
import { settledCutover } from '../migration/rollback-steps';
import { COMPLETE_STEP } from '../migration/cutover-steps';
import type { PostgresSystem } from './connectors/postgres/system';
import { readSteps } from './stores/step-store';

/** The admitted plan as far as this run goes: after a partial rollback that followed a cutover, only what was rolled back moves again. */
export async function planOfRun(control: PostgresSystem, ref: RunRef, plan: Plan): Promise<Plan> {
  if (ref.settled === undefined) return plan;
  const steps = (await readSteps(control, ref.migration)).filter(({ step, attempt }) => step !== COMPLETE_STEP || attempt <= (ref.settled ?? 0));
  return restrictPlan(plan, settledCutover(steps)?.rolledBack ?? []);
}

/** What `RunRef.settled` is for a run that begins now. */
export async function settledBefore(control: PostgresSystem, migration: string): Promise<Pick<RunRef, 'settled'>> {
  const settled = settledCutover(await readSteps(control, migration));
  return settled && settled.rolledBack.length > 0 ? { settled: settled.attempt } : {};
}

/** The same run with every dataset of its plan: for what has to know also those that it leaves alone. */
export function withWholePlan({ settled: _, ...ref }: RunRef): RunRef {
  return ref;
}

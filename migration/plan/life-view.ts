/** What the workflows know of the phases around the copy. Loads in the workflow sandbox: types only from the plan. */
import type { CutoverView, GateView, LifeView } from '../protocol';
import type { Plan } from './schema';

/** Null where the plan asks for none of it: such a run goes as it went before these phases existed. */
export function lifeView(plan: Plan): LifeView | null {
  const gates = gateViews(plan);
  const plain = gates.every(({ stage, role }) => stage === 'production' && role === undefined);
  if (plain && !plan.backup && !plan.rehearsal && !plan.cutover) return null;
  return {
    gates,
    ...(plan.backup ? { backup: true } : {}),
    ...(plan.rehearsal ? { rehearsal: { maxAgeMs: plan.rehearsal.max_age } } : {}),
    ...(plan.cutover ? { cutover: cutoverView(plan.cutover) } : {}),
    ...(plan.cutover && plan.window ? { window: { ...(plan.window.start ? { start: plan.window.start } : {}), ...(plan.window.abort_by ? { abortBy: plan.window.abort_by } : {}) } } : {}),
    ...(plan.downtime_tolerance === undefined ? {} : { downtimeToleranceMs: plan.downtime_tolerance }),
  };
}

/** Every gate in the order of the plan, then the sign-offs of a plan with a cutover: it is over when the last of them is given. */
export function gateViews(plan: Plan): GateView[] {
  const gates = plan.gates.map(({ gate, before, role }): GateView => ({ gate, stage: before, ...holders(plan, role) }));
  const signatures = plan.cutover ? plan.sign_off.filter((role) => !gates.some(({ gate }) => gate === role)) : [];
  return [...gates, ...signatures.map((role): GateView => ({ gate: role, stage: 'finish', ...holders(plan, role) }))];
}

function holders(plan: Plan, role: string | undefined): Pick<GateView, 'role' | 'people' | 'signed'> {
  if (role === undefined) return {};
  const { people = [], key } = (Object.hasOwn(plan.roles, role) ? plan.roles[role] : undefined) ?? {};
  return { role, ...(people.length > 0 ? { people } : {}), ...(key === undefined ? {} : { signed: true }) };
}

function cutoverView({ switch: applications, monitor, legacy }: NonNullable<Plan['cutover']>): CutoverView {
  return {
    applications: applications.map(({ name }) => name), legacy,
    ...(monitor ? { monitor: { forMs: monitor.for, everyMs: monitor.every, onFail: monitor.on_fail, failures: monitor.failures } } : {}),
  };
}

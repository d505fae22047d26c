import type { BlockedStep, StepOverrides, StepResolution } from '../migration/protocol';

const ACTIONS = ['retry', 'skip', 'abort'];
const POLICIES = ['keep_new', 'restore_old', 'stop'];

/**
 * Which blocked step a person means.
 * @returns the step, or a sentence that says why the decision cannot be carried out.
 */
export function chooseStep(blocked: BlockedStep[], resolution: StepResolution | undefined): BlockedStep | string {
  const complaint = judge(resolution);
  if (complaint !== null || resolution === undefined) return complaint ?? 'Say what to do.';
  if (blocked.length === 0) return 'Nothing is blocked.';
  const names = blocked.map((step) => `"${step.step}"`).join(', ');
  if (resolution.step === undefined && blocked.length > 1) return `Several steps are blocked; name one of them as "step": ${names}.`;
  const step = resolution.step === undefined ? blocked[0] : blocked.find((candidate) => candidate.step === resolution.step);
  if (!step) return `The step "${resolution.step ?? ''}" is not blocked. Blocked: ${names}.`;
  if (resolution.action === 'skip' && !step.skippable) return `The step "${step.step}" cannot be skipped: choose retry or abort.`;
  if (resolution.action === 'skip' && step.named && !(resolution.by?.trim() && resolution.reason?.trim())) return `The step "${step.step}" is skipped by a named person with a reason only: give "by" and "reason".`;
  return step;
}

/** Steps a signal means: like `chooseStep`, but a `retry` that names no step means all of them, so that one batch signal wakes every run. */
export function chooseSteps(blocked: BlockedStep[], resolution: StepResolution | undefined): BlockedStep[] | string {
  if (resolution?.action === 'retry' && resolution.step === undefined && blocked.length > 0) return judge(resolution) ?? blocked;
  const step = chooseStep(blocked, resolution);
  return typeof step === 'string' ? step : [step];
}

function judge(resolution: StepResolution | undefined): string | null {
  if (typeof resolution !== 'object' || resolution === null || !ACTIONS.includes(resolution.action)) {
    return 'Say what to do: {"action": "retry" | "skip" | "abort"}, with "step" where several are blocked.';
  }
  const { by, reason } = resolution as { by?: unknown; reason?: unknown };
  if ((by !== undefined && typeof by !== 'string') || (reason !== undefined && typeof reason !== 'string')) return 'Give "by" and "reason" as text.';
  return judgeOverrides(resolution.overrides);
}

function judgeOverrides(overrides: StepOverrides | undefined): string | null {
  const sizes = ['batchSize', 'checkpointInterval', 'parallelWorkers'];
  const switches = ['repair', 'fromBackup'];
  for (const [name, value] of Object.entries(overrides ?? {}) as [string, unknown][]) {
    if (name === 'changedRows' && POLICIES.includes(value as string)) continue;
    if (switches.includes(name) ? typeof value !== 'boolean' : !sizes.includes(name)) return `There is no override "${name}" with this value. Known: ${sizes.join(', ')} (whole numbers above 0), repair (true or false), fromBackup (true or false), changedRows (${POLICIES.join(', ')}).`;
    if (!switches.includes(name) && !(Number.isInteger(value) && (value as number) > 0)) return `The override "${name}" must be a whole number above 0.`;
  }
  return null;
}

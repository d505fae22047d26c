import { ApplicationFailure, log, setHandler } from '@temporalio/workflow';
import type { Approval, GateView, PauseRequest, StepResolution } from '../migration/protocol';
import {
  approveUpdate, gatesWantedSignal, lifeStepSignal, pauseSignal, pauseUpdate, progressQuery, resolveStepSignal, resolveStepUpdate, resumeSignal, resumeUpdate, stepBlockedSignal, stepResolvedSignal,
  pausingAfterSignal,
} from './definitions';
import { chooseStep, chooseSteps } from './resolution';
import type { RunControl } from './run-control';

const HALF_WAY = 'A rollback is not left half way: choose retry, or skip to leave this step out.';

/** Registers all that may be sent to a root workflow, described for the dialogs of the UI. Call before the first await. */
export function registerHandlers(run: RunControl): void {
  registerResolution(run);
  registerPause(run);
  registerApproval(run);
  setHandler(stepBlockedSignal, (step) => run.stepBlocked(step), { description: 'Internal: a child workflow tells that one of its steps is blocked.' });
  setHandler(stepResolvedSignal, (step) => run.stepResolved(step), { description: 'Internal: a child workflow tells that its block is gone.' });
  setHandler(pausingAfterSignal, (work) => run.pausingAfter(work), { description: 'Internal: a child workflow tells that a pause waits for work of its own.' });
  setHandler(lifeStepSignal, (step) => run.takeLifeStep(step), { description: 'Internal: a cutover tells how one of its steps ended.' });
  setHandler(gatesWantedSignal, (wanted) => { run.gatesWanted.push(wanted); }, { description: 'Internal: a cutover has come to the gates before the switch.' });
  setHandler(progressQuery, () => run.snapshot(), { description: 'Progress, blocked steps and approvals waited for, as data.' });
}

function registerResolution(run: RunControl): void {
  setHandler(resolveStepUpdate, (resolution) => {
    const step = chooseStep(run.blocked, resolution);
    if (typeof step === 'string') throw refusal(step);
    run.resolve(step, resolution);
    return `${resolution.action}: ${step.step}`;
  }, {
    description: 'Decides on a blocked step: {"action": "retry", "by": "your name"}. Actions: retry, skip (leave the step out), abort (end the run, rows stay). Optional: "step" (needed where several are blocked), "reason", and for a retry "overrides": {"batchSize": 1000} or {"repair": true}.',
    validator: (resolution: StepResolution) => refuse(run.phase === 'rollback' && resolution?.action === 'abort' ? HALF_WAY : chooseStep(run.blocked, resolution)),
  });
  setHandler(resolveStepSignal, (resolution) => {
    const steps = chooseSteps(run.blocked, resolution);
    if (typeof steps === 'string' || (run.phase === 'rollback' && resolution.action === 'abort')) log.warn('decision ignored', { reason: typeof steps === 'string' ? steps : HALF_WAY });
    else for (const step of steps) run.resolve(step, resolution);
  }, { description: 'Like resolveStep, for many runs at once from a list filter: a retry that names no step means every blocked step.' });
}

function registerPause(run: RunControl): void {
  setHandler(pauseUpdate, (request) => {
    run.pause('person', request);
    return 'pausing: work in flight stops after its current commit';
  }, {
    description: 'Stops after the current commits and waits; what cannot stop in the middle (a dataset without a key, an index build) ends first. Data may be empty, or {"by": "your name", "reason": "…"}.',
    validator: (_request: PauseRequest | undefined) => refuse(run.ending ? 'The run is ending.' : run.paused ? 'The run is paused already.' : null),
  });
  setHandler(resumeUpdate, () => {
    run.resume('person');
    return 'resumed';
  }, {
    description: 'Goes on after a pause. Data may be empty. A blocked step needs resolveStep instead.',
    validator: (_request: PauseRequest | undefined) => refuse(run.paused ? null : run.blocked.length > 0 ? 'The run is not paused but blocked: send resolveStep.' : 'The run is not paused.'),
  });
  setHandler(pauseSignal, (request) => run.pause('person', request), { description: 'Like pause, for many runs at once from a list filter.' });
  setHandler(resumeSignal, () => run.resume('person'), { description: 'Like resume, for many runs at once from a list filter.' });
}

function registerApproval(run: RunControl): void {
  setHandler(approveUpdate, (approval) => {
    run.gates.approve(approval);
    return `approved: ${approval.gate}`;
  }, {
    description: 'Opens a gate of the plan: {"gate": "…", "by": "your name"}. Optional: "role" (needed where the plan names one), "reason", "evidence" (a link, say), "signature". A gate may be opened before it is reached.',
    validator: (approval: Approval) => refuse(judgeApproval(run, approval)),
  });
}

function judgeApproval(run: RunControl, approval: Approval | undefined): string | null {
  if (!run.isAdmitted) return 'The run is not admitted yet.';
  const gates = run.gates.names();
  if (gates.length === 0) return 'The plan has no gates.';
  if (typeof approval !== 'object' || approval === null || !gates.includes(approval.gate)) return `Name a gate of the plan as "gate": ${gates.join(', ')}.`;
  if (typeof approval.by !== 'string' || approval.by.trim() === '') return 'Say who approves: "by".';
  if (run.gates.isApproved(approval.gate)) return `The gate "${approval.gate}" is approved already.`;
  return judgeRole(run.gates.viewOf(approval.gate), approval);
}

/** What can be told at once; whether a signature fits is judged by the activity that records the approval. */
function judgeRole(gate: GateView | undefined, { gate: name, by, role }: Approval): string | null {
  if (gate?.role === undefined) return null;
  if (role !== gate.role) return `The gate "${name}" is given by the role "${gate.role}": add "role": "${gate.role}"${gate.people ? `. It is held by ${gate.people.join(', ')}` : ''}.`;
  if (gate.people && !gate.people.includes(by)) return `${by} does not hold the role "${gate.role}". It is held by ${gate.people.join(', ')}.`;
  return null;
}

/** Of validators: throws when there is a reason against it. */
export function refuse(reason: unknown): void {
  if (typeof reason === 'string') throw refusal(reason);
}

/** Without a stack: the UI's dialog shows it below the message, and it says nothing to whoever sent the update. */
function refusal(message: string): ApplicationFailure {
  const failure = ApplicationFailure.create({ message, type: 'REFUSED', nonRetryable: true });
  failure.stack = '';
  return failure;
}

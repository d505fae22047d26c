import { isMigrationError, MigrationError } from '../../migration/errors';
import { CUTOVER_STEPS, undoStepName } from '../../migration/cutover-steps';
import type { LifeStep, Side, StepEvidence, StepUndo, UndoInput } from '../../migration/protocol';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { openStep, readSteps } from '../stores/step-store';
import { switchApplication } from '../switching/application-switch';
import { closed, loadForUndo, type StepWork } from './life-step';
import { changeSide, proveSide } from './write-steps';

/**
 * Takes one step back, under an epoch of its own: whoever still carries the step out is refused from then on. A block or an opening is proved before it
 * counts. The source opens only while the target is proved to refuse. Repeating it is safe; what is undone answers at once.
 * @throws MigrationError of what could not be taken back; `LEASE_LOST`.
 */
export function undoStep(deps: ActivityDependencies, { ref, id }: UndoInput): Promise<LifeStep> {
  return whileAlive(async (signal) => {
    const run = await loadForUndo(deps, ref);
    const step = (await readSteps(run.control, ref.migration)).find((one) => one.id === id);
    if (!step) throw new MigrationError('UNDO_MISSING', `migration ${ref.migration}: the control store knows no step ${id}, so it cannot be taken back. Look at both sides before anybody writes: exactly one may accept writes.`);
    if (step.state === 'undone') return step;
    const own = await openStep(run.control, ref, { attempt: step.attempt, step: undoStepName(step.step), undo: { do: 'none' } });
    const evidence = await carryOut(deps, step.undo, { ...run, attempt: step.attempt, epoch: own.epoch, signal });
    await closed(run, own, 'done', evidence);
    return closed(run, step, 'undone', evidence);
  });
}

async function carryOut(deps: ActivityDependencies, undo: StepUndo, work: StepWork): Promise<StepEvidence> {
  switch (undo.do) {
    case 'none': return { what: 'Nothing had to be taken back.' };
    case 'switch_application': return switchApplication(deps, work.plan, undo.application, undo.to, work);
    case 'block_writes': {
      const blocked = await changeSide(deps, undo.side, 'block', work);
      return proved(blocked, await proveSide(deps, work.plan, undo.side, 'refuses'));
    }
    case 'allow_writes': {
      const other = undo.side === 'source' ? 'target' : 'source';
      const refused = await otherRefuses(deps, other, work);
      const allowed = await changeSide(deps, undo.side, 'allow', work);
      return proved(allowed, refused, await proveSide(deps, work.plan, undo.side, 'accepts'));
    }
  }
}

/** A target that is away cannot be asked. Where it was proved to refuse, and no step of this try began to open it, it refuses still. */
async function otherRefuses(deps: ActivityDependencies, other: Side, { plan, control, ref, attempt }: StepWork): Promise<StepEvidence> {
  try {
    return await proveSide(deps, plan, other, 'refuses');
  } catch (error) {
    if (!isMigrationError(error) || error.kind !== 'transient') throw error;
    const steps = await readSteps(control, ref.migration, attempt);
    const shown = steps.find(({ step, state }) => step === CUTOVER_STEPS.prove && state === 'done');
    if (!shown || steps.some(({ step }) => step === CUTOVER_STEPS.openTarget)) throw error;
    return { what: `The ${other} cannot be reached. It was proved to refuse writes at ${shown.closedAt ?? shown.openedAt}, and nothing has opened it since.` };
  }
}

function proved(first: StepEvidence, ...proofs: StepEvidence[]): StepEvidence {
  return { ...first, what: [first, ...proofs].map(({ what }) => what).join(' ') };
}

import { isMigrationError, MigrationError } from '../../migration/errors';
import type { LifeStep, RunRef, StepEvidence, StepInput, StepUndo } from '../../migration/protocol';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { loadRun, type RunContext } from '../run-context';
import { planOfRun } from '../run-plan';
import { readPlan } from '../stores/plan-store';
import { closeStep, openStep, readSteps } from '../stores/step-store';

/** What the work of a step stands on. `epoch`: what it writes into the databases it changes. */
export interface StepWork extends RunContext { attempt: number; epoch: number; signal: AbortSignal }

/**
 * Carries out one step of a cutover: its undo is durable before `work` begins, its evidence when this returns. A failure is recorded as well; the step may
 * have left something behind, so its undo stays due. The same step of the same attempt again goes on with the same epoch; one that is done answers at once.
 * @throws MigrationError of `work`, `LEASE_LOST`, `PLAN_AMENDED`.
 */
export function performStep(deps: ActivityDependencies, input: StepInput & { tookMs?: number }, undo: StepUndo, work: (work: StepWork) => Promise<StepEvidence>): Promise<LifeStep> {
  return whileAlive(async (signal) => {
    const run = await loadRun(deps, input.ref);
    const opened = await openStep(run.control, input.ref, { attempt: input.attempt, step: input.step, undo, tookMs: input.tookMs });
    if (opened.state === 'done') return opened;
    if (opened.state === 'undone') throw new MigrationError('FENCED', `step ${input.step} was taken back; whoever still carries it out comes too late and changes nothing.`);
    try {
      const evidence = await work({ ...run, attempt: input.attempt, epoch: opened.epoch, signal });
      return await closed(run, opened, 'done', evidence);
    } catch (error) {
      if (isMigrationError(error) && error.kind !== 'fenced') await closeStep(run.control, input.ref, opened, 'failed', { what: error.message }).catch(() => undefined);
      throw error;
    }
  });
}

/** Ends a step and answers it as it is stored. */
export async function closed({ control, ref }: Pick<RunContext, 'control' | 'ref'>, step: LifeStep, state: 'done' | 'undone', evidence: StepEvidence): Promise<LifeStep> {
  await closeStep(control, ref, step, state, evidence);
  const stored = (await readSteps(control, ref.migration, step.attempt)).find(({ id }) => id === step.id);
  return stored ?? { ...step, state, evidence };
}

/** The plan that a cutover was begun under, also when it was amended since: an undo has to be carried out as it was written. The lease is checked by the step store. */
export async function loadForUndo(deps: ActivityDependencies, ref: RunRef): Promise<RunContext> {
  const control = asPostgres(deps.systems.open(ref.control));
  return { ref, control, plan: await planOfRun(control, ref, await readPlan(control, ref.planHash)) };
}

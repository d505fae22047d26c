import { getExternalWorkflowHandle, isCancellation, log, workflowInfo, type SignalDefinition } from '@temporalio/workflow';
import type { CutoverInput, LifeActivities, LifeStep, StepEvidence, StepInput } from '../migration/protocol';
import { controlQueue, stepActivities } from './activity-proxies';
import type { Steps } from './blocked-step';
import { lifeStepSignal } from './definitions';
import { failure } from './failures';

/** What every step of one cutover stands on: its input, its blocks, and the root that shows them. */
export class CutoverStage {
  readonly queue: string;
  readonly workflowId = workflowInfo().workflowId;

  /** `gatesOpen` waits until the root says that the gates before the switch are open. */
  constructor(readonly input: CutoverInput, readonly steps: Steps, readonly gatesOpen: () => Promise<void>) {
    this.queue = controlQueue(input.activityQueue);
  }

  /** One step of the control store. It blocks when it fails for good; the root shows how it ended. */
  async take(step: string, work: (activities: LifeActivities, step: StepInput) => Promise<LifeStep>): Promise<LifeStep> {
    const { ref, attempt } = this.input;
    const outcome = await this.steps.run(`cutover: ${step}`, () => work(stepActivities(this.queue, step), { ref, attempt, step }));
    if (outcome.state === 'skipped') throw failure('INTERNAL', `The step ${step} of a cutover was skipped, which nothing allows.`);
    await this.tell(lifeStepSignal, outcome.value);
    return outcome.value;
  }

  /** Puts on record what other workflows did. `tookMs`: how long that took them. */
  record(step: string, evidence: StepEvidence, tookMs = 0): Promise<LifeStep> {
    return this.take(step, (activities, opened) => activities.recordStep({ ...opened, evidence, tookMs }));
  }

  /** A root that is gone needs no word. */
  async tell<T>(signal: SignalDefinition<[T]>, value: T): Promise<void> {
    try {
      await getExternalWorkflowHandle(this.input.root).signal(signal, value);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('the root workflow does not answer', { root: this.input.root });
    }
  }
}

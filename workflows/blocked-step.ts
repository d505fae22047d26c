import { CancellationScope, condition, getExternalWorkflowHandle, isCancellation, log, setHandler, sleep, workflowInfo } from '@temporalio/workflow';
import type { BlockedStep, PausingAfter, StepDecision, StepOverrides, StepResolved } from '../migration/protocol';
import { pausingAfterSignal, setPausedSignal, stepBlockedSignal, stepDecisionSignal, stepResolvedSignal } from './definitions';
import { abortedBy, describeFailure, endsRun, isExpected, type Described } from './failures';
import { remediesFor } from './remedies';

/** How a step ended: with its value, or skipped by a person. */
export type StepOutcome<T> = { state: 'done'; value: T } | { state: 'skipped'; by?: string; reason?: string };

export interface StepOptions {
  /** The migration is still sound without this step, at a person's word. */
  skippable?: boolean;
  /** Only a named person with a reason may skip it. */
  named?: boolean;
  dataset?: string;
  /** The work itself hears of a pause and stops. All other work runs to its end first, and the root is told what it waits for. */
  heedsPause?: () => boolean;
}

/** Where blocks and pauses are told: the root keeps them itself, children signal it. */
export interface BlockListener {
  blocked(step: BlockedStep): Promise<void>;
  resolved(step: StepResolved): Promise<void>;
  pausing(work: PausingAfter): Promise<void>;
}

/**
 * Runs the steps of one workflow. A step whose work fails for good does not fail the workflow: it blocks until a person decides.
 * A paused workflow starts no step; work in flight hears of a pause through `onPause`.
 */
export class Steps {
  private readonly decisions = new Map<string, StepDecision>();
  private readonly occurrences = new Map<string, number>();
  private readonly pauseListeners = new Set<() => void>();
  private pausedNow: boolean;

  constructor(private readonly listener: BlockListener, paused = false) {
    this.pausedNow = paused;
  }

  get paused(): boolean {
    return this.pausedNow;
  }

  setPaused(paused: boolean): void {
    const started = paused && !this.pausedNow;
    this.pausedNow = paused;
    if (started) for (const tell of [...this.pauseListeners]) tell();
  }

  /** @returns a function that ends the listening. */
  onPause(listener: () => void): () => void {
    this.pauseListeners.add(listener);
    return () => this.pauseListeners.delete(listener);
  }

  async unpaused(): Promise<void> {
    if (this.pausedNow) await condition(() => !this.pausedNow);
  }

  decide(decision: StepDecision): void {
    this.decisions.set(decision.step, decision);
  }

  /**
   * Runs `work` until it succeeds or a person skips it. Retries get the overrides of all decisions so far.
   * @throws what ends the run: cancellation, a lost lease, a person's abort.
   */
  async run<T>(step: string, work: (overrides: StepOverrides) => Promise<T>, options: StepOptions = {}): Promise<StepOutcome<T>> {
    let overrides: StepOverrides = {};
    for (;;) {
      await this.unpaused();
      try {
        return { state: 'done', value: await this.tellingPause(options.dataset ?? step, options, () => work(overrides)) };
      } catch (error) {
        if ((isCancellation(error) && CancellationScope.current().consideredCancelled) || !isExpected(error) || endsRun(error)) throw error;
        const decision = await this.block(step, describeFailure(error), options);
        if (decision.action === 'abort') throw abortedBy(step, decision.by);
        if (decision.action === 'skip') return { state: 'skipped', by: decision.by, reason: decision.reason };
        overrides = { ...overrides, ...decision.overrides };
      }
    }
  }

  private async tellingPause<T>(after: string, { heedsPause }: StepOptions, work: () => Promise<T>): Promise<T> {
    const { workflowId } = workflowInfo();
    const told: Promise<void>[] = [];
    const stopListening = this.onPause(() => {
      if (!heedsPause?.()) told.push(CancellationScope.nonCancellable(() => this.listener.pausing({ workflowId, after, active: true })));
    });
    try {
      return await work();
    } finally {
      stopListening();
      if (told.length > 0) {
        await CancellationScope.nonCancellable(async () => {
          await Promise.all(told);
          await this.listener.pausing({ workflowId, after, active: false });
        });
      }
    }
  }

  /** Blocks at `step` until a person decides; the decision may not be carried out here. */
  async block(step: string, reason: Described, options: StepOptions = {}): Promise<StepDecision> {
    const occurrence = (this.occurrences.get(step) ?? 0) + 1;
    this.occurrences.set(step, occurrence);
    this.decisions.delete(step);
    const workflowId = workflowInfo().workflowId;
    log.warn('blocked', { step, code: reason.code });
    await this.listener.blocked({
      step, occurrence, workflowId, code: reason.code, kind: reason.kind, message: reason.message, remedies: remediesFor(reason.code),
      dataset: options.dataset, since: new Date().toISOString(), skippable: options.skippable ?? false, ...(options.named ? { named: true } : {}),
    });
    try {
      await condition(() => this.decisions.get(step)?.occurrence === occurrence);
    } catch (error) {
      await CancellationScope.nonCancellable(() => this.listener.resolved({ workflowId, step, occurrence }));
      throw error;
    }
    const decision = this.decisions.get(step);
    if (!decision) throw new Error(`The decision on ${step} is gone.`);
    this.decisions.delete(step);
    return decision;
  }

  /** Like `block`, but goes on by itself after `afterMs`: for work that is tried again in any case. */
  async blockFor(step: string, reason: Described, afterMs: number): Promise<void> {
    const waiting = new CancellationScope();
    const timer = sleep(afterMs, { summary: `until ${step} is tried again` }).then(() => waiting.cancel());
    try {
      await waiting.run(() => this.block(step, reason));
    } catch (error) {
      if (!isCancellation(error)) throw error;
    }
    void timer;
  }

  /** Takes back every block of a workflow that is gone. */
  forget(workflowId: string): Promise<void> {
    return this.listener.resolved({ workflowId });
  }
}

/** The steps of a child: blocks go to `root` and decisions come back, both by signal. Registers its handlers: call before the first await. */
export function childSteps(root: string, paused = false): Steps {
  // A root that is gone needs no word: this workflow is being cancelled with it.
  const tell = async (send: () => Promise<void>) => {
    try {
      await send();
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('the root workflow does not answer', { root });
    }
  };
  const steps = new Steps({
    blocked: (step) => tell(() => getExternalWorkflowHandle(root).signal(stepBlockedSignal, step)),
    resolved: (step) => tell(() => getExternalWorkflowHandle(root).signal(stepResolvedSignal, step)),
    pausing: (work) => tell(() => getExternalWorkflowHandle(root).signal(pausingAfterSignal, work)),
  }, paused);
  setHandler(stepDecisionSignal, (decision) => steps.decide(decision), { description: 'Internal: a person\'s decision on a blocked step. Send resolveStep to the migration instead.' });
  setHandler(setPausedSignal, (value) => steps.setPaused(value), { description: 'Internal: pause or go on. Send pause or resume to the migration instead.' });
  return steps;
}

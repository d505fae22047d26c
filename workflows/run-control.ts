import { CancellationScope, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { undoneBy } from '../migration/cutover-steps';
import { dashboardMarkdown } from '../migration/dashboard';
import type {
  AlertState, BlockedStep, DryRunStep, GatesWanted, LifeStep, NotifyInput, PauseRequest, PausingAfter, Phase, Progress, RunProgress, RunStatus, RunView, SkippedStep, StepDecision, StepResolution,
  StepResolved, TakenBack,
} from '../migration/protocol';
import { controlQueue } from './activity-proxies';
import { Steps } from './blocked-step';
import { Gates } from './gates';

const LIFE_STEPS_SHOWN = 40;

export type Notice = Pick<NotifyInput, 'event' | 'message'>;

/**
 * State of one run at its root: what is blocked and paused, and how far it is; its gates are in `gates`. Handlers record here and return;
 * the loops of reporting.ts carry it outward. One instance per root workflow.
 */
export class RunControl {
  readonly steps: Steps;
  readonly gates: Gates;
  /** All work of the run: cancelling it stops everything but the reporting. */
  readonly scope = new CancellationScope();
  readonly queue: string;
  /** Every decision of a person, in order. */
  readonly decided: StepDecision[] = [];
  /** Those that are not in the control store yet. */
  readonly unrecorded: StepDecision[] = [];
  /** What the target lacks and could not be given back, in words. */
  readonly notRestored: string[] = [];
  /** Decisions on their way to the children that blocked. */
  readonly decisions: { workflowId: string; decision: StepDecision }[] = [];
  readonly notices: Notice[] = [];
  /** Gates that a cutover has come to. */
  readonly gatesWanted: GatesWanted[] = [];
  readonly blockingAlerts: AlertState[] = [];
  /** Set when a person aborted the run. */
  aborted: StepDecision | null = null;
  /** The rollback that this run has started: it takes the lease, unless it is refused. */
  takenBack: TakenBack | null = null;
  /** Set when another run took the lease over. */
  lost = false;
  outcome: RunStatus | null = null;
  /** The run has stopped short and only tidies up: nothing may be decided any more. */
  stopping = false;

  /** Stops the phases of a plan that was amended meanwhile. Set while phases run. */
  stopPhases: (() => void) | null = null;

  private admittedView: RunView | null = null;
  private phaseNow: Phase | null = null;
  private progressNow: Progress | null = null;
  private noteNow: string | null = null;
  private lifeSteps: LifeStep[] | null = null;
  private dryRun: DryRunStep[] | null = null;
  private readonly blockedSteps = new Map<string, BlockedStep>();
  /** By workflow and what it waits for. */
  private readonly pausing = new Map<string, PausingAfter>();
  private readonly pausedBy = new Set<'person' | 'alert'>();
  private readonly announcedAlerts = new Set<string>();
  private readonly ignoredAlerts = new Set<string>();

  constructor(activityQueue?: string) {
    this.queue = controlQueue(activityQueue);
    this.steps = new Steps({
      blocked: (step) => Promise.resolve(this.stepBlocked(step)),
      resolved: (step) => Promise.resolve(this.stepResolved(step)),
      pausing: (work) => Promise.resolve(this.pausingAfter(work)),
    });
    this.gates = new Gates({
      queue: this.queue, steps: this.steps, view: () => this.admittedView,
      note: (text) => this.note(text), announce: (message) => this.notices.push({ event: 'waiting_for_approval', message }), changed: () => this.changed(),
    });
  }

  get view(): RunView {
    if (!this.admittedView) throw new Error('The run is not admitted yet.');
    return this.admittedView;
  }

  get isAdmitted(): boolean {
    return this.admittedView !== null;
  }

  get phase(): Phase | null {
    return this.phaseNow;
  }

  get blocked(): BlockedStep[] {
    return [...this.blockedSteps.values()];
  }

  get progress(): Progress | null {
    return this.progressNow;
  }

  get paused(): boolean {
    return this.pausedBy.has('person');
  }

  get status(): RunStatus {
    if (this.outcome) return this.outcome;
    if (this.blockedSteps.size > 0) return 'blocked';
    if (this.gates.waiting !== null) return 'waiting_for_approval';
    if (this.pausedBy.size > 0) return 'paused';
    return this.phaseNow === 'rollback' ? 'rolling_back' : 'running';
  }

  /** When the cutover at hand is undone by itself. */
  get undoneBy(): string | undefined {
    return this.lifeSteps && this.admittedView?.life ? undoneBy(this.lifeSteps, this.admittedView.life) : undefined;
  }

  /** Changes exactly when the durable status should be written again. */
  get statusVersion(): string {
    return JSON.stringify([this.phaseNow, this.status, this.detail, this.blocked.map((step) => [step.step, step.workflowId, step.occurrence])]);
  }

  get detail(): string | undefined {
    if (this.gates.waiting !== null) return `gate ${this.gates.waiting.gate}`;
    if (this.status === 'paused' && this.pausing.size > 0) return `pausing after ${this.pausingNames.join(', ')}`;
    return this.notRestored.length > 0 ? this.notRestoredText : undefined;
  }

  /** The run is ending, or has ended. */
  get ending(): boolean {
    return this.stopping || this.outcome !== null;
  }

  get skippedSteps(): string[] {
    return this.decided.filter(({ action }) => action === 'skip').map(({ step }) => step);
  }

  /** The skipped steps with who and why. */
  get skipped(): SkippedStep[] {
    return this.decided.filter(({ action }) => action === 'skip').map(({ step, by, reason }) => ({ step, by, reason }));
  }

  /** The first five of what could not be restored, and how many more. */
  get notRestoredText(): string {
    const more = this.notRestored.length > 5 ? `; and ${this.notRestored.length - 5} more` : '';
    return `not restored: ${this.notRestored.slice(0, 5).join('; ')}${more}`;
  }

  get needsPerson(): boolean {
    return this.status === 'blocked' || this.status === 'waiting_for_approval';
  }

  snapshot(): RunProgress {
    const { waiting } = this.gates;
    return {
      migration: this.admittedView?.ref.migration ?? '', phase: this.phaseNow, status: this.status, progress: this.progressNow,
      blocked: this.blocked, waitingFor: waiting === null ? [] : [waiting.gate], waitingRole: waiting?.role, note: this.noteNow,
      pausingAfter: this.pausedBy.size > 0 ? this.pausingNames : [],
      ...(this.dryRun ? { dryRun: this.dryRun } : {}),
      ...(this.lifeSteps ? { steps: this.lifeSteps, undoneBy: this.undoneBy } : {}),
    };
  }

  /** Its steps are shown from here on. */
  beginCutover(): void {
    this.lifeSteps = [];
    this.enter('cutover');
  }

  /** What a dry run has found up to now. */
  showDryRun(steps: DryRunStep[]): void {
    this.dryRun = [...steps];
    this.changed();
  }

  /** One step of the cutover at hand ended, or was taken back. */
  takeLifeStep(step: LifeStep): void {
    this.lifeSteps = [...(this.lifeSteps ?? []).filter(({ id }) => id !== step.id), step].slice(-LIFE_STEPS_SHOWN);
    this.changed();
  }

  admitted(view: RunView): void {
    this.admittedView = view;
    this.changed();
  }

  /** Some work met a newer plan than the one with this hash. */
  planAmended(hash: string): void {
    if (hash !== this.admittedView?.ref.planHash) return;
    this.stopPhases?.();
  }

  /** What waited under the former plan waits no more: it is met again under the new one. */
  phasesStopped(): void {
    this.blockedSteps.clear();
    this.pausing.clear();
    this.gates.stopWaiting();
    this.changed();
  }

  enter(phase: Phase): void {
    this.phaseNow = phase;
    this.changed();
  }

  finish(outcome: RunStatus): void {
    this.outcome = outcome;
    this.blockedSteps.clear();
    this.pausing.clear();
    this.gates.stopWaiting();
    this.changed();
  }

  /** From now on nothing blocks, alarms or can be decided: the run only tidies up. */
  stop(): void {
    this.stopping = true;
    this.blockedSteps.clear();
    this.gates.stopWaiting();
    this.changed();
  }

  note(text: string | null): void {
    this.noteNow = text;
    this.changed();
  }

  stepBlocked(step: BlockedStep): void {
    if (this.ending || this.aborted) return;
    this.blockedSteps.set(step.step, step);
    this.notices.push({ event: 'blocked', message: `${step.step} is blocked (${step.code}): ${step.message}` });
    this.changed();
  }

  stepResolved({ workflowId, step, occurrence }: StepResolved): void {
    for (const known of this.blocked) {
      if (known.workflowId !== workflowId || (step !== undefined && known.step !== step) || (occurrence !== undefined && known.occurrence !== occurrence)) continue;
      this.blockedSteps.delete(known.step);
    }
    // A workflow that is gone waits for nothing any more.
    if (step === undefined) for (const [key, work] of this.pausing) if (work.workflowId === workflowId) this.pausing.delete(key);
    this.changed();
  }

  pausingAfter(work: PausingAfter): void {
    const key = `${work.workflowId} ${work.after}`;
    if (work.active) this.pausing.set(key, work);
    else this.pausing.delete(key);
    this.changed();
  }

  /** Keeps in mind, and tells people, what the target lacks now. */
  couldNotRestore(left: string[]): void {
    if (left.length === 0) return;
    this.notRestored.push(...left);
    this.note(`In the target, ${this.notRestoredText}.`);
    this.notices.push({ event: 'alert', message: `${this.view.ref.migration}: in the target, ${this.notRestoredText}.` });
  }

  /** Carries a person's decision to whoever waits for it. `step` must be blocked. */
  resolve(step: BlockedStep, resolution: StepResolution): void {
    const decision: StepDecision = { ...resolution, step: step.step, occurrence: step.occurrence };
    this.blockedSteps.delete(step.step);
    if (decision.action === 'abort') this.abort(decision);
    else if (step.workflowId === workflowInfo().workflowId) this.steps.decide(decision);
    else this.decisions.push({ workflowId: step.workflowId, decision });
    this.decided.push(decision);
    this.unrecorded.push(decision);
    this.changed();
  }

  pause(by: 'person' | 'alert', request?: PauseRequest): void {
    this.pausedBy.add(by);
    if (by === 'person') this.noteNow = request?.by ? `Paused by ${request.by}${request.reason ? `: ${request.reason}` : ''}.` : null;
    this.steps.setPaused(true);
    this.changed();
  }

  resume(by: 'person' | 'alert'): void {
    this.pausedBy.delete(by);
    if (by === 'person') this.noteNow = null;
    this.steps.setPaused(this.pausedBy.size > 0);
    this.changed();
  }

  takeProgress(progress: Progress): void {
    this.progressNow = progress;
    for (const alert of progress.alerts) this.takeAlert(alert);
    this.changed();
  }

  /** The alert blocks no more in this run. */
  ignoreAlert(alert: AlertState): void {
    this.ignoredAlerts.add(alert.alert);
  }

  /** The run goes to whoever holds the lease now. */
  loseLease(): void {
    this.lost = true;
    this.scope.cancel();
  }

  changed(): void {
    setCurrentDetails(dashboardMarkdown(this.snapshot()));
  }

  private get pausingNames(): string[] {
    return [...new Set([...this.pausing.values()].map((work) => work.after))];
  }

  private abort(decision: StepDecision): void {
    this.aborted = decision;
    this.blockedSteps.clear();
    this.scope.cancel();
  }

  private takeAlert(alert: AlertState): void {
    if (!alert.active) {
      this.announcedAlerts.delete(alert.alert);
      return;
    }
    // A paused or blocked run is slow by intent.
    if (this.phaseNow !== 'production' || this.status !== 'running' || this.ending || this.announcedAlerts.has(alert.alert)) return;
    this.announcedAlerts.add(alert.alert);
    this.notices.push({ event: 'alert', message: alert.message });
    if (alert.blocks && !this.ignoredAlerts.has(alert.alert)) this.blockingAlerts.push(alert);
  }
}

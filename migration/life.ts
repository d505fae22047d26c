/**
 * Shapes of what surrounds the copy: gates, rehearsal, cutover, rollback. They outlive a deploy like those of protocol.ts, which exports them, too.
 * A run whose view has no `life` knows none of it, so histories from before it existed replay unchanged.
 */
import type { GroupView, RunInput, RunRef, ValidationResult, RunView } from './protocol';

/** The moment a gate stands before: the rehearsal, the first row, the switch of the applications, the end of the migration. */
export type GateStage = 'test' | 'production' | 'switch' | 'finish';
/** An approval of the plan. `role`: only a person of this role opens it. `people`: who holds the role, where the plan says so. `signed`: only a signed approval counts. */
export interface GateView { gate: string; stage: GateStage; role?: string; people?: string[]; signed?: boolean }

export interface LifeView {
  gates: GateView[];
  backup?: boolean;
  rehearsal?: RehearsalView;
  cutover?: CutoverView;
  /** Instants in ISO text. */
  window?: { start?: string; abortBy?: string };
  downtimeToleranceMs?: number;
}
export interface RehearsalView { maxAgeMs: number }
/** `applications`: names, in the order they are switched. */
export interface CutoverView { applications: string[]; monitor?: { forMs: number; everyMs: number; onFail: 'block' | 'rollback'; failures?: number }; legacy: 'keep_blocked' | 'hand_back' }

export type Side = 'source' | 'target';
/** `new`: the applications work on the target. */
export type Direction = 'new' | 'legacy';

/**
 * How a step of a cutover is taken back. Committed to the control store before the step runs, carried out in reverse order, each safe to repeat.
 * `none`: the step leaves nothing behind that would have to go.
 */
export type StepUndo =
  | { do: 'none' }
  | { do: 'allow_writes' | 'block_writes'; side: Side }
  | { do: 'switch_application'; application: string; to: Direction };

export type StepState = 'open' | 'done' | 'undone' | 'failed' | 'skipped';
/** One step as the control store has it. `epoch`: what it wrote into the databases it changed; a later one makes it stale. */
export interface LifeStep { id: number; attempt: number; step: string; state: StepState; epoch: number; undo: StepUndo; evidence: StepEvidence | null; openedAt: string; closedAt: string | null }
/** What was seen, in a sentence and numbers. No row values. */
export interface StepEvidence { what: string; [measure: string]: string | number | boolean | null }

export type RollbackTier = 'immediate' | 'partial' | 'full';
/** What becomes of a row that somebody else changed since the migration wrote it. */
export type ConflictPolicy = 'keep_new' | 'restore_old' | 'stop';
/**
 * Start of `rollback`. `migration`: its name. `datasets`: what a partial rollback takes back. `dependents`: take along what leans on them.
 * `confirm`: must be the migration's name; without it the workflow shows its forecast and waits for the update `approve` of the gate `rollback`.
 */
export interface RollbackStart { migration: string; tier: RollbackTier; datasets?: string[]; dependents?: boolean; policy?: ConflictPolicy; by?: string; reason?: string; confirm?: string; activityQueue?: string }
/**
 * What became of one dataset: `nothing`: it was never opened. `judged`: looked at, nothing taken back yet. `removed`, `restored`: rows that went, rows of
 * others that are what they were. `conflicts`: listed in `caravan.rollback_conflict`; `exported`: writes of the new side in `caravan.exported_row`.
 */
export interface UndoneDataset { dataset: string; state: 'nothing' | 'judged' | 'undone'; removed: number; restored: number; conflicts: number; exported: number }
/** What a person sends to a running migration as the update `rollback`. */
export type RollbackRequest = Omit<RollbackStart, 'migration' | 'activityQueue'>;
/** The rollback that took a run over: its workflow, which may still be at work, and who asked for it. */
export interface TakenBack { workflowId: string; tier: RollbackTier; by: string; reason?: string }

/** What a rollback is made of. */
export interface RollbackActivities {
  /** Changes nothing and needs no lease: what a rollback would do, how long it would take, and what would be lost. */
  forecastRollback(start: RollbackStart): Promise<RollbackForecast>;
  /** Takes the lease over, whoever has it, and records what the rollback is; one that was begun before goes on. */
  beginRollback(input: BeginRollbackInput): Promise<RollbackBegun>;
  stopCopying(input: RollbackStepInput): Promise<LifeStep>;
  /** Blocks or opens the tables of these datasets on one side, and proves it by a write. */
  blockForRollback(input: RollbackSideInput): Promise<LifeStep>;
  openForRollback(input: RollbackSideInput): Promise<LifeStep>;
  /** Full: what the new side wrote goes to the old one, dataset by dataset. */
  bringHome(input: RollbackStepInput): Promise<LifeStep>;
  judgeForRollback(input: RollbackDatasetInput): Promise<UndoneDataset>;
  undoDataset(input: RollbackDatasetInput & { policy: ConflictPolicy; keepRows?: boolean }): Promise<UndoneDataset>;
  /** The dataset's table as the last verified backup of the target holds it; what was written since is gone. */
  restoreDataset(input: RollbackDatasetInput): Promise<UndoneDataset>;
  finishRollback(input: StepInput & { undone: UndoneDataset[] }): Promise<LifeStep>;
}

/** The activities of these phases, under the names they are registered by. The parts are declared where the phases are written. */
export interface LifeActivities extends RollbackActivities {
  /** Ends nothing and changes nothing: what the control store knows of the steps of a migration, oldest first. */
  lifeSteps(input: { ref: RunRef }): Promise<LifeStep[]>;
  /** Each opens its step with its undo before it does anything, and closes it with its evidence. A repeat goes on with the same epoch. */
  blockWrites(input: SideInput): Promise<LifeStep>;
  allowWrites(input: SideInput): Promise<LifeStep>;
  proveWriters(input: ProofInput): Promise<LifeStep>;
  switchApplication(input: SwitchInput): Promise<LifeStep>;
  forwardSequences(input: StepInput): Promise<LifeStep>;
  measureBaseline(input: StepInput): Promise<LifeStep>;
  recordStep(input: RecordedStepInput): Promise<LifeStep>;
  /** Takes a step back by the undo that is on record, proves it, and closes it as undone. */
  undoStep(input: UndoInput): Promise<LifeStep>;
  openCutover(input: { ref: RunRef }): Promise<OpenCutover>;
  /** Looks at the new side every `everyMs` for `forMs`, or until `failures` looks in a row failed. Changes nothing. */
  watchProbes(input: ProbeWatchInput): Promise<ProbeWatch>;
  /** Changes nothing: what each step of a cutover would do, and what hinders it. */
  dryRunCutover(input: { ref: RunRef }): Promise<DryRunStep[]>;
}

/** `rows`: that would go. `strangers`: of them, rows that others may have changed or brought; null: not counted in time. */
export interface RollbackDatasetForecast { dataset: string; state: string; rows: number; strangers: number | null }
/** `inUseSince`: the new side accepts writes since then. `loss`: what would be lost or left behind, in sentences. `halfWay`: an earlier rollback goes on. */
export interface RollbackForecast {
  migration: string; tier: RollbackTier; datasets: RollbackDatasetForecast[]; others: string[]; rows: number; strangers: number | null; applications: string[];
  inUseSince: string | null; seconds: number; loss: string[]; policy: ConflictPolicy; nothingToDo: boolean; halfWay: boolean; owner: { workflowId: string; status: string };
}
export interface BeginRollbackInput extends RollbackStart { workflowId: string; firstRunId: string; namespace?: string }
/** `datasets`: in the order they are taken back; `closedOthers`: those that stay migrated. `cutover`: the plan switches applications, so the new side stays blocked afterwards. */
export interface RollbackBegun { view: RunView; attempt: number; tier: RollbackTier; datasets: string[]; closedOthers: string[]; applications: string[]; inUse: boolean; cutover: boolean; policy: ConflictPolicy }
export interface RollbackStepInput extends StepInput { datasets: string[] }
export interface RollbackSideInput extends RollbackStepInput { side: Side; partial: boolean }
export interface RollbackDatasetInput { ref: RunRef; dataset: string; attempt: number; leaving: string[]; exporting?: boolean }
export interface RollbackResult { migration: string; status: 'rolled_back' | 'nothing_to_do'; tier: RollbackTier; datasets: UndoneDataset[]; skipped: string[] }

/** One step of one try at a cutover, or a rollback. */
export interface StepInput { ref: RunRef; attempt: number; step: string }
export interface SideInput extends StepInput { side: Side }
export interface ProofInput extends StepInput { refusing: Side[]; accepting: Side[] }
export interface SwitchInput extends StepInput { application: string; to: Direction }
/** `tookMs`: how long it was carried out before it was put on record; default 0. */
export interface RecordedStepInput extends StepInput { evidence: StepEvidence; tookMs?: number }
export interface UndoInput { ref: RunRef; id: number }
/** `unclaimed`: rows that were written on the new side in a try that was undone. */
export interface OpenCutover { attempt: number; complete: boolean; leftovers: LifeStep[]; unclaimed: number }
/** `baseline`: the evidence of the step that measured it. `seen`: what earlier calls for the same window saw. */
export interface ProbeWatchInput { ref: RunRef; baseline: StepEvidence; forMs: number; everyMs: number; failures: number; seen: ProbeWatch }
/** `inRow`: failed looks up to now without a good one. `failures`: of the last look, in words. Connections of others than Caravan, at the last look. */
export interface ProbeWatch { looks: number; failed: number; inRow: number; slowestMs: number; newConnections: number; legacyConnections: number; failures: string[] }
/** `hinders`: why it could not be done now, in words; null when nothing does. */
export interface DryRunStep { step: string; would: string; hinders: string | null }

/**
 * One try at a cutover. `leftovers`: steps of an earlier try that are taken back first; with `recoverOnly` nothing else is done. `gates`: those before the
 * switch. `move`: groups that move inside the window; absent where they moved before.
 */
export interface CutoverInput extends RunInput { attempt: number; leftovers: LifeStep[]; unclaimed: number; gates: string[]; move?: GroupView[]; recoverOnly?: boolean }
export type CutoverResult =
  | { state: 'done'; leaveOut: string[]; notRestored: string[]; validation: ValidationResult }
  | { state: 'undone'; reason: string };
/** A cutover has come to its gates. */
export interface GatesWanted { workflowId: string; gates: string[] }

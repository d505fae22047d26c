/**
 * Every name and shape that outlives a deploy: running workflows, stored histories, ledgers and scripts depend on them.
 * Change one only with `patched` and a replay test. Payloads hold references and counts: no rows, keys, cursors or secrets.
 */
import type { Counts } from './accounting';
import type { ErrorCode, ErrorKind } from './error-codes';
import type { ConflictPolicy, DryRunStep, LifeActivities, LifeStep, LifeView, Side, TakenBack } from './life';
import type { PreparationActivities } from './preparation/activities';

export * from './error-codes';
export type * from './life';
export type * from './preparation/activities';

export const TASK_QUEUE = 'caravan';
export const COPY_TASK_QUEUE = 'caravan-copy';
/** Queue of the workers that reach the system called `side` (staged mode). */
export const sideTaskQueue = (side: string): string => `caravan-side-${side}`;
/** Queue of the worker inside one `caravan run`. */
export const runTaskQueue = (migration: string): string => `caravan-run-${migration}`;

export const WORKFLOWS = {
  migration: 'migration',
  preparation: 'preparation',
  productionMigration: 'productionMigration',
  datasetMigration: 'datasetMigration',
  validation: 'validation',
  testMigration: 'testMigration',
  cutover: 'cutover',
  rollback: 'rollback',
  retention: 'retention',
} as const;

export const UPDATES = { resolveStep: 'resolveStep', pause: 'pause', resume: 'resume', approve: 'approve', rollback: 'rollback' } as const;
/** `resolveStepSignal` and `resumeSignal` are the signal twins for batch operations over a list filter. */
export const SIGNALS = {
  stepBlocked: 'stepBlocked', stepResolved: 'stepResolved', stepDecision: 'stepDecision', pausingAfter: 'pausingAfter',
  resolveStepSignal: 'resolveStepSignal', pauseSignal: 'pauseSignal', resumeSignal: 'resumeSignal', setPaused: 'setPaused',
  lifeStep: 'lifeStep', gatesWanted: 'gatesWanted', gatesPassed: 'gatesPassed',
} as const;
export const QUERIES = { progress: 'progress' } as const;

export const SEARCH_ATTRIBUTES = {
  migration: 'CaravanMigration', phase: 'CaravanPhase', status: 'CaravanStatus', dataset: 'CaravanDataset',
} as const;

export type Phase = 'preparation' | 'test' | 'production' | 'cutover' | 'validation' | 'rollback';
export type RunStatus = 'running' | 'paused' | 'blocked' | 'waiting_for_approval' | 'complete' | 'failed' | 'cancelled' | 'aborted' | 'rolling_back' | 'rolled_back';

/** Names one admitted run: what every activity needs to find the rest in the control store. */
export interface RunRef {
  migration: string;
  planHash: string;
  /** Name of the connection that holds the control store. */
  control: string;
  /** Number of this run's lease; a later admission makes it stale (`LEASE_LOST`). */
  lease: number;
  /** Attempt of the cutover that came to its end before. Given where datasets were rolled back since: the run moves those again, and leaves the others alone, which are in use on the new side. */
  settled?: number;
}

/** One workflow start: the object a person pastes into the UI. */
export interface MigrationInput {
  /** Name of a plan file in the plans folder, or a whole plan. */
  plan: string | object;
  /** Queue for all activities of this run; set by `caravan run`. */
  activityQueue?: string;
  /** Walk through gates, checks and the cutover without a change: the result says what each step would do, and what hinders it. */
  dryRun?: boolean;
}

export interface DatasetView {
  name: string;
  after: string[];
  group: string | null;
  mode: 'fused' | 'staged';
  sourceSide: string;
  targetSide: string;
}

/** What one `datasetMigration` moves: one dataset, or with `bundle` several tiny ones (`name` then stands for all of them). */
export interface WorkUnit extends DatasetView { bundle?: string[] }
/** A page of a group's units, or of all groups', in the order they should start. */
export interface WorkPage { units: WorkUnit[]; last: boolean }
/** `leaveOut`: datasets that the page does not name; refused as PLAN_INVALID where the plan does not know one. */
export interface WorkPageInput { ref: RunRef; group?: string; page: number; leaveOut?: string[] }

export interface GroupView {
  name: string;
  /** Empty where the view is paged. */
  datasets: string[];
  /** How many datasets it has, where the view is paged. */
  size?: number;
  /** The group opens only after `approve` with this gate name. */
  gate: string | null;
}

/** Orchestration view of the admitted plan: names, order and settings only. Datasets come in the order they should run. */
export interface RunView {
  ref: RunRef;
  approach: 'big_bang' | 'phased';
  datasets: DatasetView[];
  /** The plan has too many datasets for one payload: `datasets` is empty, and `planWork` hands them out page by page, tiny ones bundled. */
  paged?: boolean;
  /** Where the view is paged: the first dataset of each mode and target, which tells the queue of work on all of a target. */
  routes?: DatasetView[];
  groups: GroupView[];
  /** Gates to approve before production starts. */
  gates: string[];
  settings: RunSettings;
  /** True when an earlier run already finished everything: nothing to do. */
  complete: boolean;
  /** True when the namespace knows `SEARCH_ATTRIBUTES`: setting an unknown one would stop the workflow. */
  searchAttributes: boolean;
  /** Gates that a person approved in an earlier run of this migration. */
  approved?: string[];
  /** Where this run tells people, so that they hear even when the control store is away. */
  notify?: NotifyTargets;
  /** Datasets that an amendment took out of the plan: their rows stay, and their tables get back what the copy took away. */
  removed?: DatasetView[];
  /** What the plan asks for around the copy; absent where it asks for nothing of the kind. */
  life?: LifeView;
}

/** Ways to reach people. `command` is a shell command of the plan; `project` is what messages call the migration. */
export interface NotifyTargets { webhook?: string; command?: string; project?: string }
/** A step that a person skipped, with who and why. */
export interface SkippedStep { step: string; by?: string; reason?: string }

export interface RunSettings {
  parallelWorkers: number;
  /** Datasets copied at the same time. */
  parallelDatasets: number;
  onAbort: 'keep' | 'undo';
  /** Milliseconds of the first slice; later ones grow up to `sliceMaxMs`. */
  sliceMs: number;
  sliceMaxMs: number;
  /** Slices in a row without a committed row before the dataset blocks. */
  idleSlicesMax: number;
  /** Compare every row of both sides. */
  validate: boolean;
  repair: boolean;
  /** Milliseconds between reminders while a person is needed. Default: 30 minutes. */
  remindEveryMs?: number;
  /** Events of one run of `datasetMigration` before it continues as new. Default: what the server suggests. */
  historyEventsMax?: number;
}

/** `purpose`: what the lease is for; closing a `validate` lease never completes the migration. Default: `migrate`. */
export interface AdmitInput extends MigrationInput { workflowId: string; firstRunId: string; purpose?: 'migrate' | 'validate' }
/** `root`: id of the workflow that hears of blocked steps. */
/** `leaveOut`: datasets that validation leaves out, because a person skipped them. */
export interface RunInput { ref: RunRef; view: RunView; root: string; activityQueue?: string; leaveOut?: string[]; proven?: ValidationCarry }
/** State that `validation` carries from one page of units to the next; alone, `run` is what it was admitted with. */
export interface ValidationCarry { page: number; tally: ProofTally; skipped: string[]; paused: boolean }
/**
 * Proof of many datasets: how many passed everything with how many rows compared, and the results of the others in full. `more` results of others
 * were beyond what is kept here; the control store has all.
 */
export interface ProofTally { passed: number; compared: number; checks: CheckOutcome[]; comparisons: CompareResult[]; more: number }
/** One group of `productionMigration`; without `datasets` all of the view move. */
export interface ProductionInput extends RunInput { group?: string; datasets?: string[]; carried?: ProductionCarry }
/** State that `productionMigration` carries from one page of units to the next. */
export interface ProductionCarry { page: number; skipped: DatasetView[]; paused: boolean }
/** Where the view is paged, `datasets` is empty and `left` are the skipped ones. */
export interface ProductionResult { datasets: DatasetOutcome[]; movedToQuarantine: number; foreignKeysBuilt: number; skipped: string[]; notRestored?: string[]; left?: DatasetView[] }
/** What became of one dataset, or of a bundle of which `skipped` were left out; `skipped` as state: a person decided so. */
export interface DatasetOutcome { dataset: string; state: 'done' | 'skipped'; closed?: ClosedDataset; skipped?: string[] }
/** Start of `validation` on its own: the name of a plan (default: the migration's name), or a whole plan. `repair` overrides the plan. */
export interface ValidationStart { migration?: string; plan?: string | object; repair?: boolean; activityQueue?: string; leaveOut?: string[] }
/** `checksMs`: time of the plan's checks, which follow the comparisons. Runs of before it was measured have none. */
export interface ValidationResult { checks: CheckOutcome[]; comparisons: CompareResult[]; skipped: string[]; checksMs?: number }
export interface PreparationResult { inventory: InventorySummary | null; created: string[]; checks: CheckOutcome[]; skipped: string[] }
export interface DatasetRef { ref: RunRef; dataset: string }
/** With `bundle` these tiny datasets move, and `dataset` stands for them. */
export interface DatasetInput extends DatasetRef { view: DatasetView; settings: RunSettings; root: string; activityQueue?: string; searchAttributes?: boolean; carried?: DatasetCarry; bundle?: string[] }
/** State that `datasetMigration` carries over a continue-as-new. */
export interface DatasetCarry { generation: number; splitCount: number; nextOrdinal: number; unfinished: number[]; paused: boolean; overrides?: StepOverrides; fenced?: number }

/** Answer of `openDataset`: the ledger knows generation and splits; `done` when the dataset was finished before. */
export interface OpenedDataset { generation: number; splitCount: number; keyed: boolean; done: boolean; unfinished: number[] }

export interface SliceInput extends DatasetRef { generation: number; ordinal: number; sliceMs: number; overrides?: StepOverrides }
/** Tiny datasets, one after the other, for about `sliceMs`. */
export interface BundleInput { ref: RunRef; datasets: string[]; sliceMs: number }
/** `left`: those that need a workflow of their own, because something stands in their way. What neither list names is still to be done. */
export interface BundleResult { done: string[]; left: string[] }
export interface BundleProofInput extends BundleInput { everyRow: boolean; repair: boolean }
export interface BundleProof extends BundleResult { tally: ProofTally }
export interface SliceResult { state: 'more' | 'done'; counts: Counts; commits: number }

/** Reference to a segment in the staging store (staged mode). */
export interface SegmentRef { dataset: string; generation: number; ordinal: number; commitNo: number; stage: 'read' | 'transformed' | 'validated'; file: string; sha256: string; rows: number; last: boolean }
export interface SegmentInput extends DatasetRef { generation: number; ordinal: number; overrides?: StepOverrides }
export interface StagedInput extends DatasetRef { segment: SegmentRef }

export interface ClosedDataset { counts: Counts; movedToQuarantine: number; indexesBuilt: number }
export interface RestoredObjects { restored: number; left: string[] }
/** `notCarried`: objects of `schema_objects` that could not be made after the load, in words. */
export interface SettledReferences { movedToQuarantine: number; foreignKeysBuilt: number; notCarried?: string[] }

/** `code` is set where the problem is known under a code of its own, such as a system that cannot be reached. */
export interface Problem { severity: 'error' | 'warning'; place: string; message: string; remedy?: string; code?: ErrorCode }
export interface InventorySummary { tables: number; rows: number; bytes: number; problems: Problem[] }
export interface CheckOutcome { name: string; kind: 'count' | 'integrity' | 'business_rule' | 'sample' | 'rows' | 'objects' | 'performance'; side?: 'source' | 'target'; verdict: Verdict; detail: string; dataset?: string }
/** `explained`: the sides differ, and open quarantine explains all of it. */
export type Verdict = 'passed' | 'explained' | 'warned' | 'failed';
export interface ChecksResult { outcomes: CheckOutcome[]; failed: number }
export interface CompareResult { dataset: string; compared: number; missing: number; extra: number; different: number; unreadable: number; explained: number; repaired: number; verdict: Verdict; detail: string }

/** `repair`: repair the differences that a blocked comparison found. `changedRows`: what becomes of rows that others changed, in a blocked rollback. `fromBackup`: there, the verified backup instead of a journal that is of no use. */
export interface StepOverrides { batchSize?: number; checkpointInterval?: number; parallelWorkers?: number; repair?: boolean; changedRows?: ConflictPolicy; fromBackup?: boolean }
/** What a person decides about a blocked step. Without `step`, the only blocked step is meant. */
export interface StepResolution { action: 'retry' | 'skip' | 'abort'; step?: string; by?: string; reason?: string; overrides?: StepOverrides }
/** `named`: a skip needs a name and a reason. */
export interface BlockedStep { step: string; occurrence: number; workflowId: string; code: ErrorCode; kind: ErrorKind; message: string; remedies: string[]; dataset?: string; since: string; skippable: boolean; named?: boolean }
export interface StepDecision extends StepResolution { step: string; occurrence: number }
/** A child tells its root that its block is gone; without `step`, all blocks of that workflow are. */
export interface StepResolved { workflowId: string; step?: string; occurrence?: number }
/** A child tells its root that a pause takes hold only when this work (`after`: its dataset or step) has ended, or, without `active`, that it has. */
export interface PausingAfter { workflowId: string; after: string; active: boolean }
/** Why a run is paused or resumed, for the record. */
export interface PauseRequest { by?: string; reason?: string }
/** Empty when it counts. */
export interface ApprovalAnswer { refused?: string }
/** `evidence`: a link or words that back it. `signature`: Ed25519 over `approvalText`, base64; without it the identity is as claimed. */
export interface Approval { gate: string; by: string; role?: string; reason?: string; evidence?: string; signature?: string }

export interface DatasetProgress { dataset: string; state: 'waiting' | 'copying' | 'finishing' | 'done'; total: number; counts: Counts }
/**
 * One look at the ledger. `version` changes whenever anything a person would notice changes. Of very many datasets, a look that goes through Temporal
 * names only those that move and the next ones; `states` counts all.
 */
export interface Progress { datasets: DatasetProgress[]; states?: Record<DatasetProgress['state'], number>; total: number; counts: Counts; openQuarantine: number; rowsPerSecond: number; alerts: AlertState[]; version: string }
export interface AlertState { alert: 'error_rate' | 'min_speed'; active: boolean; blocks: boolean; message: string }
/** `minWaitMs`: an ordinary change is answered no sooner than this; a change of state or an alert is answered at once. Default: at once. */
export interface WatchInput { ref: RunRef; seen: string | null; maxWaitMs: number; minWaitMs?: number }

export interface StatusInput { ref: RunRef; phase: Phase; status: RunStatus; blocked: BlockedStep[]; detail?: string }
export interface NotifyInput { ref: RunRef; event: 'blocked' | 'reminder' | 'alert' | 'complete' | 'aborted' | 'waiting_for_approval'; blocked: BlockedStep[]; message: string; to?: NotifyTargets; workflowId?: string }

export interface MigrationResult {
  migration: string; status: 'complete' | 'aborted' | 'nothing_to_do' | 'dry_run' | 'rolled_back';
  counts: Counts; openQuarantine: number; checks: CheckOutcome[]; comparisons: CompareResult[];
  /** Steps that a person skipped. */
  skipped?: string[];
  /** Every decision of a person about a blocked step, in order. */
  decisions?: StepDecision[];
  /** What the target still lacks (indexes, foreign keys, triggers) and could not be given back, in words. */
  notRestored?: string[];
  /** Of a dry run: what each step would do. */
  dryRun?: DryRunStep[];
  /** Who aborted the run, where and why. */
  aborted?: { step?: string; by?: string; reason?: string };
  /** Of `rolled_back`: who asked for it, and the workflow that took this run over. */
  rollback?: TakenBack;
}

/** Answer of the `progress` query: what the dashboard shows. */
export interface RunProgress {
  migration: string; phase: Phase | null; status: RunStatus; progress: Progress | null;
  blocked: BlockedStep[]; waitingFor: string[]; note: string | null;
  /** Role that gives the approval waited for, where the plan names one. */
  waitingRole?: string;
  /** While paused: work that runs to its end first. */
  pausingAfter?: string[];
  /** Steps of the cutover at hand, in the order they were taken. */
  steps?: LifeStep[];
  /** What a dry run has found up to now. */
  dryRun?: DryRunStep[];
  /** When the cutover at hand is undone by itself; absent where nothing limits it, or it is through. */
  undoneBy?: string;
}

/** `undoUntil`: ISO instant from which the undo data of the run may go; null when it has none. Runs of before retention was kept answered nothing. */
export interface ClosedRun { undoUntil: string | null }
/** `until`: as in `ClosedRun`. `forgotten`: rows of undo data that went now. */
export interface UndoExpiry { until: string | null; forgotten: number }
export interface RetentionInput { migration: string }
export interface RetentionResult { migration: string; forgotten: number }
/** Rows of undo data that a target holds, or that went: before-images, rows that a rollback left as conflicts, writes of the new side that it listed. */
export interface UndoData { dataset: string; images: number; conflicts: number; exports: number; purgedAt: string | null }

/** `until`: as in `ClosedRun`. */
export interface KeptUndo { datasets: UndoData[]; until: string | null }
/** Whose data is to be forgotten: a key, part by part as the database writes it, or entries of the quarantine by number. Never sent through Temporal. `targetKey`: where it differs. */
export interface SubjectRequest { migration: string; dataset: string; key: string[]; targetKey?: string[]; rows: string[]; by: string; reason?: string }
/** What went, by kind. `boundaries`: splits that the key still delimits. `backups`: those that may hold the row. */
export interface ForgottenSubject {
  images: number; keys: number; conflicts: number; exports: number; differences: number; quarantined: number; boundaries: number;
  backups: { side: Side; connection: string; takenAt: string; place: string; host: string }[];
}

/**
 * The activities, by the names they are registered under. Each is one file in `activities/`.
 * All but admit, readmit, planWork, isServed, recordStatus, recordApproval, recordDecision, closeRun and notify heartbeat by timer at least every 10 s (their heartbeat timeout is 30 s).
 */
export interface ControlActivities extends LifeActivities, PreparationActivities {
  admit(input: AdmitInput): Promise<RunView>;
  /** The view of the plan as it was amended, under the lease that the run holds. */
  readmit(input: { ref: RunRef }): Promise<RunView>;
  /** One page of the work of a plan whose view is paged. The same page again is the same until the next `takeInventory`. */
  planWork(input: WorkPageInput): Promise<WorkPage>;
  /** Whether any worker asked this queue for work lately. */
  isServed(input: { queue: string }): Promise<boolean>;
  recordStatus(input: StatusInput): Promise<void>;
  /** `refused`: it does not count, and why. Runs of before roles existed answer nothing. */
  recordApproval(input: { ref: RunRef; approval: Approval }): Promise<ApprovalAnswer | undefined>;
  /** Ends the lease. `outcome` is durable when it returns. `skipped`: steps a person skipped, so `complete` does not mean that everything was done. */
  closeRun(input: { ref: RunRef; outcome: RunStatus; skipped?: (string | SkippedStep)[] }): Promise<ClosedRun | undefined>;
  /** Removes undo data whose retention is over; answers when that will be otherwise. A repeat finds nothing. */
  forgetExpiredUndo(input: { migration: string }): Promise<UndoExpiry>;
  /** Puts a person's decision about a blocked step into the audit. A repeat adds nothing. */
  recordDecision(input: { ref: RunRef; decision: StepDecision }): Promise<void>;
  notify(input: NotifyInput): Promise<void>;
  watchProgress(input: WatchInput): Promise<Progress>;
  takeInventory(ref: RunRef): Promise<InventorySummary>;
  analyzeSchema(ref: RunRef): Promise<InventorySummary>;
  createSchema(ref: RunRef): Promise<{ created: string[] }>;
  runChecks(input: { ref: RunRef; when: 'before' | 'after' }): Promise<ChecksResult>;
}
export interface CopyActivities {
  openDataset(input: DatasetRef): Promise<OpenedDataset>;
  copySplit(input: SliceInput): Promise<SliceResult>;
  copyGeneration(input: SliceInput): Promise<SliceResult>;
  readBatch(input: SegmentInput): Promise<SegmentRef | null>;
  transformBatch(input: StagedInput): Promise<SegmentRef>;
  validateBatch(input: StagedInput): Promise<SegmentRef>;
  writeBatch(input: StagedInput): Promise<SliceResult>;
  closeDataset(input: DatasetRef): Promise<ClosedDataset>;
  /** Opens, copies and closes tiny datasets, one after the other. A repeat passes over those that are closed. */
  moveBundle(input: BundleInput): Promise<BundleResult>;
  /** Counts, sample and rows of tiny datasets. What does not pass is left to its own steps. */
  compareBundle(input: BundleProofInput): Promise<BundleProof>;
  /** Without `datasets`: all of `group` that are closed. */
  settleReferences(input: { ref: RunRef; datasets?: string[]; group?: string }): Promise<SettledReferences>;
  /** Gives back what the copy took away and `settleReferences` did not yet build: indexes, foreign keys, triggers. `left` names what could not be; a repeat restores nothing twice. Without `datasets`: of all that the ledger knows. */
  restoreObjects(input: { ref: RunRef; datasets?: string[] }): Promise<RestoredObjects>;
  compareCounts(input: DatasetRef): Promise<CheckOutcome>;
  compareSample(input: DatasetRef): Promise<CheckOutcome>;
  compareRows(input: DatasetRef & { repair: boolean }): Promise<CompareResult>;
}

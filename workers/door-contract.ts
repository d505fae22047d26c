/** What the one door between the command (`scripts/`) and the systems offers. Implemented in `door.ts`. */
import type { Client } from '@temporalio/client';
import type { AuditTrail } from '../migration/audit-trail';
import type { Column } from '../migration/value';
import type { PlanAmendment } from '../migration/plan/amendment';
import type { Plan, SchemaObjectsPlan } from '../migration/plan/schema';
import type { PreparationRecords } from '../migration/preparation/records';
import type { Reason } from '../migration/batch';
import type { Approval, CheckOutcome, LifeStep, CompareResult, ForgottenSubject, KeptUndo, Problem, Progress, RollbackForecast, RollbackResult, RollbackStart, BlockedStep, Phase, RunStatus, SkippedStep, StepResolution, SubjectRequest, UndoData } from '../migration/protocol';

export type { PlanAmendment } from '../migration/plan/amendment';

export interface DoorOptions {
  /** YAML file of connections. Default: CARAVAN_CONNECTIONS, then `caravan.connections.yaml` in the working directory. */
  connectionsFile?: string;
  /** Folder that plan names are looked up in. Default: CARAVAN_PLANS, then `plans`. */
  plansFolder?: string;
  /** Module of user transforms. Default: CARAVAN_TRANSFORMS, then `caravan.transforms.ts` in the working directory when it exists. */
  transformsFile?: string;
  /** Where the Temporal is that the caller started or found. Default: the standard TEMPORAL_* variables and profile. */
  temporal?: { address: string; namespace?: string; uiUrl?: string };
  /** Folder of the staging store. Default: CARAVAN_STAGING, then `.caravan/staging`. */
  stagingFolder?: string;
  /** Variables to read instead of this process's own. */
  env?: Record<string, string | undefined>;
  /** Least severe lines that are written to stderr. Default `warn`. */
  logLevel?: 'silent' | 'error' | 'warn' | 'info' | 'debug';
}

/** A connection without its secrets. */
export interface ConnectionListing { name: string; scheme: string; address: string; connector: string; from: string }

/** A plan that parsed. `input` is what to send as `MigrationInput.plan` when the plan is sent whole. */
export interface LoadedPlan { path: string | null; input: object; plan: Plan; hash: string; problems: Problem[] }

/** One table as the connection holds it. Counts and sizes are the server's estimates. */
export interface InventoryTable {
  schema: string;
  table: string;
  kind: 'table' | 'partitioned' | 'view' | 'materialized_view' | 'foreign';
  columns: Column[];
  primaryKey: string[] | null;
  /** A key that splits can use (the primary key or another unique index); null when there is none. */
  key: string[] | null;
  foreignKeys: { columns: string[]; schema: string; table: string; referencedColumns: string[] }[];
  rowsEstimate: number;
  bytes: number;
  /** Why its rows cannot be moved at all; null when they can. */
  obstacle: string | null;
}
export interface ConnectionInventory {
  connection: string;
  tables: InventoryTable[];
  problems: Problem[];
  /** What a plan that moves all tables could carry beside them, by the keys of `schema_objects`, and what nothing carries. */
  objects: { carried: Partial<Record<keyof SchemaObjectsPlan, number>>; left: { what: string; name: string; reason: string }[] };
}

export interface PlanCheck {
  plan: Plan;
  /** Errors and warnings of lint and, with `connect`, of the live systems. No error: the plan can run. */
  problems: Problem[];
  /** With `grants`: least-privilege SQL per connection. */
  grants: { connection: string; sql: string }[];
}

/** Rows before and after, as text; for the terminal of the person who asked, never for logs or Temporal. */
export interface Preview {
  dataset: string;
  sourceColumns: string[];
  targetColumns: string[];
  /** Columns with personal data, on either side. */
  pii: string[];
  /** `after` is null for a row that goes to quarantine: `reasons` says why. */
  rows: { before: (string | null)[]; after: (string | null)[] | null; reasons: Reason[] }[];
}

/** One migration as its control store knows it: works without Temporal and without a worker. Instants are ISO text. */
export interface MigrationStatus {
  migration: string;
  control: string;
  workflowId: string;
  firstRunId: string;
  namespace: string;
  uiLink: string | null;
  lease: number;
  planHash: string;
  phase: Phase;
  status: RunStatus;
  detail: string | null;
  blocked: BlockedStep[];
  startedAt: string;
  updatedAt: string;
  finishedAt: string | null;
  /** Seconds since the run was last heard of. */
  seenSeconds: number;
  /** Null when the ledger cannot be reached. */
  progress: Progress | null;
  /** Where its datasets are in use since a cutover that stands; null before one, and after it was taken back as a whole. */
  sides?: { old: string[]; new: string[] } | null;
}
export interface StatusAnswer { migrations: MigrationStatus[]; unreachable: { connection: string; message: string }[] }

/** All that the report shows. */
export interface ReportData {
  preparation: PreparationRecords;
  status: MigrationStatus;
  plan: Plan;
  /** `identity`: as the person claimed it, or proved by a signature. */
  approvals: (Omit<Approval, 'signature'> & { identity: 'claimed' | 'signed'; at: string })[];
  /** Every decision of a person about a blocked step, in order. */
  decisions: { at: string; step: string; action: StepResolution['action']; by: string | null; reason: string | null }[];
  /** Steps that the run which closed last left out, at a person's word. */
  skipped: SkippedStep[];
  checks: { stage: string; at: string; outcome: CheckOutcome | CompareResult }[];
  /** Open, replayed, waived and gone rows by dataset and first reason. */
  quarantine: { dataset: string; rule: string; column: string | null; state: string; rows: number }[];
  audit: { at: string; actor: string; event: string; body: Record<string, unknown> }[];
  /** Every audit event with the hashes that chain it. */
  trail: AuditTrail;
  /** Steps of cutovers and rollbacks, oldest first, with what was seen and how each is taken back. */
  steps: LifeStep[];
  /** What came with the tables, what still waits for the rows of its datasets, and what did not come, with the reason. */
  objects: { source: string; kind: string; name: string; state: 'made' | 'waiting' | 'left'; datasets: string[]; reason: string | null }[];
  /** Undo data by dataset: what a rollback would need, and what one left or listed. */
  undo: UndoData[];
  /** Rows per dataset and how long its copy took (first to last commit). */
  datasets: { dataset: string; generation: number; commits: number; splits: number; firstCommitAt: string | null; lastCommitAt: string | null }[];
}

/** Which quarantined rows are meant; all given conditions hold. */
export interface QuarantineSelection { migration: string; dataset?: string; rule?: string; ids?: string[]; state?: 'open' | 'replayed' | 'waived' | 'gone'; limit?: number }
/** Content is masked. */
export interface QuarantinedRow { id: string; dataset: string; reasons: Reason[]; state: string; key: string[] | null; columns: string[]; content: (string | null)[]; createdAt: string; decidedBy: string | null; decidedReason: string | null }
/** One row that differs. `kind`: seen from the target. `key`: masked. `columns`: where it differs. */
export interface DifferentRow { id: string; dataset: string; kind: 'missing' | 'extra' | 'different' | 'unreadable'; key: string[] | null; columns: string[] }
export interface ReplayAnswer { replayed: number; stillRefused: number; gone: number }

export interface TemporalDoor { client: Client; address: string; namespace: string; uiUrl: string | null; workflowLink(workflowId: string): string | null }

export interface WorkerRequest {
  /** `all`: workflows and every activity on `caravan` and `caravan-copy`. `run`: activities also on the queue of one migration (`runTaskQueue`). */
  migration?: string;
  /** Sides this worker reaches: it serves `caravan-side-<name>` for each. Default: every connection it has. */
  sides?: string[];
  /** Activities at the same time on each copy queue. Default 16. */
  copySlots?: number;
}
/** A worker that polls. `failed` rejects when it ends by itself. */
export interface RunningWorker { queues: string[]; failed: Promise<never>; stop(): Promise<void> }

export interface Door {
  connections(): Promise<ConnectionListing[]>;
  /** @throws MigrationError `CONNECTION_UNKNOWN`, `SYSTEM_UNREACHABLE`, `CONNECTION_REFUSED`. */
  inventory(connection: string): Promise<ConnectionInventory>;
  /** `plan`: a path, a name in the plans folder, or a whole plan. @throws MigrationError `PLAN_NOT_FOUND`, `PLAN_INVALID` with every problem in the message. */
  loadPlan(plan: string | object): Promise<LoadedPlan>;
  checkPlan(plan: string | object, options: { connect: boolean; grants: boolean }): Promise<PlanCheck>;
  /** Compares a plan with the one its migration was admitted with; changes nothing. `again`: datasets to copy again all the same. Null when no control store knows the migration. */
  proposeAmendment(plan: Plan, again?: readonly string[]): Promise<PlanAmendment | null>;
  /** @throws MigrationError `PLAN_CHANGED` when it cannot be amended so, or has another plan than `formerHash` by now. */
  amend(plan: Plan, request: { by: string; reason?: string; again?: readonly string[]; formerHash: string }): Promise<PlanAmendment>;
  preview(plan: string | object, options: { dataset?: string; rows: number }): Promise<Preview[]>;
  /** Looks into the control store of every connection, or for one migration; latest change first. */
  status(migration?: string): Promise<StatusAnswer>;
  /** @throws MigrationError `PLAN_NOT_FOUND` when no control store knows the migration. */
  report(migration: string): Promise<ReportData>;
  /** Rows in which the last comparisons found the sides to differ; keys are masked. */
  differences(selection: { migration: string; dataset?: string; limit: number }): Promise<DifferentRow[]>;
  quarantineList(selection: QuarantineSelection): Promise<QuarantinedRow[]>;
  quarantineReplay(selection: QuarantineSelection, by: string): Promise<ReplayAnswer>;
  /** Answers how many rows were waived. */
  quarantineWaive(selection: QuarantineSelection, by: string, reason: string): Promise<number>;
  /** What a rollback would do; changes nothing and needs no Temporal. @throws MigrationError `ROLLBACK_REFUSED`, `PLAN_NOT_FOUND`. */
  rollbackForecast(start: RollbackStart): Promise<RollbackForecast>;
  /** Rolls back in this process, without Temporal. The same call again goes on where it ended. `onStep`: told as each step begins. */
  rollbackOffline(start: RollbackStart, onStep: (step: string) => void): Promise<RollbackResult>;
  /** @throws MigrationError `PLAN_NOT_FOUND`. */
  keptUndo(migration: string): Promise<KeptUndo>;
  /** Removes undo data before its retention is over. @throws MigrationError `UNDO_NEEDED`, `PLAN_INVALID`. */
  forgetUndo(request: { migration: string; datasets?: readonly string[]; by: string; reason?: string }): Promise<UndoData[]>;
  /** Removes what is kept of one row. @throws MigrationError `PLAN_INVALID`. */
  forgetSubject(request: SubjectRequest): Promise<ForgottenSubject>;
  /** Connects at the first call, retrying for up to `waitMs` (default 15 s). @throws MigrationError `SYSTEM_UNREACHABLE`. */
  temporal(options?: { waitMs?: number }): Promise<TemporalDoor>;
  startWorker(request?: WorkerRequest): Promise<RunningWorker>;
  /** Stops what this door started, workers included. Repeats change nothing. */
  close(): Promise<void>;
}

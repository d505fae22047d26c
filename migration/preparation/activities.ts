/** What preparation and rehearsal ask of the activities. These shapes outlive a deploy like those of protocol.ts, which exports them, too. */
import type { Problem, RunRef, RunView } from '../protocol';

/** What the preparation found, in short; the control store has all of it. Milliseconds: forecast of the whole move with its margin. */
export interface AssessedPreparation { datasets: number; personalData: number; forecastMs: number; lowMs: number; highMs: number; problems: Problem[] }

/** `left`: datasets that no backup holds, with the reason. */
export interface BackupOutcome { backups: number; rows: number; bytes: number; left: string[] }

/** A rehearsal under way: a migration of its own in the stores, with the sample in its plan. */
export interface OpenedRehearsal { id: number; ref: RunRef; view: RunView; rows: number }
/** `why`: why the last rehearsal does not open production, in words. */
export interface RehearsalState { open: boolean; why: string | null }
/** `skipped`: steps of it that a person skipped. */
export interface CloseRehearsalInput extends RehearsalInput { skipped: string[]; rollback?: RehearsedRollback }
/** `rehearsal`: as `openRehearsal` answered it. */
export interface RehearsalInput { ref: RunRef; id: number; rehearsal: RunRef }
/** `different`: datasets whose rows are not those from before, and objects that did not come back. */
export interface RehearsedRollback { rows: number; milliseconds: number; equal: boolean; different: string[] }
export interface RehearsalResult { passed: boolean; rows: number; failures: string[] }

export interface PreparationActivities {
  /** Takes stock of all that a person should know before rows move; changes nothing. */
  assessPreparation(input: { ref: RunRef }): Promise<AssessedPreparation>;
  /** Backs up what the plan names and proves it by restoring it. A repeat goes on. */
  backUp(input: { ref: RunRef }): Promise<BackupOutcome>;
  /** Whether the last rehearsal or waiver opens production. */
  rehearsalState(input: { ref: RunRef }): Promise<RehearsalState>;
  waiveRehearsal(input: { ref: RunRef; by: string; reason: string }): Promise<void>;
  /** Draws the sample and makes the scratch schema. A repeat begins again. */
  openRehearsal(input: { ref: RunRef }): Promise<OpenedRehearsal>;
  /** Takes the sample back and compares every row with what was there before. A repeat goes on. */
  rehearseRollback(input: RehearsalInput): Promise<RehearsedRollback>;
  /** Measures. Before the rollback, for it takes the rows away. A repeat measures again. */
  measureRehearsal(input: RehearsalInput): Promise<void>;
  /** Judges and records. A repeat answers what is on record. */
  closeRehearsal(input: CloseRehearsalInput): Promise<RehearsalResult>;
}

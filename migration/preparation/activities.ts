/** What preparation and rehearsal ask of the activities. These shapes outlive a deploy like those of protocol.ts, which exports them, too. */
import type { Problem, RunRef } from '../protocol';

/** What the preparation found, in short; the control store has all of it. Milliseconds: forecast of the whole move with its margin. */
export interface AssessedPreparation { datasets: number; personalData: number; forecastMs: number; lowMs: number; highMs: number; problems: Problem[] }

/** `left`: datasets that no backup holds, with the reason. */
export interface BackupOutcome { backups: number; rows: number; bytes: number; left: string[] }

export interface PreparationActivities {
  /** Takes stock of all that a person should know before rows move; changes nothing. */
  assessPreparation(input: { ref: RunRef }): Promise<AssessedPreparation>;
  /** Backs up what the plan names and proves it by restoring it. A repeat goes on. */
  backUp(input: { ref: RunRef }): Promise<BackupOutcome>;
}

import type { StoredBackup } from './backup';
import type { Findings } from './findings';
import type { StoredRehearsal } from './rehearsal';

/** What preparation and rehearsal left on record; newest first. `at`: when the preparation looked, as ISO text. */
export interface PreparationRecords { findings: Partial<Findings>; at: string | null; backups: StoredBackup[]; rehearsals: StoredRehearsal[] }

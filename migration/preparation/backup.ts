/** What is known of a backup: names, counts and digests. No row values. */
import type { Side } from '../protocol';

/** One table in a backup. `digest`: of its rows at the snapshot, free of their order; `sha256`: of the file. */
export interface BackupTable { dataset: string; schema: string; table: string; file: string; rows: number; bytes: number; sha256: string; digest: string; columns: { name: string; type: string }[] }
/** `tool`: the command of the team; else built in, as COPY text. `host`: the machine that holds the folder. */
export interface BackupEvidence {
  by: 'built in' | 'tool';
  tool?: string;
  folder?: string;
  host: string;
  rows: number;
  bytes: number;
  tables: BackupTable[];
  /** Datasets that it does not hold, with the reason. */
  left: { dataset: string; why: string }[];
  takenMs: number;
  verifiedMs?: number;
  problem?: string;
}
export interface StoredBackup { id: number; lease: number; side: Side; connection: string; state: 'taken' | 'verified' | 'failed' | 'removed'; evidence: BackupEvidence; takenAt: string; verifiedAt: string | null }

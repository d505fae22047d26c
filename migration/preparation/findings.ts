/**
 * What the preparation found, as the control store keeps it and the report shows it: names, sizes, counts and words. No row values.
 * Stored by part; a later preparation replaces each part as a whole.
 */
import type { Problem } from '../protocol';

export interface Findings {
  datasets: DatasetFinding[];
  personal_data: PersonalDataFinding[];
  systems: SystemFinding[];
  indexes: IndexDecision[];
  resources: ResourceProposal;
  forecast: Forecast;
  /** Of all parts: what a person should look at, worst first. */
  problems: Problem[];
}
export type FindingPart = keyof Findings;

/** One dataset: what it holds, and what its way to the target takes. */
export interface DatasetFinding {
  dataset: string;
  priority: 'high' | 'normal' | 'low';
  from: string;
  to: string;
  rows: number;
  bytes: number;
  /** Columns it is read by; null: in one piece. */
  key: string[] | null;
  columns: number;
  /** Target columns that are not simply the source column of the same name, and what fills them. */
  changed: { column: string; from: string[]; how: 'renamed' | 'transformed' | 'converted' | 'constant' }[];
  /** Target columns that nothing fills: what stands in them. */
  added: { column: string; filled: 'default' | 'null' | 'computed' }[];
  /** Source columns that go nowhere. */
  left: string[];
}

export type PersonalDataClass =
  | 'email' | 'phone' | 'name' | 'address' | 'birth_date' | 'national_id' | 'bank_account' | 'payment_card' | 'ip_address' | 'credential' | 'health' | 'location';
/** A column that looks like personal data, or is declared as such. */
export interface PersonalDataFinding {
  dataset: string;
  column: string;
  side: 'source' | 'target';
  classes: PersonalDataClass[];
  /** `content`: a sample of its values looks like it. Both: name and content agree. */
  by: 'name' | 'content' | 'both' | 'plan';
  declared: boolean;
  /** Share of the sample's values that are of the class, of those that are not NULL; null where no values were looked at. */
  share: number | null;
}

/** One connection of the plan as it was met. */
export interface SystemFinding {
  connection: string;
  roles: ('source' | 'target' | 'control')[];
  version: string;
  user: string;
  /** `local`: within one machine, where nothing can listen. */
  encryption: { state: 'encrypted' | 'plain' | 'local'; version: string | null; cipher: string | null };
  limits: SystemLimits;
  /** Rights that the migration does not need, each with the statement that takes it away. */
  surplus: { right: string; remedy: string }[];
  /** Rights that it needs and lacks. */
  missing: string[];
}
export interface SystemLimits {
  maxConnections: number;
  reserved: number;
  inUse: number;
  sharedBuffersBytes: number;
  workMemBytes: number;
  maintenanceWorkMemBytes: number;
  maxWalBytes: number;
  databaseBytes: number;
}

/** What happens to one index, constraint or foreign key of a target table while its rows are loaded. */
export interface IndexDecision { dataset: string; name: string; kind: 'index' | 'unique' | 'primary_key' | 'exclusion' | 'foreign_key' | 'trigger'; action: 'dropped' | 'kept' | 'disabled'; why: string; bytes: number }

export interface ResourceProposal {
  /** What the plan may use at once, at most, and what the systems have left. */
  connections: { system: string; needed: number; free: number; fits: boolean }[];
  /** Bytes of batches in memory, by the plan's `memory_limit`, and of this worker's machine. */
  memory: { planBytes: number; machineBytes: number; perCommitBytes: number };
  cores: { proposed: number; machine: number };
  /** Bytes per second that the forecast takes for granted. */
  bandwidthBytesPerSecond: number;
  /** Settings worth changing, each with the reason. */
  advice: string[];
}

export interface Speed { rowsPerSecond: number; bytesPerSecond: number; from: 'rehearsal' | 'former runs' | 'assumed' }
export interface ForecastStage { stage: 'copy' | 'indexes' | 'validation'; lowMs: number; likelyMs: number; highMs: number }
/** Time and size of the whole move. `low` to `high` is the error margin. */
export interface Forecast {
  rows: number;
  bytes: number;
  speed: Speed;
  stages: ForecastStage[];
  total: { lowMs: number; likelyMs: number; highMs: number };
  targetBytes: { low: number; likely: number; high: number };
  assumptions: string[];
}

import type { TableName } from './sql';

/** An object taken away for the load, with all that is needed to make it again. Stored as JSON in `caravan.dropped_object`. */
export interface DroppedObject {
  kind: 'index' | 'unique' | 'foreign_key' | 'check' | 'trigger';
  schema: string;
  table: string;
  name: string;
  /** index: CREATE INDEX; unique, foreign_key and check: the constraint's own text; trigger: its state (`O`, `R` or `A`). */
  definition: string;
  /** trigger: those of the same name on partitions are kept for themselves. */
  alone?: boolean;
  /** unique: CREATE UNIQUE INDEX. */
  indexDefinition?: string;
  comment?: string;
  indexComment?: string;
  /** The table was clustered by this index. */
  clustered?: boolean;
  /** Statistics targets of expression columns: column position, target. */
  statistics?: { position: number; target: number }[];
  /** foreign_key: the table it refers to. */
  references?: TableName;
}

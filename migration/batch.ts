import type { Value } from './value';

/** How the rows of a batch are laid out in memory. */
export type Encoding = 'values' | 'pgcopy';

/** Common to every encoding. A batch is the unit of memory: limited by rows and by bytes. It is kept until its commit and never read again for a bisect. */
interface BatchBase {
  rowCount: number;
  /** Memory the rows take, for byte limits: an estimate in `values`, exact in native encodings. */
  byteCount: number;
  /** Row i of this batch came from row `origin[i]` of the batch as read; absent when nothing was taken out. */
  origin?: Uint32Array;
}

/** Neutral rows: `rows[i][c]` is column c of row i. Column order is the order of the layout the batch was read or mapped with. */
export interface ValuesBatch extends BatchBase {
  encoding: 'values';
  rows: Value[][];
}

/** PostgreSQL COPY BINARY tuples. Row i is `data[offsets[i] .. offsets[i + 1])`: int16 field count, then int32 length and bytes per field. No header, no trailer. */
export interface PgcopyBatch extends BatchBase {
  encoding: 'pgcopy';
  data: Buffer;
  /** `rowCount + 1` entries. */
  offsets: Uint32Array;
}

export type Batch = ValuesBatch | PgcopyBatch;

/** Why a row may not be written. Never holds the row's values. */
export interface Reason {
  /** The rule or transform that refused: `required`, `format:email`, `transform:to_integer`, `unique`, `target:22P02`. */
  rule: string;
  /** Column name on the side that was judged; absent for a whole-row reason. */
  column?: string;
}

/** A row taken out of a batch. `row` indexes the batch as it was read. */
export interface Rejection {
  row: number;
  reasons: Reason[];
}

/** The answer of a stage that may take rows out: the rest flows on, the rejected never do. */
export interface StageResult {
  batch: Batch;
  rejections: Rejection[];
}

/** Memory limits of a batch: whichever is reached first ends it. A single row larger than `bytesMax` travels alone. */
export interface BatchLimits {
  rowsMax: number;
  bytesMax: number;
}

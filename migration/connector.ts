/** Contracts that every connector fills. Capabilities are data, known before connecting; callers ask them, never a connector's name. */
import type { Batch, BatchLimits, Encoding, Rejection } from './batch';
import type { Checkpoint } from './checkpoint';
import type { Counts } from './accounting';
import type { KeyText, SplitBounds } from './split';
import type { Column } from './value';

export interface Capabilities {
  /** Rows, quarantine and ledger can commit together. */
  transactions: boolean;
  /** Encodings it reads and writes, best first; `values` is always among them. */
  encodings: readonly Encoding[];
  roles: readonly ('source' | 'sink')[];
}

/** A named connection with its secrets resolved. Lives in the worker only. */
export interface ConnectionConfig {
  name: string;
  url: string;
  /** Used only for what needs more rights (read-only mode, schema). */
  adminUrl?: string;
  tls?: { ca?: string; cert?: string; key?: string };
  /** Connections to the system that one worker may hold. */
  connectionsMax?: number;
}

/** Tells one server from another, however it is addressed. Compared by every activity with what admission recorded. */
export type ServerIdentity = Record<string, string>;

export interface Connector {
  name: string;
  schemes: readonly string[];
  capabilities: Capabilities;
  /** Lazy: the first use connects. */
  open(config: ConnectionConfig): System;
}

/** One opened connection of a plan. */
export interface System {
  readonly config: ConnectionConfig;
  readonly connector: Connector;
  /** @throws MigrationError `SYSTEM_UNREACHABLE` (transient), `CONNECTION_REFUSED` (config: wrong password, no such database). */
  identity(): Promise<ServerIdentity>;
  close(): Promise<void>;
}

/** What a plan's dataset selects in its source, or names in its target. */
export interface Selection { table?: string; query?: string; key?: string[]; where?: string }

export interface DatasetDescription {
  columns: Column[];
  /** A valid, immediate, non-partial unique index over NOT NULL columns (or the declared key); null when there is none. */
  key: string[] | null;
  /** The database's encoding has bytes that mean nothing: such texts cannot be told in UTF-8, and are read in a way that finds them. */
  undefinedCharacters?: boolean;
  rowsEstimate: number;
  bytesEstimate: number;
}

export interface ReadRequest {
  selection: Selection;
  /** Columns to read, in this order. Computed columns may be read, too. */
  columns: Column[];
  /** Null: no key, the whole dataset in load order under one snapshot. */
  key: string[] | null;
  bounds: SplitBounds;
  /** Rows after this key only; null reads from the split's start. */
  cursor: KeyText | null;
  encoding: Encoding;
  limits: BatchLimits;
  signal: AbortSignal;
}

/** A batch as read, with the key of its last row: the cursor that resumes after it. */
export interface SourceBatch { batch: Batch; endCursor: KeyText | null }

export interface Source {
  /** @throws MigrationError `OBJECT_MISSING`, `PRIVILEGE_MISSING`, `SQL_INVALID`. */
  describe(selection: Selection): Promise<DatasetDescription>;
  /** Disjoint bounds that cover the dataset, about `rowsPerSplit` rows each, at least one. */
  planSplits(selection: Selection, key: string[], rowsPerSplit: number): Promise<SplitBounds[]>;
  /** On unchanged data the same request gives the same rows, in key order. Ends the stream on abort. */
  read(request: ReadRequest): AsyncIterable<SourceBatch>;
  /** The source's own text of each column of a row, for quarantine: null for NULL. Order of `columns`. */
  textOf(batch: Batch, row: number, columns: Column[]): (string | null)[];
}

/** A row on its way to quarantine: original content, never shown unmasked. */
export interface QuarantineEntry { key: KeyText | null; content: (string | null)[]; rejection: Rejection }

/** One commit: everything of it becomes durable together, or nothing does. */
export interface CommitUnit {
  commitNo: number;
  batches: Batch[];
  /** Rows read into this unit, rejected ones included. */
  readCount: number;
  quarantine: QuarantineEntry[];
  /** Makes the quarantine entry of a row the target refused: batch index and row in that batch. */
  quarantineRow(batch: number, row: number, rule: string): QuarantineEntry;
  cursor: KeyText | null;
  done: boolean;
  /** Holds far more bytes than a commit should: a huge row. Nothing else is to be held beside it. */
  oversized?: boolean;
  /** Gives the memory of the batches back. Call it once, when the commit is durable and nobody looks at the rows any more. */
  release?(): void;
}

/** Holds the fence of one split. A stale holder's commit changes nothing (`FENCED`). */
export interface SplitWriter {
  /** As found in the ledger when the fence was taken. */
  readonly checkpoint: Checkpoint;
  /** Writing the same commit number again returns the stored counts and changes nothing. */
  commit(unit: CommitUnit): Promise<Counts>;
  close(): Promise<void>;
}

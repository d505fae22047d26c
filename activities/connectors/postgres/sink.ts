import type { Client, ClientBase } from 'pg';
import { addCounts, noCounts, type Counts } from '../../../migration/accounting';
import type { Batch, PgcopyBatch, ValuesBatch } from '../../../migration/batch';
import type { Checkpoint } from '../../../migration/checkpoint';
import type { CommitUnit, QuarantineEntry, SplitWriter } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import type { SplitBounds } from '../../../migration/split';
import type { Column } from '../../../migration/value';
import { guardCommit, insertQuarantine, recordCommit, storedCommit, takeFence, type SplitId, type TakenSplit } from '../../stores/ledger';
import { copyIn } from './copy-in';
import { destroySocket } from './copy-out';
import { encodeText } from './database-text';
import { isRowError, sqlState, toMigrationError } from './errors';
import { mergeRows, prepareMerge, type MergeTarget } from './merge';
import { columnList, qualified, type TableName } from './sql';
import type { PostgresSystem } from './system';
import { formatCopyTextRow, formatLongCopyTextRow, valueToText } from './values-codec';

export interface WriterOptions {
  id: SplitId;
  /** Dataset epoch at open: a rollback or cutover that advanced it fences this writer. */
  epoch: string;
  table: TableName;
  /** Columns in the order of the batches. */
  columns: Column[];
  /** Source columns, for quarantine. */
  sourceColumns: string[];
  /** The table holds rows of others: staged in a temporary table and merged by key. Null: plain COPY. */
  merge: MergeTarget | null;
  /** Keyless rows into a table that is not ours alone: everything commits at the end or not at all. */
  oneTransaction: boolean;
  /** A refused row ends the commit with `ROW_REFUSED` instead of moving to quarantine. */
  failOnRefusal: boolean;
}

/** Rows in a COPY text section: a few hundred kilobytes. */
const SECTION_ROWS = 2_000;
/** Rows of more characters are written in pieces: a string has an end. */
const LONG_ROW = 16 * 1024 * 1024;

/** Removes all rows of a table, in the caller's transaction: even when a foreign key of a table outside the migration refers to it, or the right to truncate is missing. */
export async function emptyTable(client: ClientBase, table: string): Promise<void> {
  await client.query('SAVEPOINT caravan_truncate');
  try {
    await client.query(`TRUNCATE ${table}`);
  } catch (error) {
    if (!['0A000', '42501'].includes(sqlState(error) ?? '')) throw error;
    await client.query('ROLLBACK TO SAVEPOINT caravan_truncate');
    await client.query(`DELETE FROM ${table}`);
  }
  await client.query('RELEASE SAVEPOINT caravan_truncate');
}

/**
 * Writes one split into PostgreSQL. Each commit is one transaction: guard, rows, quarantine, ledger.
 * Takes the split's fence when it opens. @throws MigrationError `FENCED`, `SYSTEM_UNREACHABLE`, `SYSTEM_BUSY`, `ROW_REFUSED`, `COPY_INCOMPLETE`.
 */
export class PostgresSplitWriter implements SplitWriter {
  readonly checkpoint: Checkpoint;
  readonly bounds: SplitBounds;
  private readonly fence: string;
  private begun = false;

  private constructor(
    private readonly client: Client,
    private readonly options: WriterOptions,
    taken: TakenSplit,
  ) {
    this.checkpoint = taken.checkpoint;
    this.bounds = taken.bounds;
    this.fence = taken.fence;
  }

  static async open(system: PostgresSystem, options: WriterOptions): Promise<PostgresSplitWriter> {
    const client = await system.connect();
    try {
      // A worker that stalls must not hold locks for ever: the server ends its transaction.
      await client.query(`SET idle_in_transaction_session_timeout = ${options.oneTransaction ? '0' : "'10min'"}; SET synchronous_commit = on`);
      // Setting it takes a right of its own, even to what it is.
      await client.query(`SELECT pg_catalog.set_config('session_replication_role', 'origin', false) WHERE pg_catalog.current_setting('session_replication_role') <> 'origin'`);
      const taken = await takeFence(client, options.id);
      const merge = options.merge && await prepareMerge(client, options.merge);
      return new PostgresSplitWriter(client, { ...options, merge }, taken);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw toMigrationError(error, `target ${system.config.name}`);
    }
  }

  async commit(unit: CommitUnit): Promise<Counts> {
    try {
      if (unit.commitNo <= this.checkpoint.commitNo) {
        const stored = await storedCommit(this.client, this.options.id, unit.commitNo);
        if (stored) return stored;
      }
      return await this.commitOnce(unit, false).catch(async (error: unknown) => {
        if (!isRowError(error) || this.options.failOnRefusal) throw error;
        // Only now pay for finding the rows that the target refuses.
        return this.commitOnce(unit, true);
      });
    } catch (error) {
      throw toMigrationError(error, `dataset ${this.options.id.dataset}, commit ${unit.commitNo} of split ${this.options.id.ordinal}`);
    }
  }

  private async commitOnce(unit: CommitUnit, bisect: boolean): Promise<Counts> {
    const { client, options } = this;
    const savepoint = options.oneTransaction && this.begun;
    await client.query(savepoint ? 'SAVEPOINT caravan_unit' : 'BEGIN');
    this.begun = true;
    try {
      await guardCommit(client, options.id, this.fence, unit.commitNo, options.epoch);
      // Deferred constraints would fail at COMMIT only, when no row can be told apart any more, or no unit of one transaction.
      if (bisect || options.oneTransaction) await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      const rows = new UnitWriter(client, options, unit, bisect);
      const counts = await rows.write();
      const quarantine = [...unit.quarantine, ...rows.refused];
      await insertQuarantine(client, options.id, unit.commitNo, options.sourceColumns, quarantine);
      const total: Counts = { ...counts, read: unit.readCount, quarantined: quarantine.length };
      await recordCommit(client, options.id, this.fence, { commitNo: unit.commitNo, counts: total, fromKey: this.checkpoint.cursor, toKey: unit.cursor, done: unit.done });
      if (!options.oneTransaction || unit.done) await client.query('COMMIT');
      else if (savepoint) await client.query('RELEASE SAVEPOINT caravan_unit');
      this.advance(unit, total);
      return total;
    } catch (error) {
      await client.query(savepoint ? 'ROLLBACK TO SAVEPOINT caravan_unit' : 'ROLLBACK').catch(() => undefined);
      if (!savepoint) this.begun = false;
      throw error;
    }
  }

  private advance(unit: CommitUnit, counts: Counts): void {
    const { checkpoint } = this;
    checkpoint.commitNo = unit.commitNo;
    checkpoint.cursor = unit.cursor ?? checkpoint.cursor;
    checkpoint.done = unit.done;
    checkpoint.counts = addCounts(checkpoint.counts, counts);
  }

  async close(): Promise<void> {
    if (this.options.oneTransaction && !this.checkpoint.done) destroySocket(this.client);
    await this.client.end().catch(() => undefined);
  }
}

interface RowRange { batch: number; from: number; to: number }

/** Writes the rows of one unit; with `bisect`, finds the refused ones by halving under savepoints. */
class UnitWriter {
  readonly refused: QuarantineEntry[] = [];

  constructor(
    private readonly client: Client,
    private readonly options: WriterOptions,
    private readonly unit: CommitUnit,
    private readonly bisect: boolean,
  ) {}

  async write(): Promise<Counts> {
    const ranges = this.unit.batches.map((batch, at): RowRange => ({ batch: at, from: 0, to: batch.rowCount })).filter((range) => range.to > 0);
    if (ranges.length === 0) return noCounts();
    if (!this.bisect) return this.send(ranges);
    let counts = noCounts();
    for (const range of ranges) counts = addCounts(counts, await this.sendOrHalve(range));
    return counts;
  }

  private async sendOrHalve(range: RowRange): Promise<Counts> {
    await this.client.query('SAVEPOINT caravan_half');
    try {
      const counts = await this.send([range]);
      await this.client.query('RELEASE SAVEPOINT caravan_half');
      return counts;
    } catch (error) {
      await this.client.query('ROLLBACK TO SAVEPOINT caravan_half');
      if (!isRowError(error)) throw error;
      if (range.to - range.from === 1) {
        this.refused.push(this.unit.quarantineRow(range.batch, range.from, `target:${sqlState(error) ?? ''}`));
        return noCounts();
      }
      const middle = (range.from + range.to) >> 1;
      return addCounts(await this.sendOrHalve({ ...range, to: middle }), await this.sendOrHalve({ ...range, from: middle }));
    }
  }

  private async send(ranges: RowRange[]): Promise<Counts> {
    const { merge, columns, table } = this.options;
    const sent = ranges.reduce((sum, range) => sum + range.to - range.from, 0);
    if (columns.length === 0 && !merge) return { ...noCounts(), written: await this.sendEmptyRows(sent) };
    const format = this.unit.batches[ranges[0]?.batch ?? 0]?.encoding === 'pgcopy' ? 'binary' : 'text';
    const into = merge ? merge.stage : qualified(table);
    const sql = `COPY ${into} (${columnList(columns.map((column) => column.name))}) FROM STDIN (FORMAT ${format})`;
    const taken = await copyIn(this.client, sql, format, this.sections(ranges));
    this.assertTaken(taken, sent);
    if (!merge) return { ...noCounts(), written: taken };
    const outcome = await mergeRows(this.client, this.options.id, merge, columns);
    const flat = ranges.flatMap((range) => Array.from({ length: range.to - range.from }, (_, i) => ({ batch: range.batch, row: range.from + i })));
    for (const position of outcome.repeated) {
      const at = flat[position];
      if (at) this.refused.push(this.unit.quarantineRow(at.batch, at.row, 'unique'));
    }
    return { ...noCounts(), written: outcome.written, unchanged: outcome.unchanged };
  }

  /** Rows of which no column is written: COPY has no empty column list, but their number matters. */
  private async sendEmptyRows(count: number): Promise<number> {
    const { rowCount } = await this.client.query(`INSERT INTO ${qualified(this.options.table)} SELECT FROM generate_series(1, ${count})`);
    this.assertTaken(rowCount ?? 0, count);
    return count;
  }

  /** A rule or trigger of the table may swallow rows: the counts come from the target, never from what was sent. */
  private assertTaken(taken: number, sent: number): void {
    if (taken === sent) return;
    const { table } = this.options;
    throw new MigrationError('COPY_INCOMPLETE', `table ${table.schema}.${table.name}: COPY kept ${taken} of ${sent} rows. A rule or trigger of the table swallows rows; switch it off for the load.`);
  }

  private *sections(ranges: RowRange[]): Generator<Buffer> {
    for (const range of ranges) {
      const batch = this.unit.batches[range.batch];
      if (batch) yield* batchSections(batch, range.from, range.to, this.options.columns);
    }
  }
}

/** Rows of a batch as COPY takes them: binary tuples, or text. */
export function batchSections(batch: Batch, from: number, to: number, columns: Column[]): Iterable<Buffer> {
  return batch.encoding === 'pgcopy' ? [pgcopySection(batch, from, to)] : textSections(batch, from, to, columns);
}

function pgcopySection(batch: PgcopyBatch, from: number, to: number): Buffer {
  return batch.data.subarray(batch.offsets[from], batch.offsets[to]);
}

function* textSections(batch: ValuesBatch, from: number, to: number, columns: Column[]): Generator<Buffer> {
  for (let start = from; start < to; start += SECTION_ROWS) {
    let text = '';
    for (let row = start; row < Math.min(to, start + SECTION_ROWS); row += 1) {
      const values = batch.rows[row] ?? [];
      const fields = columns.map((column, at) => valueToText(column.kind, values[at] ?? null));
      if (fields.reduce((sum, field) => sum + (field?.length ?? 0), 0) < LONG_ROW) {
        text += formatCopyTextRow(fields);
        continue;
      }
      yield encodeText(text);
      text = '';
      yield* formatLongCopyTextRow(fields);
    }
    yield encodeText(text);
  }
}

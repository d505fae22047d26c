import type { Client } from 'pg';
import { textToValue, valueToText } from '../connectors/postgres/values-codec';
import { BUCKETS, BucketDigests, groupBuckets } from './bucket-digests';
import { digesterFor, targetKeyText, type DatasetSides } from './dataset-sides';
import { DifferenceFinder, type DifferentRow, type ExpectedRow, type FoundRow } from './difference-finder';
import { KnownAbsences } from './known-absences';
import { journalledKeys } from './own-rows';
import type { RowDigester } from './row-digest';
import { expectedOf, foundOf, readExpected, readFound, withSnapshot, type RejectedRow } from './row-streams';

/** Text of source rows that one pass of the second stage may hold. */
const GROUP_BYTES = 48 * 1024 * 1024;
/** More than this is never held, whatever it costs in passes. */
const GROUP_BYTES_MAX = 384 * 1024 * 1024;
const EXTRA_BATCH = 1_000;

export interface ColumnDifference extends DifferentRow { columns: string[] }

/** Differences as they are found, each exactly once. Rows are held for the duration of the call only. */
export interface DifferenceBatch { missing: ExpectedRow[]; different: ColumnDifference[]; extra: FoundRow[]; rejected: RejectedRow[] }

/** Exact counts. `expected`: source rows that the target should hold; `compared`: all source rows looked at. */
export interface Comparison {
  compared: number;
  expected: number;
  missing: number;
  extra: number;
  different: number;
  unreadable: number;
  /** Source rows that quarantine (open or waived) holds and the target, rightly, does not. */
  explained: number;
  /** Quarantine entries, by id, whose row the source no longer selects. */
  gone: string[];
  /** Rows that differ, by target column. */
  columns: Map<string, number>;
}

export interface CompareOptions { signal: AbortSignal; groupBytes?: number; onDifferences?: (batch: DifferenceBatch) => Promise<void> }

/**
 * Compares every row of both sides, in both directions, under one snapshot of each. First pass: digests per bucket, in constant memory.
 * Then only the rows of buckets that disagree are read again, as many at a time as fit. No order and no collation of either side is relied on.
 * Where the target held foreign rows before, only keys that the ledger journalled can be extra.
 */
export function compareSides(sides: DatasetSides, options: CompareOptions): Promise<Comparison> {
  return withSnapshot(sides.ctx.source, (source) => withSnapshot(sides.ctx.target, async (target) => {
    const absences = await KnownAbsences.load(target, sides);
    return new SideComparison(sides, options, source, target, absences).run();
  }));
}

class SideComparison {
  private readonly digester: RowDigester;
  private readonly outcome: Comparison = { compared: 0, expected: 0, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, gone: [], columns: new Map() };
  private sourceBytes = 0;

  constructor(
    private readonly sides: DatasetSides,
    private readonly options: CompareOptions,
    private readonly source: Client,
    private readonly target: Client,
    private readonly absences: KnownAbsences,
  ) {
    this.digester = digesterFor(sides);
  }

  async run(): Promise<Comparison> {
    // Both sides at once: they wait for different servers.
    const [expected, found] = await Promise.all([this.digestExpected(), this.digestFound()]);
    const foreign = this.sides.ledger.base === 'foreign';
    const suspects = foreign ? Array.from({ length: BUCKETS }, (_, bucket) => bucket) : expected.differing(found);
    const averageBytes = this.sourceBytes / Math.max(1, expected.rows);
    const rowsMax = this.rowsPerGroup(Math.max(16, averageBytes));
    for (const group of groupBuckets(suspects, expected.counts, rowsMax)) await this.compareGroup(group);
    return this.outcome;
  }

  /** At least a thousand, as each group costs a pass over both sides; of very large rows fewer. */
  private rowsPerGroup(averageBytes: number): number {
    const fit = Math.floor((this.options.groupBytes ?? GROUP_BYTES) / averageBytes);
    return Math.max(1, fit, Math.min(1_000, Math.floor(GROUP_BYTES_MAX / averageBytes)));
  }

  private async digestExpected(): Promise<BucketDigests> {
    const digests = new BucketDigests();
    const absences = this.absences.fresh();
    for await (const rows of readExpected(this.source, this.sides, this.digester, absences, this.options.signal)) {
      const rejected: RejectedRow[] = [];
      for (const row of rows) {
        this.outcome.compared += 1;
        if (row.state === 'explained') this.outcome.explained += 1;
        else if (row.state === 'rejected') rejected.push(row.row);
        else {
          digests.add(row.bucket, row.digest);
          this.sourceBytes += row.bytes;
        }
      }
      this.outcome.unreadable += rejected.length;
      if (rejected.length > 0) await this.options.onDifferences?.({ missing: [], different: [], extra: [], rejected });
    }
    this.outcome.expected = digests.rows;
    this.outcome.gone = absences.unmet();
    return digests;
  }

  private async digestFound(): Promise<BucketDigests> {
    const digests = new BucketDigests();
    const digester = digesterFor(this.sides);
    for await (const rows of readFound(this.target, this.sides, digester, this.options.signal)) {
      for (const row of rows) {
        if (row.state === 'unreadable') this.outcome.unreadable += 1;
        else digests.add(row.bucket, row.digest);
      }
    }
    return digests;
  }

  private async compareGroup(group: ReadonlySet<number>): Promise<void> {
    const finder = new DifferenceFinder();
    for await (const rows of readExpected(this.source, this.sides, this.digester, this.absences.fresh(), this.options.signal)) {
      for (const row of rows) if (row.state === 'expected' && group.has(row.bucket)) finder.expect(expectedOf(this.sides, row));
    }
    let extra: FoundRow[] = [];
    for await (const rows of readFound(this.target, this.sides, this.digester, this.options.signal)) {
      for (const row of rows) {
        if (row.state !== 'found' || !group.has(row.bucket)) continue;
        const found = foundOf(row);
        if (finder.find(found) === 'extra') extra.push(found);
      }
      if (extra.length < EXTRA_BATCH) continue;
      await this.report({ missing: [], different: [], extra, rejected: [] });
      extra = [];
    }
    const rest = finder.finish();
    const different = await this.judge(rest.different);
    await this.report({ missing: rest.missing, different, extra: [...extra, ...rest.extra], rejected: [] });
  }

  private async report(batch: DifferenceBatch): Promise<void> {
    const extra = this.sides.ledger.base === 'foreign' ? await this.journalled(batch.extra) : batch.extra;
    this.outcome.missing += batch.missing.length;
    this.outcome.different += batch.different.length;
    this.outcome.extra += extra.length;
    for (const { columns } of batch.different) for (const column of columns) this.outcome.columns.set(column, (this.outcome.columns.get(column) ?? 0) + 1);
    if (batch.missing.length + batch.different.length + extra.length > 0) await this.options.onDifferences?.({ ...batch, extra });
  }

  /**
   * Rows of others are none of our business: extra is only what this migration is known to have written. Asked on another connection: on this one the
   * rows of the target may still be coming, and they wait for us.
   */
  private async journalled(rows: FoundRow[]): Promise<FoundRow[]> {
    const keys = rows.map((row) => targetKeyText(this.sides, row.content) ?? []);
    const known = await this.sides.ctx.target.use((client) => journalledKeys(client, this.sides, keys));
    return rows.filter((_, at) => known.has(at));
  }

  /** Names the columns that differ; the target server itself says what it would have stored, so that a type's own rounding is no difference. */
  private async judge(rows: DifferentRow[]): Promise<ColumnDifference[]> {
    const answer: ColumnDifference[] = [];
    for (const { expected, found } of rows) {
      const columns: string[] = [];
      for (const [at, column] of this.sides.targetColumns.entries()) {
        const value = expected.values[at] ?? null;
        const actual = textToValue(column.kind, found.content[at] ?? null);
        if (this.digester.same(value, actual, at)) continue;
        if (value !== null && actual !== null && isRoundedByType(column.baseType ?? column.type) && this.digester.same(await this.asStored(column, value), actual, at)) continue;
        columns.push(column.name);
      }
      if (columns.length > 0) answer.push({ expected, found, columns });
    }
    return answer;
  }

  private async asStored(column: DatasetSides['targetColumns'][number], value: ExpectedRow['values'][number]): Promise<ExpectedRow['values'][number]> {
    try {
      await this.target.query('SAVEPOINT cast_value');
      const { rows } = await this.target.query<{ stored: string | null }>(`SELECT ($1::text)::${column.type}::text AS stored`, [valueToText(column.kind, value)]);
      return textToValue(column.kind, rows[0]?.stored ?? null);
    } catch {
      await this.target.query('ROLLBACK TO SAVEPOINT cast_value');
      return value;
    }
  }
}

/** Types whose assignment changes a value without an error. A cast to varchar(n) or bit(n) would cut, which an assignment never does. */
function isRoundedByType(type: string): boolean {
  return /^(numeric|timestamp|time|interval|real|jsonb|money)\b/.test(type);
}

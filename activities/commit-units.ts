import type { Batch, Rejection } from '../migration/batch';
import type { CommitUnit, QuarantineEntry, SourceBatch } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import type { KeyText } from '../migration/split';
import { giveSlab } from './connectors/postgres/slab-pool';
import { readableKey } from './connectors/postgres/source';
import type { Pipeline } from './dataset-pipeline';
import { transformRows } from './transform-batch';
import { validateRows } from './validate-batch';

/** A batch through the stages: what will be written, beside what was read. */
interface StagedBatch { read: Batch; write: Batch }

/**
 * Leads batches through transform and validate and groups them into commits of about `pipeline.commitRows` rows or `pipeline.commitBytes`.
 * Past `dueMs` (milliseconds of the clock) a unit ends with the batch at hand: a slow source, too, gets its rows committed in time.
 * A unit that a huge row made far larger than that is given away before anything more is read.
 * The last unit has `done` set, and may be empty. Rejected rows are in `quarantine` with their original content.
 * @throws MigrationError `ROW_REFUSED` when a row is rejected and the plan says `on_invalid: fail`.
 */
export async function* commitUnits(pipeline: Pipeline, batches: AsyncIterable<SourceBatch>, firstCommitNo: number, dueMs = Number.POSITIVE_INFINITY): AsyncGenerator<CommitUnit> {
  let unit = new UnitInProgress(pipeline, firstCommitNo);
  for await (const batch of batches) {
    if (unit.full || (unit.begun && Date.now() >= dueMs)) {
      yield unit.finish(false);
      unit = new UnitInProgress(pipeline, unit.commitNo + 1);
    }
    unit.add(batch);
    if (!unit.oversized) continue;
    yield unit.finish(false);
    unit = new UnitInProgress(pipeline, unit.commitNo + 1);
  }
  yield unit.finish(true);
}

class UnitInProgress {
  private readonly staged: StagedBatch[] = [];
  private readonly quarantine: QuarantineEntry[] = [];
  private readCount = 0;
  private byteCount = 0;
  private cursor: KeyText | null = null;

  constructor(
    private readonly pipeline: Pipeline,
    readonly commitNo: number,
  ) {}

  get begun(): boolean {
    return this.readCount > 0;
  }

  get full(): boolean {
    return this.readCount >= this.pipeline.commitRows || this.byteCount >= this.pipeline.commitBytes;
  }

  get oversized(): boolean {
    return this.byteCount > 2 * this.pipeline.commitBytes;
  }

  add({ batch, endCursor }: SourceBatch): void {
    const transformed = transformRows(this.pipeline, batch);
    const validated = validateRows(this.pipeline, transformed.batch);
    for (const rejection of [...transformed.rejections, ...validated.rejections]) this.quarantine.push(quarantineEntry(this.pipeline, batch, rejection));
    this.staged.push({ read: batch, write: validated.batch });
    this.readCount += batch.rowCount;
    this.byteCount += batch.byteCount;
    this.cursor = endCursor ?? this.cursor;
  }

  finish(done: boolean): CommitUnit {
    const { staged, pipeline } = this;
    return {
      commitNo: this.commitNo,
      batches: staged.map((batch) => batch.write),
      readCount: this.readCount,
      quarantine: this.quarantine,
      quarantineRow(batch, row, rule) {
        const at = staged[batch];
        if (!at) throw new MigrationError('INTERNAL', `dataset ${pipeline.context.name}: a refused row is in no batch of its commit`);
        return quarantineEntry(pipeline, at.read, { row: at.write.origin?.[row] ?? row, reasons: [{ rule }] });
      },
      cursor: this.cursor,
      done,
      oversized: this.oversized,
      release() {
        for (const { read, write } of staged.splice(0)) {
          if (read.encoding === 'pgcopy') giveSlab(read.data);
          if (write.encoding === 'pgcopy') giveSlab(write.data);
        }
      },
    };
  }
}

/** The row as it was read, with its key. @throws MigrationError `ROW_REFUSED` under `on_invalid: fail`: names rule and column, no value. */
export function quarantineEntry(pipeline: Pipeline, read: Batch, rejection: Rejection): QuarantineEntry {
  const { context, readColumns, source, textOf } = pipeline;
  if (context.dataset.on_invalid === 'fail') {
    const reasons = rejection.reasons.map((reason) => (reason.column === undefined ? reason.rule : `${reason.rule} on ${reason.column}`));
    throw new MigrationError('ROW_REFUSED', `dataset ${context.name}: a row breaks ${reasons.join(', ')}, and the plan says on_invalid: fail. Mend the source row, or set on_invalid: quarantine.`);
  }
  const content = textOf(read, rejection.row, readColumns);
  const key = source.key?.map((name) => content[readColumns.findIndex((column) => column.name === name)] ?? '') ?? null;
  if (key) readableKey(key, `dataset ${context.name}`);
  return { key, content, rejection };
}

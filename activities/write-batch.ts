import type { Counts } from '../migration/accounting';
import type { CommitUnit, SplitWriter } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import type { SegmentRef, SliceResult, StagedInput } from '../migration/protocol';
import { quarantineEntry } from './commit-units';
import { openPipeline, openWriter, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { StagingStore } from './staging-store';

/** Stage 4: one commit. Rows, quarantine and ledger become durable together. */
export function writeUnit(writer: SplitWriter, unit: CommitUnit): Promise<Counts> {
  return writer.commit(unit);
}

/**
 * Staged mode: writes a validated segment as one commit, publishes the new checkpoint and removes the segment's files.
 * Needs the target and the staging folder, not the source. A repeat finds its commit in the ledger and returns the stored counts.
 */
export async function writeBatch(deps: ActivityDependencies, input: StagedInput): Promise<SliceResult> {
  const store = new StagingStore(deps.staging, input.ref.migration);
  const { dataset, generation, ordinal } = input.segment;
  return withHeartbeat({ split: ordinal, commit: input.segment.commitNo }, async () => {
    const pipeline = await openPipeline(deps, input, {}, 'target');
    const writer = await openWriter(pipeline, { migration: input.ref.migration, dataset, generation, ordinal });
    try {
      const fresh = input.segment.commitNo > writer.checkpoint.commitNo;
      const unit = fresh ? await unitOf(pipeline, store, input.segment) : emptyUnit(input.segment.commitNo);
      const counts = await writeUnit(writer, unit);
      const { commitNo, cursor, done } = writer.checkpoint;
      await store.putCheckpoint({ dataset, generation, ordinal }, { commitNo, cursor, done, ...writer.bounds });
      await store.removeCommit(input.segment);
      return { state: done ? 'done' : 'more', counts, commits: 1 };
    } finally {
      await writer.close();
    }
  });
}

async function unitOf(pipeline: Pipeline, store: StagingStore, ref: SegmentRef): Promise<CommitUnit> {
  const validated = await store.read(ref);
  const read = (await store.readOrigin(ref, validated)).batches;
  const readBatchAt = (at: number) => {
    const batch = read[at];
    if (!batch) throw new MigrationError('STAGING_FAILED', `dataset ${ref.dataset}: the segments of commit ${ref.commitNo} do not belong together`);
    return batch;
  };
  return {
    commitNo: ref.commitNo,
    batches: validated.batches,
    readCount: read.reduce((sum, batch) => sum + batch.rowCount, 0),
    quarantine: validated.rejections.map(({ batch, ...rejection }) => quarantineEntry(pipeline, readBatchAt(batch), rejection)),
    quarantineRow(batch, row, rule) {
      return quarantineEntry(pipeline, readBatchAt(batch), { row: validated.batches[batch]?.origin?.[row] ?? row, reasons: [{ rule }] });
    },
    cursor: validated.cursor,
    done: ref.last,
  };
}

/** Only its number counts: the ledger has the commit already. */
function emptyUnit(commitNo: number): CommitUnit {
  const none = (): never => { throw new MigrationError('INTERNAL', 'a commit that the ledger has already must not be written again'); };
  return { commitNo, batches: [], readCount: 0, quarantine: [], quarantineRow: none, cursor: null, done: false };
}

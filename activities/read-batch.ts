import type { Batch } from '../migration/batch';
import type { SourceBatch } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import type { SegmentInput, SegmentRef } from '../migration/protocol';
import type { KeyText, SplitBounds } from '../migration/split';
import { openPipeline, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { StagingStore } from './staging-store';

/** Stage 1: batches of one split after `cursor`, in key order. */
export function readRows(pipeline: Pipeline, bounds: SplitBounds, cursor: KeyText | null, signal: AbortSignal): AsyncIterable<SourceBatch> {
  const { context, readColumns, source, encoding, limits } = pipeline;
  return pipeline.reader.read({ selection: context.sourceSelection, columns: readColumns, key: source.key, bounds, cursor, encoding, limits, signal });
}

/** A slow source, too, gets its rows committed in time: the segment then ends with the batch at hand. */
const SEGMENT_MS_MAX = 60_000;

/**
 * Staged mode: reads the rows of the split's next commit into the staging store. Null when the split is done.
 * Needs the source and the staging folder, not the target. Repeating it reads the same rows.
 */
export async function readBatch(deps: ActivityDependencies, input: SegmentInput): Promise<SegmentRef | null> {
  return withHeartbeat({ split: input.ordinal }, async () => {
    const pipeline = await openPipeline(deps, input, input.overrides, 'source');
    if (!pipeline.source.key) throw new MigrationError('INTERNAL', `dataset ${input.dataset} has no key, so its rows cannot be read piece by piece; copyGeneration copies it`);
    const store = new StagingStore(deps.staging, input.ref.migration);
    const split = { dataset: input.dataset, generation: input.generation, ordinal: input.ordinal };
    const checkpoint = await store.checkpoint(split);
    if (checkpoint.done) return null;
    const stop = new AbortController();
    const batches: Batch[] = [];
    let { cursor } = checkpoint;
    let rows = 0;
    let bytes = 0;
    let last = true;
    const due = Date.now() + SEGMENT_MS_MAX;
    for await (const { batch, endCursor } of readRows(pipeline, checkpoint, checkpoint.cursor, stop.signal)) {
      if (rows >= pipeline.commitRows || bytes >= pipeline.commitBytes || (rows > 0 && Date.now() >= due)) {
        last = false;
        break;
      }
      batches.push(batch);
      rows += batch.rowCount;
      bytes += batch.byteCount;
      cursor = endCursor ?? cursor;
    }
    return store.write({ ...split, commitNo: checkpoint.commitNo + 1, stage: 'read', rows, last }, { batches, rejections: [], cursor });
  });
}

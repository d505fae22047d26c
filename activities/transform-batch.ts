import type { Batch, StageResult } from '../migration/batch';
import type { SegmentRef, StagedInput } from '../migration/protocol';
import { openPipeline, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { StagingStore } from './staging-store';

/** Stage 2: source columns become target columns. A row that a transform cannot handle leaves the batch. */
export function transformRows(pipeline: Pick<Pipeline, 'kernel'>, batch: Batch): StageResult {
  return pipeline.kernel.transform(batch);
}

/** Staged mode: one segment from the staging store, back into it. Repeating it gives the same segment. */
export async function transformBatch(deps: ActivityDependencies, input: StagedInput): Promise<SegmentRef> {
  return withHeartbeat({ split: input.segment.ordinal, commit: input.segment.commitNo }, async () => {
    const pipeline = await openPipeline(deps, input, {}, 'neither');
    const store = new StagingStore(deps.staging, input.ref.migration);
    const segment = await store.read(input.segment);
    const batches: Batch[] = [];
    const rejections = [...segment.rejections];
    for (const [at, batch] of segment.batches.entries()) {
      const result = transformRows(pipeline, batch);
      batches.push(result.batch);
      rejections.push(...result.rejections.map((rejection) => ({ batch: at, ...rejection })));
    }
    return store.write({ ...input.segment, stage: 'transformed' }, { ...segment, batches, rejections, readSha256: input.segment.sha256 });
  });
}

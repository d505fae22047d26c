import type { Batch, StageResult } from '../migration/batch';
import type { SegmentRef, StagedInput } from '../migration/protocol';
import { openPipeline, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { StagingStore, type Segment } from './staging-store';

/**
 * Staged mode: leads one segment from the staging store through a pure stage and back into it. Needs neither source nor target.
 * `extra` is kept with the result. Repeating it gives the same segment.
 */
export async function passSegment(
  deps: ActivityDependencies, input: StagedInput, stage: 'transformed' | 'validated',
  work: (pipeline: Pipeline, batch: Batch) => StageResult, extra: Partial<Segment> = {},
): Promise<SegmentRef> {
  return withHeartbeat({ split: input.segment.ordinal, commit: input.segment.commitNo }, async () => {
    const pipeline = await openPipeline(deps, input, {}, 'neither');
    const store = new StagingStore(deps.staging, input.ref.migration);
    const segment = await store.read(input.segment);
    const batches: Batch[] = [];
    const rejections = [...segment.rejections];
    for (const [at, batch] of segment.batches.entries()) {
      const result = work(pipeline, batch);
      batches.push(result.batch);
      rejections.push(...result.rejections.map((rejection) => ({ batch: at, ...rejection })));
    }
    return store.write({ ...input.segment, stage }, { ...segment, batches, rejections, ...extra });
  });
}

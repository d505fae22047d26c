import type { Batch, StageResult } from '../migration/batch';
import type { SegmentRef, StagedInput } from '../migration/protocol';
import type { Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { passSegment } from './pure-stage';

/** Stage 2: source columns become target columns. A row that a transform cannot handle leaves the batch. */
export function transformRows(pipeline: Pick<Pipeline, 'kernel'>, batch: Batch): StageResult {
  return pipeline.kernel.transform(batch);
}

/** Staged mode: the rows as read become target rows. What was read stays in the store, and is known by its hash. Repeating it gives the same segment. */
export function transformBatch(deps: ActivityDependencies, input: StagedInput): Promise<SegmentRef> {
  return passSegment(deps, input, 'transformed', transformRows, { readSha256: input.segment.sha256 });
}

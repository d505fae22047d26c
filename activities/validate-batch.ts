import type { Batch, StageResult } from '../migration/batch';
import type { SegmentRef, StagedInput } from '../migration/protocol';
import type { Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { passSegment } from './pure-stage';

/** Stage 3: rows that break a rule leave the batch, with every rule they break. */
export function validateRows(pipeline: Pick<Pipeline, 'kernel'>, batch: Batch): StageResult {
  return pipeline.kernel.validate(batch);
}

/** Staged mode: the transformed rows, less those that break a rule. Repeating it gives the same segment. */
export function validateBatch(deps: ActivityDependencies, input: StagedInput): Promise<SegmentRef> {
  return passSegment(deps, input, 'validated', validateRows);
}

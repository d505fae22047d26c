import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import type { DatasetInput, OpenedDataset, SliceInput, SliceResult, StepOverrides } from '../migration/protocol';
import { idleDelayMs, nextSliceMs } from '../migration/timing';
import { copyQueue, longCopyActivities, sliceActivities } from './activity-proxies';
import type { Steps } from './blocked-step';
import { describeFailure, failure } from './failures';
import { inLanes } from './lanes';

/** The copying of one dataset, as far as this run of the workflow knows. The truth is in the ledger. */
export interface CopyWork {
  readonly input: DatasetInput;
  readonly steps: Steps;
  opened: OpenedDataset | null;
  /** Ordinals that are not finished and in no lane's hands. */
  queue: number[];
  overrides: StepOverrides;
  /** The history is long enough: lanes finish their slice and take no more. */
  draining(): boolean;
}

/**
 * Copies the splits of the queue in lanes. A pause cancels the slices in flight, which finish their commit, and waits.
 * @returns `drained` when the workflow should continue as new first.
 */
export async function copySplits(work: CopyWork): Promise<'done' | 'drained'> {
  for (;;) {
    await work.steps.unpaused();
    if (work.queue.length === 0) return 'done';
    if (work.draining()) return 'drained';
    const lanes = Math.min(work.overrides.parallelWorkers ?? work.input.settings.parallelWorkers, work.queue.length);
    await untilPaused(work, (scope) => inLanes(lanes, () => takeSplits(work), scope));
  }
}

/** Copies a dataset without a key as one generation. A pause waits for its end: it cannot stop in the middle without starting again at the first row. */
export async function copyGeneration(work: CopyWork): Promise<'done'> {
  const { input } = work;
  const queue = copyQueue(input.activityQueue, input.view, 'both');
  for (let idle = 0; ; ) {
    await work.steps.unpaused();
    const result = await longCopyActivities(queue, `${input.dataset}, generation`).copyGeneration(slice(work, 0, input.settings.sliceMaxMs));
    if (result.state === 'done') return 'done';
    idle = result.commits > 0 ? 0 : idle + 1;
    if (idle >= input.settings.idleSlicesMax) throw noProgress(input.dataset, idle);
  }
}

/** Runs `body` in a scope that a pause cancels; the cancellation that a pause causes is not an error. */
async function untilPaused(work: CopyWork, body: (scope: CancellationScope) => Promise<void>): Promise<void> {
  const scope = new CancellationScope();
  // Remembered: the pause may be over before the last slice has ended.
  let interrupted = false;
  const stopListening = work.steps.onPause(() => {
    interrupted = true;
    scope.cancel();
  });
  try {
    await body(scope);
  } catch (error) {
    if (!isCancellation(error) || !interrupted || CancellationScope.current().consideredCancelled) throw error;
  } finally {
    stopListening();
  }
}

/** One lane: takes ordinals until none is left, putting back what it could not finish. */
async function takeSplits(work: CopyWork): Promise<void> {
  for (;;) {
    const ordinal = work.queue.shift();
    if (ordinal === undefined) return;
    let finished = false;
    try {
      finished = await copySplit(work, ordinal);
    } finally {
      if (!finished) work.queue.unshift(ordinal);
    }
    if (!finished) return;
  }
}

/** @returns false when the lane should stop before the split is finished. */
async function copySplit(work: CopyWork, ordinal: number): Promise<boolean> {
  const { settings, dataset } = work.input;
  let sliceMs = settings.sliceMs;
  for (let idle = 0; ; ) {
    if (work.steps.paused || work.draining()) return false;
    const result = await moveOnce(work, ordinal, sliceMs, idle);
    if (result?.state === 'done') return true;
    idle = result && result.commits > 0 ? 0 : idle + 1;
    if (idle >= settings.idleSlicesMax) throw noProgress(`${dataset}, split ${ordinal}`, idle);
    if (!result) await sleep(idleDelayMs(idle), { summary: `${dataset}, split ${ordinal}: try again` });
    else sliceMs = nextSliceMs(sliceMs, settings.sliceMaxMs);
  }
}

/** @returns undefined when a transient failure, after its retries, ended a slice and there is patience left: it counts as a slice without progress. */
async function moveOnce(work: CopyWork, ordinal: number, sliceMs: number, idle: number): Promise<SliceResult | undefined> {
  try {
    return work.input.view.mode === 'staged' ? await moveStaged(work, ordinal, sliceMs) : await moveFused(work, ordinal, sliceMs);
  } catch (error) {
    if (isCancellation(error) || !describeFailure(error).transient || idle + 1 >= work.input.settings.idleSlicesMax) throw error;
    return undefined;
  }
}

function moveFused(work: CopyWork, ordinal: number, sliceMs: number): Promise<SliceResult> {
  const queue = copyQueue(work.input.activityQueue, work.input.view, 'both');
  return sliceActivities(queue, `${work.input.dataset}, split ${ordinal}`, sliceMs).copySplit(slice(work, ordinal, sliceMs));
}

/** One segment through the four stages: read on the source's side; transformed, judged and written on the target's, where the ledger is. */
async function moveStaged(work: CopyWork, ordinal: number, sliceMs: number): Promise<SliceResult> {
  const { ref, dataset, view, activityQueue } = work.input;
  const on = (reaches: 'source' | 'target', stage: string) => sliceActivities(copyQueue(activityQueue, view, reaches), `${dataset}, split ${ordinal}: ${stage}`, sliceMs);
  const generation = work.opened?.generation ?? 0;
  const read = await on('source', 'read').readBatch({ ref, dataset, generation, ordinal, overrides: work.overrides });
  if (read === null) return { state: 'done', counts: { read: 0, written: 0, unchanged: 0, quarantined: 0, filtered: 0 }, commits: 0 };
  const transformed = await on('target', 'transform').transformBatch({ ref, dataset, segment: read });
  const validated = await on('target', 'validate').validateBatch({ ref, dataset, segment: transformed });
  return on('target', 'write').writeBatch({ ref, dataset, segment: validated });
}

function slice(work: CopyWork, ordinal: number, sliceMs: number): SliceInput {
  const { ref, dataset } = work.input;
  return { ref, dataset, generation: work.opened?.generation ?? 0, ordinal, sliceMs, overrides: work.overrides };
}

function noProgress(where: string, slices: number): Error {
  return failure('NO_PROGRESS', `${where}: ${slices} slices in a row committed nothing.`);
}

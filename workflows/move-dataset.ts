import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { DatasetCarry, DatasetInput, DatasetOutcome, OpenedDataset, StepOverrides } from '../migration/protocol';
import { copyQueue, longCopyActivities } from './activity-proxies';
import type { Steps } from './blocked-step';
import { describeFailure } from './failures';
import { copyGeneration, copySplits, type CopyWork } from './split-lanes';

/** Times in a row that a fenced slice leads to a fresh look at the ledger instead of a block. */
const FENCED_MAX = 3;

/**
 * One dataset: opened in the ledger, copied split by split in lanes, closed (unique pass, indexes, counts). Safe to repeat: the ledger knows what is done.
 * Continues its workflow as new between slices when the history has grown; no activity is in flight then.
 */
export async function moveDataset(input: DatasetInput, steps: Steps): Promise<DatasetOutcome> {
  const { ref, dataset, view } = input;
  const bothQueue = copyQueue(input.activityQueue, view, 'both');
  const open = () => longCopyActivities(bothQueue, `open ${dataset}`).openDataset({ ref, dataset });
  const work: CopyWork = { input, steps, opened: null, queue: [], overrides: input.carried?.overrides ?? {}, draining: () => draining(input) };
  let fenced = input.carried?.fenced ?? 0;
  resumeCarried(work, input.carried);

  const copied = await steps.run(`copy:${dataset}`, async (overrides: StepOverrides) => {
    work.overrides = { ...work.overrides, ...overrides };
    for (;;) {
      try {
        if (!work.opened) take(work, await open());
        if (!work.opened || work.opened.done) return 'done';
        return work.opened.keyed ? await copySplits(work) : await copyGeneration(work);
      } catch (error) {
        // Whatever went wrong, the ledger is asked again before anything more is copied.
        work.opened = null;
        if (describeFailure(error).code !== 'FENCED' || ++fenced > FENCED_MAX) throw error;
      }
    }
  }, { dataset, skippable: true, heedsPause: () => work.opened?.keyed ?? false });

  if (copied.state === 'skipped') return { dataset, state: 'skipped' };
  if (copied.value === 'drained') {
    await condition(allHandlersFinished);
    await continueAsNew<(input: DatasetInput) => Promise<DatasetOutcome>>({ ...input, carried: carry(work, steps.paused, fenced) });
  }
  if (work.opened?.done) return { dataset, state: 'done' };
  const closed = await steps.run(`finish:${dataset}`, () =>
    longCopyActivities(copyQueue(input.activityQueue, view, 'target'), `finish ${dataset}`).closeDataset({ ref, dataset }), { dataset, skippable: true });
  return closed.state === 'done' ? { dataset, state: 'done', closed: closed.value } : { dataset, state: 'skipped' };
}

function draining(input: DatasetInput): boolean {
  // What a bundle could not move is tiny, and its workflow holds others as well.
  if (input.bundle) return false;
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > (input.settings.historyEventsMax ?? Number.POSITIVE_INFINITY);
}

function take(work: CopyWork, opened: OpenedDataset): void {
  work.opened = opened;
  work.queue = [...opened.unfinished];
}

function carry(work: CopyWork, paused: boolean, fenced: number): DatasetCarry {
  return {
    generation: work.opened?.generation ?? 0, splitCount: work.opened?.splitCount ?? 0, nextOrdinal: work.opened?.splitCount ?? 0,
    unfinished: work.queue, paused, overrides: work.overrides, fenced,
  };
}

/** Only keyed datasets drain in mid-copy: a generation is one activity. */
function resumeCarried(work: CopyWork, carried: DatasetCarry | undefined): void {
  if (!carried) return;
  take(work, { generation: carried.generation, splitCount: carried.splitCount, keyed: true, done: false, unfinished: carried.unfinished });
}

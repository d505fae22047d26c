import { Context } from '@temporalio/activity';
import { addCounts, noCounts } from '../migration/accounting';
import type { CommitUnit } from '../migration/connector';
import type { SliceInput, SliceResult } from '../migration/protocol';
import { commitUnits } from './commit-units';
import { openPipeline, openWriter, type Pipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { readRows } from './read-batch';
import { writeUnit } from './write-batch';
import type { PostgresSplitWriter } from './connectors/postgres/sink';

/**
 * Fused mode: one slice of a split through the four stages, `sliceMs` long (to the end of the commit at hand), many commits.
 * Starts at the ledger's checkpoint, whatever was tried before. While one commit is written the next is read, unless a huge row fills it.
 * On cancellation the commit at hand is finished first.
 * @throws MigrationError `FENCED` when another attempt took the split over; as `openPipeline` and the writer.
 */
export async function copySplit(deps: ActivityDependencies, input: SliceInput): Promise<SliceResult> {
  const { dataset, generation, ordinal } = input;
  const progress: SliceProgress = { split: ordinal, rows: 0, commits: 0 };
  return withHeartbeat(progress, async () => {
    const pipeline = await openPipeline(deps, input, input.overrides);
    const writer = await openWriter(pipeline, { migration: input.ref.migration, dataset, generation, ordinal });
    try {
      return await copySlice(pipeline, writer, Date.now() + input.sliceMs, progress);
    } finally {
      await writer.close();
    }
  });
}

/** What heartbeats of a slice show. */
export interface SliceProgress { split: number; rows: number; commits: number }

interface InFlight { unit: CommitUnit; counts: ReturnType<typeof writeUnit> }

/** From the writer's checkpoint until the split is done or `deadline` (milliseconds of the clock) has passed. */
export async function copySlice(pipeline: Pipeline, writer: PostgresSplitWriter, deadline: number, progress: SliceProgress): Promise<SliceResult> {
  const { checkpoint, bounds } = writer;
  if (checkpoint.done) return { state: 'done', counts: noCounts(), commits: 0 };
  const { cancellationSignal, cancelled } = Context.current();
  const stopReading = new AbortController();
  const stop = () => stopReading.abort(new Error('slice over'));
  cancellationSignal.addEventListener('abort', stop, { once: true });
  if (cancellationSignal.aborted) stop();
  const units = commitUnits(pipeline, readRows(pipeline, bounds, checkpoint.cursor, stopReading.signal), checkpoint.commitNo + 1, deadline);
  let counts = noCounts();
  const settle = async (commit: InFlight | null): Promise<void> => {
    if (!commit) return;
    const written = await commit.counts;
    commit.unit.release?.();
    counts = addCounts(counts, written);
    progress.rows = counts.read;
    progress.commits += 1;
  };
  let inFlight: InFlight | null = null;
  try {
    let next = ahead(units);
    for (;;) {
      // On cancellation reading ends at once, in mid-unit; the commit at hand is settled all the same.
      const { value: unit } = await next.catch((error: unknown) => { if (cancellationSignal.aborted) return { value: undefined }; throw error; });
      await settle(inFlight);
      inFlight = null;
      if (!unit || cancellationSignal.aborted || (Date.now() >= deadline && progress.commits > 0)) break;
      inFlight = { unit, counts: writeUnit(writer, unit) };
      // Awaited at the next turn; a failure meanwhile must not count as unhandled.
      inFlight.counts.catch(() => undefined);
      if (unit.oversized && !unit.done) {
        await settle(inFlight);
        inFlight = null;
      }
      next = unit.done ? Promise.resolve({ value: undefined, done: true }) : ahead(units);
    }
  } finally {
    stop();
    cancellationSignal.removeEventListener('abort', stop);
    await inFlight?.counts.catch(() => undefined);
    await units.return(undefined).catch(() => undefined);
  }
  if (cancellationSignal.aborted && !checkpoint.done) await cancelled;
  return { state: checkpoint.done ? 'done' as const : 'more' as const, counts, commits: progress.commits };
}

/** Starts building the next unit now, to be awaited later. */
function ahead(units: AsyncGenerator<CommitUnit>): Promise<IteratorResult<CommitUnit, undefined>> {
  const next = units.next() as Promise<IteratorResult<CommitUnit, undefined>>;
  next.catch(() => undefined);
  return next;
}

import { Context } from '@temporalio/activity';
import { addProof, noProof } from '../migration/proof';
import type { BundleProof, BundleProofInput, CheckOutcome, CompareResult } from '../migration/protocol';
import { eachInBundle } from './bundle';
import { compareCounts } from './compare-counts';
import { compareRows } from './compare-rows';
import { compareSample } from './compare-sample';
import type { ActivityDependencies } from './dependencies';

/**
 * Counts, sample and, with `everyRow`, all rows of tiny datasets, one after the other, each stored as evidence. What fails is in `left` and not in
 * the tally: it is proved again by steps of its own. Ends between two datasets when `sliceMs` are over.
 * @throws as `moveBundle`.
 */
export async function compareBundle(deps: ActivityDependencies, input: BundleProofInput): Promise<BundleProof> {
  const { ref, everyRow, repair } = input;
  let tally = noProof();
  const failed: string[] = [];
  const { done, left } = await eachInBundle(input, async (dataset) => {
    const target = { ref, dataset };
    const rows = async (): Promise<CompareResult[]> => (everyRow ? [await compareRows(deps, { ...target, repair })] : []);
    // A repair also mends what the cheaper comparisons would find.
    const mended = repair ? await rows() : [];
    const checks: CheckOutcome[] = [await compareCounts(deps, target), await compareSample(deps, target)];
    Context.current().cancellationSignal.throwIfAborted();
    const comparisons = repair ? mended : await rows();
    if ([...checks, ...comparisons].some(({ verdict }) => verdict === 'failed')) failed.push(dataset);
    else tally = addProof(tally, { checks, comparisons });
    return true;
  });
  return { done: done.filter((dataset) => !failed.includes(dataset)), left: [...left, ...failed], tally };
}

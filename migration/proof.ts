/** Proof of many datasets in a bounded form. Pure; loads in the workflow sandbox. */
import type { CheckOutcome, CompareResult, ProofTally } from './protocol';

/** Results that did not simply pass are kept in full, up to so many: some 300 bytes each. */
const KEPT_MAX = 400;

export interface DatasetProof { checks: CheckOutcome[]; comparisons: CompareResult[] }

export const noProof = (): ProofTally => ({ passed: 0, compared: 0, checks: [], comparisons: [], more: 0 });

/** Adds one dataset. What passed everything is only counted. */
export function addProof(tally: ProofTally, { checks, comparisons }: DatasetProof): ProofTally {
  const compared = tally.compared + comparisons.reduce((rows, one) => rows + one.compared, 0);
  if ([...checks, ...comparisons].every(({ verdict }) => verdict === 'passed')) return { ...tally, passed: tally.passed + 1, compared };
  return kept({ ...tally, compared }, checks, comparisons);
}

/** Adds the tally of other datasets. */
export function mergeProof(tally: ProofTally, other: ProofTally): ProofTally {
  return kept({ ...tally, passed: tally.passed + other.passed, compared: tally.compared + other.compared, more: tally.more + other.more }, other.checks, other.comparisons);
}

/** The tally as results: those that stand out one by one, all others in one line of each kind. */
export function proofOf(tally: ProofTally): DatasetProof {
  const { passed, compared, more } = tally;
  const checks = [...tally.checks];
  if (passed > 0) checks.push({ name: `counts and samples of ${datasets(passed)}`, kind: 'count', verdict: 'passed', detail: `${datasets(passed)}: all agree` });
  if (more > 0) checks.push({ name: 'further results', kind: 'count', verdict: 'warned', detail: `${more} more results that did not simply pass are in the report` });
  const shown = tally.comparisons.reduce((rows, one) => rows + one.compared, 0);
  const rest: CompareResult = {
    dataset: datasets(passed), compared: compared - shown, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, repaired: 0, verdict: 'passed', detail: 'equal',
  };
  return { checks, comparisons: passed > 0 && rest.compared > 0 ? [...tally.comparisons, rest] : [...tally.comparisons] };
}

const datasets = (count: number): string => (count === 1 ? '1 dataset' : `${count} datasets`);

function kept(tally: ProofTally, checks: readonly CheckOutcome[], comparisons: readonly CompareResult[]): ProofTally {
  const room = Math.max(0, KEPT_MAX - tally.checks.length - tally.comparisons.length);
  const moreComparisons = comparisons.slice(0, room);
  const moreChecks = checks.slice(0, room - moreComparisons.length);
  return {
    ...tally, checks: [...tally.checks, ...moreChecks], comparisons: [...tally.comparisons, ...moreComparisons],
    more: tally.more + checks.length - moreChecks.length + comparisons.length - moreComparisons.length,
  };
}

import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import { addProof, mergeProof, noProof, proofOf } from '../migration/proof';
import type { BundleProof, CheckOutcome, CompareResult, DatasetRef, DatasetView, RunInput, StepOverrides, ValidationResult, ValidationStart } from '../migration/protocol';
import { controlQueue, copyQueue, longControlActivities, longCopyActivities, sliceActivities } from './activity-proxies';
import { childSteps, type Steps } from './blocked-step';
import { inSlices } from './bundle-slices';
import { failure } from './failures';
import { registerHandlers } from './handlers';
import { inLanes } from './lanes';
import { requirePassed } from './preparation';
import { admit, conduct, finalProgress } from './run';
import { RunControl } from './run-control';
import { workPage } from './work-page';

/**
 * Phase 3: counts, a sample and every row of each dataset compared between the sides, then the plan's checks, which lean on what the comparisons
 * stored. What differs blocks; a retry may repair it. Datasets of `leaveOut` are listed as not validated.
 * Stands alone when started with `{"plan": "name"}` or `{"migration": "name", "repair": true}`: it then takes the lease itself.
 */
export async function validation(input: RunInput | ValidationStart): Promise<ValidationResult> {
  if (isPhase(input)) return validate(input, childSteps(input.root, input.proven?.paused));
  const run = new RunControl(input?.activityQueue);
  registerHandlers(run);
  const plan = input?.plan ?? input?.migration;
  if (plan === undefined || plan === '') throw failure('PLAN_INVALID', 'Start this workflow with {"plan": "name of a plan"} or {"migration": "name"}.');
  const admitted = await admit(run, { plan, activityQueue: input.activityQueue }, 'validate');
  const view = { ...admitted, settings: { ...admitted.settings, repair: input.repair ?? admitted.settings.repair } };
  const unknown = view.paged ? [] : (input.leaveOut ?? []).filter((name) => !view.datasets.some((dataset) => dataset.name === name));
  run.enter('validation');
  const result = await conduct(run, async () => {
    if (unknown.length > 0) throw failure('PLAN_INVALID', `"leaveOut" names datasets that the plan does not have: ${unknown.join(', ')}.`);
    const found = await validate({ ref: view.ref, view, root: workflowInfo().workflowId, activityQueue: input.activityQueue, leaveOut: input.leaveOut }, run.steps);
    await finalProgress(run);
    return found;
  }, () => `The validation of ${view.ref.migration} is complete.`);
  return result ?? { checks: [], comparisons: [], skipped: run.skippedSteps };
}

function isPhase(input: RunInput | ValidationStart | undefined): input is RunInput {
  return typeof input === 'object' && input !== null && 'ref' in input;
}

async function validate(input: RunInput, steps: Steps): Promise<ValidationResult> {
  const proven = await (input.view.paged ? provePages(input, steps) : proveAll(input, steps));
  let checked: CheckOutcome[] = [];
  const { skipped } = proven;
  const began = Date.now();
  const outcome = await steps.run('checks after', async () => {
    const answer = await longControlActivities(controlQueue(input.activityQueue), 'checks after').runChecks({ ref: input.ref, when: 'after' });
    checked = answer.outcomes;
    requirePassed(answer);
  }, { skippable: true });
  if (outcome.state === 'skipped') skipped.push('checks after');
  return { checks: [...proven.checks, ...checked], comparisons: proven.comparisons, skipped, checksMs: Date.now() - began };
}

/** Every dataset with its results, in the plan's order, whichever lane was faster. */
async function proveAll(input: RunInput, steps: Steps): Promise<ValidationResult> {
  const results: DatasetValidation[] = [];
  const leftOut = new Set(input.leaveOut);
  await eachInLanes(input, input.view.datasets.filter((dataset) => !leftOut.has(dataset.name)), async (dataset) => { results.push(await validateDataset(input, steps, dataset)); });
  const ordered = input.view.datasets.flatMap((dataset) => (leftOut.has(dataset.name) ? [notValidated(dataset.name)] : results.filter((result) => result.dataset === dataset.name)));
  return { checks: ordered.flatMap((result) => result.checks), comparisons: ordered.flatMap((result) => result.comparisons), skipped: results.flatMap((result) => result.skipped) };
}

/** Page by page, tiny datasets in bundles. As a phase, each page is a run of its own: between pages nothing is in flight. */
async function provePages(input: RunInput, steps: Steps): Promise<ValidationResult> {
  let { tally, skipped, page } = input.proven ?? { tally: noProof(), skipped: [], page: 0 };
  if (page === 0) for (const dataset of input.leaveOut ?? []) tally = addProof(tally, notValidated(dataset));
  for (;;) {
    const { units, last } = await workPage(input, page, { leaveOut: input.leaveOut });
    const one = async (dataset: DatasetView): Promise<void> => {
      const found = await validateDataset(input, steps, dataset);
      tally = addProof(tally, found);
      skipped = [...skipped, ...found.skipped];
    };
    await eachInLanes(input, units, async ({ bundle, ...view }) => {
      if (!bundle) return one(view);
      const left = await inSlices(bundle, steps, async (datasets) => {
        const proof = await compareBundle(input, view, datasets);
        tally = mergeProof(tally, proof.tally);
        return proof;
      });
      for (const name of left) await one({ ...view, name });
    });
    if (last) return { ...proofOf(tally), skipped };
    page += 1;
    if (input.root === workflowInfo().workflowId) continue;
    await condition(allHandlersFinished);
    await continueAsNew<typeof validation>({ ...input, proven: { page, tally, skipped, paused: steps.paused } });
  }
}

function compareBundle({ ref, activityQueue, view: { settings } }: RunInput, view: DatasetView, datasets: string[]): Promise<BundleProof> {
  const { validate: everyRow, repair, sliceMaxMs: sliceMs } = settings;
  return sliceActivities(copyQueue(activityQueue, view, 'both'), `${datasets.length} small datasets compared`, sliceMs).compareBundle({ ref, datasets, everyRow, repair, sliceMs });
}

async function eachInLanes<T>(input: RunInput, units: readonly T[], work: (unit: T) => Promise<void>): Promise<void> {
  const waiting = [...units];
  await inLanes(Math.min(input.view.settings.parallelDatasets, waiting.length), async () => {
    for (let unit = waiting.shift(); unit; unit = waiting.shift()) await work(unit);
  });
}

interface DatasetValidation { dataset: string; checks: CheckOutcome[]; comparisons: CompareResult[]; skipped: string[] }

function notValidated(dataset: string): DatasetValidation {
  return { dataset, checks: [{ name: 'rows', kind: 'rows', verdict: 'warned', detail: 'not validated: skipped', dataset }], comparisons: [], skipped: [] };
}

async function validateDataset(input: RunInput, steps: Steps, view: DatasetView): Promise<DatasetValidation> {
  const dataset = view.name;
  const target: DatasetRef = { ref: input.ref, dataset };
  const work = (summary: string) => longCopyActivities(copyQueue(input.activityQueue, view, 'both'), `${dataset}: ${summary}`);
  const { validate: everyRow, repair } = input.view.settings;
  const found: DatasetValidation = { dataset, checks: [], comparisons: [], skipped: [] };
  const rows = (mend: boolean) => work('rows').compareRows({ ...target, repair: mend });
  const everyRowJudged = () => judged(steps, found, `rows:${dataset}`, found.comparisons, (overrides) => rows(overrides.repair ?? repair));
  // A cheaper step that a person retries with a repair has the rows mended first; they are compared in their own step all the same.
  const cheaply = (compare: () => Promise<CheckOutcome>) => async (overrides: StepOverrides) => {
    if (overrides.repair) await rows(true);
    return compare();
  };
  // Cheap comparisons first, unless the plan repairs: that also mends what they would find.
  if (everyRow && repair) await everyRowJudged();
  await judged(steps, found, `counts:${dataset}`, found.checks, cheaply(() => work('counts').compareCounts(target)));
  await judged(steps, found, `sample:${dataset}`, found.checks, cheaply(() => work('sample').compareSample(target)));
  if (everyRow && !repair) await everyRowJudged();
  return found;
}

/** One comparison as a step. The last result is kept, also when a person accepts a failed one by skipping. */
async function judged<R extends CheckOutcome | CompareResult>(
  steps: Steps, found: DatasetValidation, step: string, results: R[], compare: (overrides: StepOverrides) => Promise<R>,
): Promise<void> {
  let last: R | undefined;
  const outcome = await steps.run(step, async (overrides) => {
    last = await compare(overrides);
    if (last.verdict === 'failed') throw failure('VALIDATION_FAILED', `${found.dataset}: ${last.detail}`);
  }, { dataset: found.dataset, skippable: true });
  if (last) results.push(last);
  if (outcome.state === 'skipped') found.skipped.push(step);
}

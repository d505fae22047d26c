import { workflowInfo } from '@temporalio/workflow';
import type { CheckOutcome, CompareResult, DatasetRef, DatasetView, RunInput, StepOverrides, ValidationResult, ValidationStart } from '../migration/protocol';
import { controlQueue, copyQueue, longControlActivities, longCopyActivities } from './activity-proxies';
import { childSteps, type Steps } from './blocked-step';
import { failure } from './failures';
import { registerHandlers } from './handlers';
import { inLanes } from './lanes';
import { requirePassed } from './preparation';
import { admit, conduct, finalProgress } from './run';
import { RunControl } from './run-control';

/**
 * Phase 3: counts, a sample and every row of each dataset compared between the sides, then the plan's checks. What differs blocks; a retry may repair it.
 * Stands alone when started with `{"plan": "name"}` or `{"migration": "name", "repair": true}`: it then takes the lease itself.
 */
export async function validation(input: RunInput | ValidationStart): Promise<ValidationResult> {
  if (isPhase(input)) return validate(input, childSteps(input.root));
  const run = new RunControl(input?.activityQueue);
  registerHandlers(run);
  const plan = input?.plan ?? input?.migration;
  if (plan === undefined || plan === '') throw failure('PLAN_INVALID', 'Start this workflow with {"plan": "name of a plan"} or {"migration": "name"}.');
  const admitted = await admit(run, { plan, activityQueue: input.activityQueue }, 'validate');
  const view = { ...admitted, settings: { ...admitted.settings, repair: input.repair ?? admitted.settings.repair } };
  run.enter('validation');
  const result = await conduct(run, async () => {
    const found = await validate({ ref: view.ref, view, root: workflowInfo().workflowId, activityQueue: input.activityQueue }, run.steps);
    await finalProgress(run);
    return found;
  }, () => `The validation of ${view.ref.migration} is complete.`);
  return result ?? { checks: [], comparisons: [], skipped: run.skipped };
}

function isPhase(input: RunInput | ValidationStart | undefined): input is RunInput {
  return typeof input === 'object' && input !== null && 'ref' in input;
}

async function validate(input: RunInput, steps: Steps): Promise<ValidationResult> {
  const results: DatasetValidation[] = [];
  const waiting = [...input.view.datasets];
  await inLanes(Math.min(input.view.settings.parallelDatasets, waiting.length), async () => {
    for (let dataset = waiting.shift(); dataset; dataset = waiting.shift()) results.push(await validateDataset(input, steps, dataset));
  });
  let checked: CheckOutcome[] = [];
  const skipped = results.flatMap((result) => result.skipped);
  const outcome = await steps.run('checks after', async () => {
    const answer = await longControlActivities(controlQueue(input.activityQueue), 'checks after').runChecks({ ref: input.ref, when: 'after' });
    checked = answer.outcomes;
    requirePassed(answer);
  }, { skippable: true });
  if (outcome.state === 'skipped') skipped.push('checks after');
  // In the plan's order, whichever lane was faster.
  const ordered = input.view.datasets.flatMap((dataset) => results.filter((result) => result.dataset === dataset.name));
  return { checks: [...ordered.flatMap((result) => result.checks), ...checked], comparisons: ordered.flatMap((result) => result.comparisons), skipped };
}

interface DatasetValidation { dataset: string; checks: CheckOutcome[]; comparisons: CompareResult[]; skipped: string[] }

async function validateDataset(input: RunInput, steps: Steps, view: DatasetView): Promise<DatasetValidation> {
  const dataset = view.name;
  const target: DatasetRef = { ref: input.ref, dataset };
  const work = (summary: string) => longCopyActivities(copyQueue(input.activityQueue, view, 'both'), `${dataset}: ${summary}`);
  const { validate: everyRow, repair } = input.view.settings;
  const found: DatasetValidation = { dataset, checks: [], comparisons: [], skipped: [] };
  // The rows come first: a repair also mends what counts and samples would find.
  if (everyRow) await judged(steps, found, `rows:${dataset}`, found.comparisons, (overrides) => work('rows').compareRows({ ...target, repair: overrides.repair ?? repair }));
  await judged(steps, found, `counts:${dataset}`, found.checks, () => work('counts').compareCounts(target));
  await judged(steps, found, `sample:${dataset}`, found.checks, () => work('sample').compareSample(target));
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

import { condition } from '@temporalio/workflow';
import { WORKFLOWS, type DatasetInput, type DatasetOutcome, type DatasetView, type ProductionInput, type ProductionResult } from '../migration/protocol';
import { copyQueue, longCopyActivities } from './activity-proxies';
import { childSteps, type Steps } from './blocked-step';
import { runChild } from './child-workflow';
import { attributes } from './definitions';
import { inLanes } from './lanes';
import { restoreObjects } from './restoring';

/**
 * Phase 2 for one group: its datasets, each after those it depends on and a few at a time, then the references between all of them.
 * A dataset that a person skipped counts as finished for those that come after it; its table gets back what the copy took away.
 */
export async function productionMigration(input: ProductionInput): Promise<ProductionResult> {
  const steps = childSteps(input.root);
  const chosen = new Set(input.datasets ?? input.view.datasets.map((dataset) => dataset.name));
  const datasets = input.view.datasets.filter((dataset) => chosen.has(dataset.name));
  const outcomes = await moveDatasets(input, steps, datasets);
  const skipped = datasets.filter(({ name }) => outcomes.some((outcome) => outcome.dataset === name && outcome.state === 'skipped'));
  const notRestored = await restoreObjects(input.ref, skipped, input.activityQueue);
  const settled = await settle(input, steps, datasets, outcomes);
  return {
    datasets: outcomes, movedToQuarantine: settled?.movedToQuarantine ?? 0, foreignKeysBuilt: settled?.foreignKeysBuilt ?? 0,
    skipped: skipped.map((dataset) => dataset.name), notRestored: [...notRestored, ...(settled?.notCarried ?? [])],
  };
}

async function moveDatasets(input: ProductionInput, steps: Steps, datasets: DatasetView[]): Promise<DatasetOutcome[]> {
  const waiting = [...datasets];
  const unfinished = new Set(datasets.map((dataset) => dataset.name));
  const outcomes: DatasetOutcome[] = [];
  let moving = 0;
  // Datasets of other groups were moved before this group began; a circle, which the linter refuses, is cut where it stands first.
  const next = () => waiting.find((dataset) => dataset.after.every((name) => !unfinished.has(name))) ?? (moving === 0 ? waiting[0] : undefined);
  await inLanes(Math.min(input.view.settings.parallelDatasets, datasets.length), async () => {
    for (;;) {
      await condition(() => waiting.length === 0 || next() !== undefined);
      const dataset = next();
      if (!dataset) {
        if (waiting.length === 0) return;
        continue;
      }
      waiting.splice(waiting.indexOf(dataset), 1);
      moving++;
      outcomes.push(await moveDataset(input, steps, dataset));
      moving--;
      unfinished.delete(dataset.name);
    }
  });
  return outcomes;
}

async function moveDataset(input: ProductionInput, steps: Steps, view: DatasetView): Promise<DatasetOutcome> {
  const { ref, root, activityQueue } = input;
  const { settings, searchAttributes } = input.view;
  const child: DatasetInput = { ref, dataset: view.name, view, settings, root, activityQueue, searchAttributes };
  const tags = searchAttributes ? [{ key: attributes.migration, value: ref.migration }, { key: attributes.dataset, value: view.name }] : undefined;
  // The dataset blocks by itself; this step blocks only when its workflow is lost.
  const outcome = await steps.run(`dataset:${view.name}`, () => runChild<DatasetInput, DatasetOutcome>(steps, WORKFLOWS.datasetMigration, {
    workflowId: `${root}/${view.name}`, input: child, summary: `${view.name} (${view.mode})`, attributes: tags,
  }), { dataset: view.name, skippable: true, heedsPause: () => true });
  return outcome.state === 'done' ? outcome.value : { dataset: view.name, state: 'skipped' };
}

async function settle(input: ProductionInput, steps: Steps, datasets: DatasetView[], outcomes: DatasetOutcome[]) {
  const done = outcomes.filter((outcome) => outcome.state === 'done').map((outcome) => outcome.dataset);
  const moved = datasets.filter((dataset) => done.includes(dataset.name));
  // References are settled inside the target; a worker that reaches the target's side will do.
  const lead = moved.find((dataset) => dataset.mode === 'fused') ?? moved[0];
  if (!lead) return null;
  const queue = copyQueue(input.activityQueue, lead, 'target');
  const step = `references${input.group ? `:${input.group}` : ''}`;
  const settled = await steps.run(step, () => longCopyActivities(queue, 'orphans and foreign keys').settleReferences({ ref: input.ref, datasets: moved.map((dataset) => dataset.name) }));
  return settled.state === 'done' ? settled.value : null;
}

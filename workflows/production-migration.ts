import { allHandlersFinished, condition, continueAsNew } from '@temporalio/workflow';
import { WORKFLOWS, type DatasetInput, type DatasetOutcome, type DatasetView, type ProductionInput, type ProductionResult, type WorkUnit } from '../migration/protocol';
import { copyQueue, longCopyActivities } from './activity-proxies';
import { childSteps, type Steps } from './blocked-step';
import { runChild } from './child-workflow';
import { attributes } from './definitions';
import { inLanes } from './lanes';
import { restoreObjects } from './restoring';
import { workPage } from './work-page';

/**
 * Phase 2 for one group: its datasets, each after those it depends on and a few at a time, then the references between all of them.
 * A dataset that a person skipped counts as finished for those that come after it; its table gets back what the copy took away.
 * Of very many datasets one run moves one page of units and continues as new with the next: between pages nothing is in flight.
 */
export async function productionMigration(input: ProductionInput): Promise<ProductionResult> {
  const steps = childSteps(input.root, input.carried?.paused);
  const page = input.carried?.page ?? 0;
  const { units, last } = await workPage(input, page, input);
  const outcomes = await moveUnits(input, steps, units);
  const skipped = [...(input.carried?.skipped ?? []), ...units.flatMap((unit) => skippedOf(unit, outcomes))];
  if (!last) {
    await condition(allHandlersFinished);
    await continueAsNew<typeof productionMigration>({ ...input, carried: { page: page + 1, skipped, paused: steps.paused } });
  }
  const notRestored = await restoreObjects(input.ref, skipped, input.activityQueue);
  const settled = await settle(input, steps, units, outcomes);
  const result = {
    movedToQuarantine: settled?.movedToQuarantine ?? 0, foreignKeysBuilt: settled?.foreignKeysBuilt ?? 0,
    skipped: skipped.map((dataset) => dataset.name), notRestored: [...notRestored, ...(settled?.notCarried ?? [])],
  };
  return input.view.paged ? { ...result, datasets: [], left: skipped } : { ...result, datasets: outcomes };
}

/** The datasets of a unit that a person left out. */
function skippedOf({ bundle, ...view }: WorkUnit, outcomes: DatasetOutcome[]): DatasetView[] {
  const outcome = outcomes.find(({ dataset }) => dataset === view.name);
  const names = outcome?.state === 'skipped' ? (bundle ?? [view.name]) : (outcome?.skipped ?? []);
  return names.map((name) => ({ ...view, name }));
}

async function moveUnits(input: ProductionInput, steps: Steps, units: WorkUnit[]): Promise<DatasetOutcome[]> {
  const waiting = [...units];
  const unfinished = new Set(units.map((unit) => unit.name));
  const outcomes: DatasetOutcome[] = [];
  let moving = 0;
  // Datasets of other groups and pages were moved before; a circle, which the linter refuses, is cut where it stands first.
  const next = () => waiting.find((unit) => unit.after.every((name) => !unfinished.has(name))) ?? (moving === 0 ? waiting[0] : undefined);
  await inLanes(Math.min(input.view.settings.parallelDatasets, units.length), async () => {
    for (;;) {
      await condition(() => waiting.length === 0 || next() !== undefined);
      const unit = next();
      if (!unit) {
        if (waiting.length === 0) return;
        continue;
      }
      waiting.splice(waiting.indexOf(unit), 1);
      moving++;
      outcomes.push(await moveUnit(input, steps, unit));
      moving--;
      unfinished.delete(unit.name);
    }
  });
  return outcomes;
}

async function moveUnit(input: ProductionInput, steps: Steps, { bundle, ...view }: WorkUnit): Promise<DatasetOutcome> {
  const { ref, root, activityQueue } = input;
  const { settings, searchAttributes } = input.view;
  const child: DatasetInput = { ref, dataset: view.name, view, settings, root, activityQueue, searchAttributes, bundle };
  const summary = bundle ? `${bundle.length} small datasets, ${bundle[0] ?? ''} to ${bundle.at(-1) ?? ''}` : `${view.name} (${view.mode})`;
  const tags = searchAttributes ? [{ key: attributes.migration, value: ref.migration }, { key: attributes.dataset, value: view.name }] : undefined;
  // The dataset blocks by itself; this step blocks only when its workflow is lost.
  const outcome = await steps.run(`dataset:${view.name}`, () => runChild<DatasetInput, DatasetOutcome>(steps, WORKFLOWS.datasetMigration, {
    workflowId: `${root}/${view.name}`, input: child, summary, attributes: tags,
  }), { dataset: view.name, skippable: true, heedsPause: () => true });
  return outcome.state === 'done' ? outcome.value : { dataset: view.name, state: 'skipped' };
}

async function settle(input: ProductionInput, steps: Steps, datasets: DatasetView[], outcomes: DatasetOutcome[]) {
  const done = outcomes.filter((outcome) => outcome.state === 'done').map((outcome) => outcome.dataset);
  const { paged, routes } = input.view;
  const moved = paged ? (routes ?? []) : datasets.filter((dataset) => done.includes(dataset.name));
  // References are settled inside the target; a worker that reaches the target's side will do.
  const lead = moved.find((dataset) => dataset.mode === 'fused') ?? moved[0];
  if (!lead) return null;
  const queue = copyQueue(input.activityQueue, lead, 'target');
  const step = `references${input.group ? `:${input.group}` : ''}`;
  const which = paged ? { group: input.group } : { datasets: moved.map((dataset) => dataset.name) };
  const settled = await steps.run(step, () => longCopyActivities(queue, 'orphans and foreign keys').settleReferences({ ref: input.ref, ...which }));
  return settled.state === 'done' ? settled.value : null;
}

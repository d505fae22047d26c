import type { CheckOutcome, ChecksResult, InventorySummary, PreparationResult, Problem, RunInput } from '../migration/protocol';
import { controlQueue, longControlActivities } from './activity-proxies';
import { childSteps } from './blocked-step';
import { failure } from './failures';

/**
 * Phase 1: what is there, does the plan fit it, the target's tables where the plan creates them, and the checks before anything moves.
 * Changes nothing but the schema. Repeating it is safe.
 */
export async function preparation(input: RunInput): Promise<PreparationResult> {
  const steps = childSteps(input.root);
  const queue = controlQueue(input.activityQueue);
  const work = (summary: string) => longControlActivities(queue, summary);
  const skipped: string[] = [];

  const inventory = await steps.run('inventory', async () => withoutErrors(await work('inventory').takeInventory(input.ref), 'OBJECT_MISSING'));
  await steps.run('schema analysis', async () => withoutErrors(await work('schema analysis').analyzeSchema(input.ref), 'MAPPING_INVALID'));
  const schema = await steps.run('schema', () => work('target schema').createSchema(input.ref));
  if (input.view.life) {
    const assessed = await steps.run('findings', () => work('findings').assessPreparation({ ref: input.ref }), { skippable: true });
    if (assessed.state === 'skipped') skipped.push('findings');
    // Before a row moves, and behind the schema: the tables that the plan makes are part of it.
    if (input.view.life.backup) {
      const saved = await steps.run('backup', () => work('backup').backUp({ ref: input.ref }), { skippable: true, named: true });
      if (saved.state === 'skipped') skipped.push('backup');
    }
  }
  let checks: CheckOutcome[] = [];
  const checked = await steps.run('checks before', async () => {
    const result = await work('checks before').runChecks({ ref: input.ref, when: 'before' });
    checks = result.outcomes;
    requirePassed(result);
  }, { skippable: true });
  if (checked.state === 'skipped') skipped.push('checks before');
  return {
    inventory: inventory.state === 'done' ? { ...inventory.value, problems: inventory.value.problems.slice(0, 100) } : null,
    created: schema.state === 'done' ? schema.value.created : [], checks, skipped,
  };
}

/** @throws CHECK_FAILED that names the failed checks. */
export function requirePassed(result: ChecksResult): void {
  const failed = result.outcomes.filter((outcome) => outcome.verdict === 'failed');
  if (result.failed === 0 && failed.length === 0) return;
  throw failure('CHECK_FAILED', listed(failed.map((outcome) => `${outcome.name}: ${outcome.detail}`), 'Checks failed'));
}

/** @throws a failure with this code that names the errors. */
export function withoutErrors(summary: InventorySummary, code: 'OBJECT_MISSING' | 'MAPPING_INVALID'): InventorySummary {
  const errors = summary.problems.filter((problem) => problem.severity === 'error');
  if (errors.length > 0) throw failure(code, listed(errors.map(sentence), 'The plan does not fit the systems'));
  return summary;
}

function sentence({ place, message, remedy }: Problem): string {
  return `${place}: ${message}${remedy ? ` ${remedy}` : ''}`;
}

/** The first five, and how many more: failures are cut at 4 KB, the rest is in the control store. */
function listed(items: string[], title: string): string {
  const shown = items.slice(0, 5).map((item) => item.slice(0, 400));
  const more = items.length > shown.length ? `; and ${items.length - shown.length} more` : '';
  return `${title}: ${shown.join('; ')}${more}`;
}

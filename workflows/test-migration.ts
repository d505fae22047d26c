import { workflowInfo } from '@temporalio/workflow';
import { WORKFLOWS, type ProductionInput, type ProductionResult, type RehearsalResult, type RehearsedRollback, type RunInput, type ValidationResult } from '../migration/protocol';
import { controlQueue, longControlActivities } from './activity-proxies';
import { childSteps } from './blocked-step';
import { runChild } from './child-workflow';

/**
 * The test phase: a sample goes through the whole process into a scratch schema of the target, by the same workflows and activities as production, under a plan of its own.
 * What a person skips in it counts as failed. The result is on record when it returns; the caller decides what a failure means.
 */
export async function testMigration(input: RunInput): Promise<RehearsalResult> {
  const steps = childSteps(input.root);
  const { ref, root, activityQueue } = input;
  const queue = controlQueue(activityQueue);
  const sample = await steps.run('rehearsal sample', () => longControlActivities(queue, 'sample and scratch schema').openRehearsal({ ref }));
  if (sample.state === 'skipped') return { passed: false, rows: 0, failures: ['the sample was not drawn'] };
  const opened = sample.value;
  const { workflowId } = workflowInfo();
  const rehearsal: RunInput = { ref: opened.ref, view: opened.view, root, activityQueue };
  const moved = await runChild<ProductionInput, ProductionResult>(steps, WORKFLOWS.productionMigration, { workflowId: `${workflowId}-production`, input: rehearsal, summary: `${opened.rows} rows of the sample` });
  const validated = await runChild<RunInput, ValidationResult>(steps, WORKFLOWS.validation, { workflowId: `${workflowId}-validation`, input: { ...rehearsal, leaveOut: moved.skipped }, summary: 'the sample, compared' });
  const skipped = [...moved.skipped.map((dataset) => `dataset:${dataset}`), ...validated.skipped];
  const target = { ref, id: opened.id, rehearsal: opened.ref };
  let rollback: RehearsedRollback | undefined;
  if (skipped.length === 0) {
    await steps.run('rehearsal speed', () => longControlActivities(queue, 'speed of each stage').measureRehearsal(target), { skippable: true });
    const back = await steps.run('rehearsal rollback', () => longControlActivities(queue, 'rollback of the sample').rehearseRollback(target), { skippable: true });
    if (back.state === 'done') rollback = back.value;
    else skipped.push('rehearsal rollback');
  }
  const closed = await steps.run('rehearsal result', () => longControlActivities(queue, 'speeds and result').closeRehearsal({ ...target, skipped, rollback }));
  return closed.state === 'done' ? closed.value : { passed: false, rows: opened.rows, failures: ['its result was not recorded'] };
}

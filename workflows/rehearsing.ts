import { workflowInfo } from '@temporalio/workflow';
import { WORKFLOWS, type RehearsalResult, type RunInput } from '../migration/protocol';
import { controlActivities, longControlActivities } from './activity-proxies';
import { runChild } from './child-workflow';
import { attributes } from './definitions';
import { failure } from './failures';
import type { RunControl } from './run-control';

/**
 * Lets the run on only with a fresh rehearsal that passed, or the waiver of a named person with a reason. Without one, `before: 'gates'` rehearses by itself; `before: 'production'`
 * blocks and says why it is not fresh (approvals may have taken days), and a retry rehearses.
 */
export async function requireRehearsal(run: RunControl, input: RunInput, before: 'gates' | 'production'): Promise<void> {
  let rehearses = before === 'gates';
  const outcome = await run.steps.run('rehearsal', async () => {
    const { open, why } = await longControlActivities(run.queue, 'is the rehearsal fresh').rehearsalState({ ref: input.ref });
    if (open) return;
    const mayRehearse = rehearses;
    rehearses = true;
    if (!mayRehearse) throw failure('REHEARSAL_STALE', `Production does not open: ${why ?? 'there is no fresh rehearsal'}.`);
    const result = await rehearse(run, input);
    if (!result.passed) throw failure('REHEARSAL_FAILED', `The rehearsal did not pass: ${result.failures.slice(0, 5).join('; ')}.`);
  }, { skippable: true, named: true, heedsPause: () => true });
  if (outcome.state !== 'skipped') return;
  const { by = '', reason = '' } = outcome;
  await run.steps.run('rehearsal waiver', () => controlActivities(run.queue, 'waiver').waiveRehearsal({ ref: input.ref, by, reason }));
}

async function rehearse(run: RunControl, input: RunInput): Promise<RehearsalResult> {
  run.enter('test');
  const { view } = run;
  const tags = view.searchAttributes ? [{ key: attributes.migration, value: view.ref.migration }, { key: attributes.phase, value: 'test' }] : undefined;
  return runChild<RunInput, RehearsalResult>(run.steps, WORKFLOWS.testMigration, { workflowId: `${workflowInfo().workflowId}/1-test`, input, summary: 'a sample through the whole process', attributes: tags });
}

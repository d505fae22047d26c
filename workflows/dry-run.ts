import { isCancellation } from '@temporalio/workflow';
import { noCounts } from '../migration/accounting';
import type { DryRunStep, MigrationInput, MigrationResult, RunView } from '../migration/protocol';
import { longControlActivities, stepActivities } from './activity-proxies';
import { describeFailure, endsRun, isExpected } from './failures';
import { requirePassed, withoutErrors } from './preparation';
import { admit, conduct } from './run';
import type { RunControl } from './run-control';

/**
 * Walks all gates, checks and steps of a migration without a change to its systems: what each would do, and what hinders it now. Takes the lease as a
 * validation does, so that nothing else runs meanwhile, and leaves the migration's status as it was.
 * @throws what refuses the run; whatever a look finds is an answer.
 */
export async function dryRun(run: RunControl, input: MigrationInput): Promise<MigrationResult> {
  const view = await admit(run, input, 'validate');
  run.enter('preparation');
  const walked = await conduct(run, () => walk(run, view), (steps) => `The dry run of ${view.ref.migration} is complete: ${steps.filter(({ hinders }) => hinders !== null).length} of ${steps.length} steps are hindered.`);
  return { migration: view.ref.migration, status: 'dry_run', counts: noCounts(), openQuarantine: 0, checks: [], comparisons: [], dryRun: walked ?? [] };
}

async function walk(run: RunControl, view: RunView): Promise<DryRunStep[]> {
  const { ref, life } = view;
  const work = (summary: string) => longControlActivities(run.queue, summary);
  const steps: DryRunStep[] = [];
  const add = (...more: DryRunStep[]): void => {
    steps.push(...more);
    run.showDryRun(steps);
  };
  add(await looked('inventory', 'list what moves', async () => { withoutErrors(await work('inventory').takeInventory(ref), 'OBJECT_MISSING'); }));
  add(await looked('schema analysis', 'compare the plan with both schemas', async () => { withoutErrors(await work('schema analysis').analyzeSchema(ref), 'MAPPING_INVALID'); }));
  add(await looked('checks before', 'run the checks on the source', async () => { requirePassed(await work('checks before').runChecks({ ref, when: 'before' })); }));
  add(...gateSteps(run, view, ['test', 'production']), ...windowStep(view));
  if (life?.cutover) add(...await cutoverSteps(run, view));
  else add({ step: 'production', would: 'move the datasets and compare both sides', hinders: null });
  add(...gateSteps(run, view, ['finish']));
  return steps;
}

/** The gates before the switch stand where the cutover comes to them. */
async function cutoverSteps(run: RunControl, view: RunView): Promise<DryRunStep[]> {
  let found: DryRunStep[] = [];
  const whole = await looked('cutover', 'look at every step of the cutover', async () => { found = await stepActivities(run.queue, 'every step of the cutover').dryRunCutover({ ref: view.ref }); });
  if (whole.hinders !== null) return [whole];
  const at = found.findIndex(({ step }) => step.startsWith('switch ') || step === 'open target');
  return [...found.slice(0, at), ...gateSteps(run, view, ['switch']), ...found.slice(at)];
}

function gateSteps(run: RunControl, view: RunView, stages: string[]): DryRunStep[] {
  const gates = view.life?.gates ?? view.gates.map((gate) => ({ gate, stage: 'production' }));
  return gates.filter(({ stage }) => stages.includes(stage)).map(({ gate, stage }) => ({ step: `gate ${gate}`, would: `wait for this approval before ${stage === 'finish' ? 'the end' : `the ${stage}`}`, hinders: run.gates.isApproved(gate) ? null : 'nobody has given it yet' }));
}

function windowStep({ life }: RunView): DryRunStep[] {
  const { start, abortBy } = life?.window ?? {};
  if (start === undefined && abortBy === undefined) return [];
  const over = abortBy !== undefined && Date.parse(abortBy) <= Date.now();
  return [{ step: 'window', would: `${start === undefined ? 'open production at once' : `open production at ${start}`}${abortBy === undefined ? '' : `, undo the cutover at ${abortBy}`}`, hinders: over ? `the window ended at ${abortBy}` : null }];
}

async function looked(step: string, would: string, look: () => Promise<void>): Promise<DryRunStep> {
  try {
    await look();
    return { step, would, hinders: null };
  } catch (error) {
    if (isCancellation(error) || !isExpected(error) || endsRun(error)) throw error;
    const { code, message } = describeFailure(error);
    return { step, would, hinders: `${code}: ${message}` };
  }
}

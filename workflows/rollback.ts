import { CancellationScope, allHandlersFinished, condition, setCurrentDetails, setHandler, workflowInfo } from '@temporalio/workflow';
import { forecastMarkdown } from '../migration/rollback-forecast';
import { RollbackCourse, type RollbackMeans } from '../migration/rollback-course';
import type { Approval, BeginRollbackInput, RollbackBegun, RollbackForecast, RollbackResult, RollbackStart } from '../migration/protocol';
import { controlActivities, longControlActivities, rollbackActivities } from './activity-proxies';
import { approveUpdate } from './definitions';
import { describeFailure, failure, isExpected } from './failures';
import { registerHandlers } from './handlers';
import { awaitRetention } from './retention';
import { startReporting } from './reporting';
import { finalProgress } from './run';
import { RunControl } from './run-control';

const TIERS = ['immediate', 'partial', 'full'];

/**
 * Takes a migration back. Shows first what it would do, how long it takes and what would be lost, and waits for a confirmation (the update `approve` of the gate
 * `rollback`, or `confirm` with the migration's name). Then it takes the migration over, whoever runs it, and cannot be cancelled any more: it ends with one
 * side that accepts writes, or blocks and asks. Every step is repeatable; started again, it goes on where it ended.
 * @throws ApplicationFailure `ROLLBACK_REFUSED`, `PLAN_NOT_FOUND`, `LEASE_HELD` before anything was changed; cancellation before the confirmation.
 */
export async function rollback(input: RollbackStart): Promise<RollbackResult> {
  const run = new RunControl(input?.activityQueue);
  registerHandlers(run);
  let confirmed: Approval | null = null;
  setHandler(approveUpdate, (approval) => {
    confirmed = approval;
    return 'confirmed: the rollback begins';
  }, { description: 'Confirms the rollback after its forecast was read: {"gate": "rollback", "by": "your name", "reason": "…"}.', validator: (approval: Approval) => judgeConfirmation(approval, run.isAdmitted) });
  if (typeof input?.migration !== 'string' || !TIERS.includes(input.tier)) throw failure('ROLLBACK_REFUSED', 'Start this workflow with {"migration": "name", "tier": "immediate"}; tiers: immediate, partial (with "datasets"), full.');
  const forecast = await refusable(() => longControlActivities(run.queue, 'forecast').forecastRollback(input));
  if (forecast.nothingToDo) return { migration: input.migration, status: 'nothing_to_do', tier: input.tier, datasets: [], skipped: [] };
  await confirmation(input, forecast, () => confirmed !== null);
  return CancellationScope.nonCancellable(async () => carryOut(run, await begin(run, input, confirmed)));
}

function judgeConfirmation(approval: Approval | undefined, begun: boolean): void {
  if (begun) throw failure('ROLLBACK_REFUSED', 'The rollback has begun already.');
  if (approval?.gate !== 'rollback') throw failure('ROLLBACK_REFUSED', 'Name the gate: {"gate": "rollback", "by": "your name"}.');
  if (typeof approval.by !== 'string' || approval.by.trim() === '') throw failure('ROLLBACK_REFUSED', 'Say who confirms: "by".');
}

async function confirmation(input: RollbackStart, forecast: RollbackForecast, given: () => boolean): Promise<void> {
  if (input.confirm !== undefined && input.confirm !== input.migration) throw failure('ROLLBACK_REFUSED', `"confirm" has to be the name of the migration: "${input.migration}". Nothing was changed.`);
  if (input.confirm !== undefined) return;
  setCurrentDetails(forecastMarkdown(forecast));
  await condition(given);
}

function begin(run: RunControl, input: RollbackStart, confirmed: Approval | null): Promise<RollbackBegun> {
  const { workflowId, firstExecutionRunId, namespace } = workflowInfo();
  const by = confirmed?.by ?? input.by;
  const reason = confirmed?.reason ?? input.reason;
  const wanted: BeginRollbackInput = { ...input, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }), workflowId, firstRunId: firstExecutionRunId, namespace };
  return refusable(() => controlActivities(run.queue, 'take the migration over').beginRollback(wanted));
}

/** A refusal ends the workflow with its own words, in the details as well: nothing was changed. */
async function refusable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isExpected(error) || CancellationScope.current().consideredCancelled) throw error;
    const { code, message } = describeFailure(error);
    setCurrentDetails(`## Refused\n\n**${code}**: ${message}`);
    throw failure(code, message);
  }
}

async function carryOut(run: RunControl, begun: RollbackBegun): Promise<RollbackResult> {
  run.admitted(begun.view);
  run.enter('rollback');
  run.note(`Rollback (${begun.tier}) of ${begun.datasets.length} datasets. It cannot be cancelled any more.`);
  const reporting = startReporting(run);
  try {
    const datasets = await new RollbackCourse(begun, meansOf(run)).run();
    await finalProgress(run);
    run.notices.push({ event: 'complete', message: `${begun.view.ref.migration} is rolled back (${begun.tier}).` });
    run.finish('rolled_back');
    await reporting.stop();
    const closed = await controlActivities(run.queue, 'close').closeRun({ ref: begun.view.ref, outcome: 'rolled_back', skipped: run.skipped });
    await awaitRetention(begun.view.ref.migration, closed);
    await condition(allHandlersFinished);
    return { migration: begun.view.ref.migration, status: 'rolled_back', tier: begun.tier, datasets, skipped: run.skippedSteps };
  } catch (error) {
    if (!isExpected(error)) throw error;
    const { code, message } = describeFailure(error);
    run.stop();
    if (code === 'LEASE_LOST') run.loseLease();
    run.finish('failed');
    await reporting.stop();
    throw failure(code, message);
  }
}

/** Steps that block and wait for a person when they cannot go on. */
function meansOf(run: RunControl): RollbackMeans {
  return {
    async step(name, work, options) {
      const outcome = await run.steps.run(name, (overrides) => work(rollbackActivities(run.queue, name), overrides), options);
      return outcome.state === 'done' ? outcome.value : null;
    },
    lacksRights: (error) => isExpected(error) && ['WRITES_NOT_BLOCKED', 'PRIVILEGE_MISSING'].includes(describeFailure(error).code),
    differs: (dataset, detail) => failure('VALIDATION_FAILED', `${dataset}: ${detail}`),
  };
}

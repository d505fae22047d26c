import { CancellationScope, allHandlersFinished, condition, setCurrentDetails, setHandler, workflowInfo } from '@temporalio/workflow';
import { forecastMarkdown } from '../migration/rollback-forecast';
import { ROLLBACK_STEPS } from '../migration/rollback-steps';
import type { Approval, BeginRollbackInput, ConflictPolicy, ControlActivities, CopyActivities, RollbackBegun, RollbackForecast, RollbackResult, RollbackStart, StepOverrides, UndoneDataset } from '../migration/protocol';
import { controlActivities, longControlActivities, rollbackActivities } from './activity-proxies';
import { approveUpdate } from './definitions';
import { describeFailure, failure, isExpected } from './failures';
import { registerHandlers } from './handlers';
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
    const datasets = await new RollbackWork(run, begun).run();
    await finalProgress(run);
    run.notices.push({ event: 'complete', message: `${begun.view.ref.migration} is rolled back (${begun.tier}).` });
    run.finish('rolled_back');
    await reporting.stop();
    await controlActivities(run.queue, 'close').closeRun({ ref: begun.view.ref, outcome: 'rolled_back', skipped: run.skipped });
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

class RollbackWork {
  constructor(private readonly control: RunControl, private readonly begun: RollbackBegun) {}

  async run(): Promise<UndoneDataset[]> {
    const { begun } = this;
    const partial = begun.tier === 'partial';
    await this.step(ROLLBACK_STEPS.fence, (step) => this.activities('stop the copies').stopCopying(step));
    const blocked = await this.blockNew(partial);
    if (begun.inUse) await this.whileLegacyIsFrozen();
    for (const application of begun.applications) {
      const step = ROLLBACK_STEPS.switchBack(application);
      await this.step(step, ({ ref, attempt }) => this.activities(`${application} back`).switchApplication({ ref, attempt, step, application, to: 'legacy' }));
    }
    if (begun.cutover) await this.step(ROLLBACK_STEPS.openLegacy, (step) => this.activities('open the old side').openForRollback({ ...step, side: 'source', partial }));
    const undone: UndoneDataset[] = [];
    for (const dataset of begun.datasets) undone.push(await this.undo(dataset));
    await this.step(ROLLBACK_STEPS.objects, ({ ref }) => this.activities('objects of the target').restoreObjects({ ref, datasets: begun.datasets }));
    if (blocked && !begun.cutover) await this.step(ROLLBACK_STEPS.openNew, (step) => this.activities('open the new side').openForRollback({ ...step, side: 'target', partial }));
    if (partial && !begun.inUse) await this.proveOthers();
    await this.step(ROLLBACK_STEPS.complete, (step) => this.activities('record').finishRollback({ ...step, undone }));
    return undone;
  }

  /** What the new side wrote is told by comparing both sides, which only means something while neither is written. */
  private async whileLegacyIsFrozen(): Promise<void> {
    const { begun } = this;
    if (begun.tier === 'full') {
      await this.step(ROLLBACK_STEPS.blockLegacy, (step) => this.activities('old side refuses').proveWriters({ ...step, refusing: ['source', 'target'], accepting: [] }));
      await this.step(ROLLBACK_STEPS.reverse, (step) => this.activities('bring writes home').bringHome(step));
    }
    for (const dataset of begun.datasets) {
      await this.step(`rollback: list the writes of ${dataset}`, ({ ref, attempt }) => this.activities(`${dataset}: list its writes`).judgeForRollback({ ref, attempt, dataset, leaving: begun.datasets, exporting: true }), dataset);
    }
  }

  /** A plan without a cutover may have no right to block; then rows that come in meanwhile stay where they are. */
  private async blockNew(partial: boolean): Promise<boolean> {
    let open = false;
    await this.step(ROLLBACK_STEPS.blockNew, async (step) => {
      try {
        await this.activities('new side refuses').blockForRollback({ ...step, side: 'target', partial });
      } catch (error) {
        if (!isExpected(error) || this.begun.cutover || !['WRITES_NOT_BLOCKED', 'PRIVILEGE_MISSING'].includes(describeFailure(error).code)) throw error;
        open = true;
      }
    });
    return !open;
  }

  private async undo(dataset: string): Promise<UndoneDataset> {
    const { begun } = this;
    const nothing: UndoneDataset = { dataset, state: 'nothing', removed: 0, restored: 0, conflicts: 0, exported: 0 };
    const outcome = await this.control.steps.run(`rollback: take back ${dataset}`, (overrides) => this.activities(`${dataset}: take back`).undoDataset({
      ref: begun.view.ref, attempt: begun.attempt, dataset, leaving: begun.datasets, exporting: begun.inUse, policy: policyOf(overrides, begun.policy), ...(begun.tier === 'full' && begun.inUse ? { keepRows: true } : {}),
    }), { skippable: true, dataset });
    return outcome.state === 'done' ? outcome.value : nothing;
  }

  private async proveOthers(): Promise<void> {
    const { ref } = this.begun.view;
    for (const dataset of this.begun.others) {
      if (this.control.progress?.datasets.find((one) => one.dataset === dataset)?.state !== 'done') continue;
      await this.step(`rollback: ${dataset} is as it was`, async (_step, overrides) => {
        const { verdict, detail } = await this.activities(`${dataset}: compare`).compareRows({ ref, dataset, repair: overrides.repair ?? false });
        if (verdict === 'failed') throw failure('VALIDATION_FAILED', `${dataset}: ${detail}`);
      }, dataset);
    }
  }

  private async step(name: string, work: (step: { ref: RollbackBegun['view']['ref']; attempt: number; step: string; datasets: string[] }, overrides: StepOverrides) => Promise<unknown>, dataset?: string): Promise<void> {
    const { view, attempt, datasets } = this.begun;
    await this.control.steps.run(name, (overrides) => work({ ref: view.ref, attempt, step: name, datasets }, overrides), { skippable: name !== ROLLBACK_STEPS.openLegacy, ...(dataset === undefined ? {} : { dataset }) });
  }

  private activities(summary: string): ControlActivities & CopyActivities {
    return rollbackActivities(this.control.queue, summary);
  }
}

function policyOf(overrides: StepOverrides, policy: ConflictPolicy): ConflictPolicy {
  return overrides.changedRows ?? policy;
}

/** The course of a rollback: which step follows which. Pure; the workflow and the offline command take the same one. */
import { ROLLBACK_STEPS } from './rollback-steps';
import type { ControlActivities, CopyActivities, RollbackBegun, RollbackStepInput, StepOverrides, UndoneDataset } from './protocol';

/** How steps are carried out. `step` returns when the work is done, or was left out by a person: then null. */
export interface RollbackMeans {
  step<T>(name: string, work: (activities: ControlActivities & CopyActivities, overrides: StepOverrides) => Promise<T>, options: { skippable: boolean; dataset?: string }): Promise<T | null>;
  /** The side cannot be blocked for want of rights. */
  lacksRights(error: unknown): boolean;
  /** What a comparison that failed throws. */
  differs(dataset: string, detail: string): Error;
}

/**
 * Takes back what was begun, step by step. The applications come first: as soon as the new side is closed and its writes are listed they work on the old
 * side again, and the rows of the new side go after that.
 */
export class RollbackCourse {
  constructor(private readonly begun: RollbackBegun, private readonly means: RollbackMeans) {}

  async run(): Promise<UndoneDataset[]> {
    const { begun } = this;
    const partial = begun.tier === 'partial';
    await this.step(ROLLBACK_STEPS.fence, (activities, step) => activities.stopCopying(step));
    const blocked = await this.blockNew(partial);
    if (begun.inUse) await this.whileOldIsFrozen();
    for (const application of begun.applications) {
      await this.step(ROLLBACK_STEPS.switchBack(application), (activities, { ref, attempt, step }) => activities.switchApplication({ ref, attempt, step, application, to: 'legacy' }));
    }
    if (begun.cutover) await this.step(ROLLBACK_STEPS.openLegacy, (activities, step) => activities.openForRollback({ ...step, side: 'source', partial }));
    const undone: UndoneDataset[] = [];
    for (const dataset of begun.datasets) undone.push(await this.undo(dataset));
    await this.step(ROLLBACK_STEPS.objects, (activities, { ref, datasets }) => activities.restoreObjects({ ref, datasets }));
    if (blocked && !begun.cutover) await this.step(ROLLBACK_STEPS.openNew, (activities, step) => activities.openForRollback({ ...step, side: 'target', partial }));
    if (partial && !begun.inUse) await this.proveOthers();
    await this.step(ROLLBACK_STEPS.complete, (activities, step) => activities.finishRollback({ ...step, undone }));
    return undone;
  }

  /** What the new side wrote is told by comparing both sides, which only means something while neither is written. */
  private async whileOldIsFrozen(): Promise<void> {
    const { begun } = this;
    if (begun.tier === 'full') {
      await this.step(ROLLBACK_STEPS.blockLegacy, (activities, step) => activities.proveWriters({ ...step, refusing: ['source', 'target'], accepting: [] }));
      await this.step(ROLLBACK_STEPS.reverse, (activities, step) => activities.bringHome(step));
    }
    for (const dataset of begun.datasets) {
      await this.step(`rollback: list the writes of ${dataset}`, (activities, { ref, attempt, datasets }) => activities.judgeForRollback({ ref, attempt, dataset, leaving: datasets, exporting: true }), dataset);
    }
  }

  /** A plan without a cutover may have no right to block; then rows that come in meanwhile stay where they are. */
  private async blockNew(partial: boolean): Promise<boolean> {
    const { begun, means } = this;
    const blocked = await this.step(ROLLBACK_STEPS.blockNew, async (activities, step) => {
      try {
        await activities.blockForRollback({ ...step, side: 'target', partial });
        return true;
      } catch (error) {
        if (begun.cutover || !means.lacksRights(error)) throw error;
        return false;
      }
    });
    return blocked === true;
  }

  private async undo(dataset: string): Promise<UndoneDataset> {
    const { tier, inUse, policy } = this.begun;
    const undone = await this.step(`rollback: take back ${dataset}`, (activities, { ref, attempt, datasets }, overrides) => (overrides.fromBackup ? activities.restoreDataset({ ref, attempt, dataset, leaving: datasets }) : activities.undoDataset({
      ref, attempt, dataset, leaving: datasets, exporting: inUse, policy: overrides.changedRows ?? policy, ...(tier === 'full' && inUse ? { keepRows: true } : {}),
    })), dataset);
    return undone ?? { dataset, state: 'nothing', removed: 0, restored: 0, conflicts: 0, exported: 0 };
  }

  /** Datasets that stay migrated are compared once more: taking back the others has changed nothing of them. */
  private async proveOthers(): Promise<void> {
    for (const dataset of this.begun.closedOthers) {
      await this.step(`rollback: ${dataset} is as it was`, async (activities, { ref }, overrides) => {
        const { verdict, detail } = await activities.compareRows({ ref, dataset, repair: overrides.repair ?? false });
        if (verdict === 'failed') throw this.means.differs(dataset, detail);
      }, dataset);
    }
  }

  private step<T>(name: string, work: (activities: ControlActivities & CopyActivities, step: RollbackStepInput, overrides: StepOverrides) => Promise<T>, dataset?: string): Promise<T | null> {
    const { view, attempt, datasets } = this.begun;
    const input = { ref: view.ref, attempt, step: name, datasets };
    return this.means.step(name, (activities, overrides) => work(activities, input, overrides), { skippable: name !== ROLLBACK_STEPS.openLegacy, ...(dataset === undefined ? {} : { dataset }) });
  }
}

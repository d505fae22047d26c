import type { ControlActivities, CopyActivities } from '../migration/protocol';
import { admit, readmit } from './admit';
import { analyzeSchema } from './analyze-schema';
import { closeDataset } from './close-dataset';
import { closeRun } from './close-run';
import { compareBundle } from './compare-bundle';
import { compareCounts } from './compare-counts';
import { compareRows } from './compare-rows';
import { compareSample } from './compare-sample';
import { copyGeneration } from './copy-generation';
import { copySplit } from './copy-split';
import { createSchema } from './create-schema';
import { dryRunCutover } from './cutover/dry-run-cutover';
import { forwardAllSequences } from './cutover/forward-sequences';
import { openCutover } from './cutover/open-cutover';
import { measureBaseline, watchProbes } from './cutover/probes';
import { recordStep } from './cutover/record-step';
import { switchStep } from './cutover/switch-step';
import { undoStep } from './cutover/undo-step';
import { allowSide, blockSide, proveWriters } from './cutover/write-steps';
import type { ActivityDependencies } from './dependencies';
import { forgetExpiredUndo } from './forgetting/forget-undo';
import { lifeSteps } from './life-steps';
import { moveBundle } from './move-bundle';
import { notify } from './notify';
import { openDataset } from './open-dataset';
import { planWork } from './plan-work';
import { preparationActivities } from './preparation';
import { readBatch } from './read-batch';
import { recordApproval } from './record-approval';
import { recordDecision } from './record-decision';
import { recordStatus } from './record-status';
import { restoreObjects } from './restore-objects';
import { runChecks } from './run-checks';
import { settleReferences } from './settle-references';
import { takeAgain } from './take-again';
import { takeInventory } from './take-inventory';
import { transformBatch } from './transform-batch';
import { beginRollback } from './undoing/begin-rollback';
import { forecastRollback } from './undoing/forecast-rollback';
import { blockForRollback, bringHome, finishRollback, openForRollback, stopCopying } from './undoing/rollback-work';
import { restoreDataset } from './undoing/restore-dataset';
import { judgeForRollback, undoDataset } from './undoing/undo-dataset';
import { validateBatch } from './validate-batch';
import { watchProgress } from './watch-progress';
import { writeBatch } from './write-batch';

export type Activities = ControlActivities & CopyActivities;

/** Every activity under the name it is registered by. One line per activity. */
export function createActivities(deps: ActivityDependencies): Activities {
  return {
    admit: (input) => admit(deps, input),
    readmit: (input) => readmit(deps, input),
    planWork: (input) => planWork(deps, input),
    isServed: ({ queue }) => deps.owners.serves(queue),
    recordStatus: (input) => recordStatus(deps, input),
    recordApproval: (input) => recordApproval(deps, input),
    recordDecision: (input) => recordDecision(deps, input),
    closeRun: (input) => closeRun(deps, input),
    forgetExpiredUndo: (input) => forgetExpiredUndo(deps, input),
    notify: (input) => notify(deps, input),
    lifeSteps: (input) => lifeSteps(deps, input),
    blockWrites: (input) => blockSide(deps, input),
    allowWrites: (input) => allowSide(deps, input),
    proveWriters: (input) => proveWriters(deps, input),
    switchApplication: (input) => switchStep(deps, input),
    forwardSequences: (input) => forwardAllSequences(deps, input),
    measureBaseline: (input) => measureBaseline(deps, input),
    recordStep: (input) => recordStep(deps, input),
    undoStep: (input) => undoStep(deps, input),
    openCutover: (input) => openCutover(deps, input),
    watchProbes: (input) => watchProbes(deps, input),
    dryRunCutover: (input) => dryRunCutover(deps, input),
    ...preparationActivities(deps),
    forecastRollback: (start) => forecastRollback(deps, start),
    beginRollback: (input) => beginRollback(deps, input),
    stopCopying: (input) => stopCopying(deps, input),
    blockForRollback: (input) => blockForRollback(deps, input),
    openForRollback: (input) => openForRollback(deps, input),
    bringHome: (input) => bringHome(deps, input),
    judgeForRollback: (input) => judgeForRollback(deps, input),
    undoDataset: (input) => undoDataset(deps, input),
    restoreDataset: (input) => restoreDataset(deps, input),
    finishRollback: (input) => finishRollback(deps, input),
    watchProgress: (input) => watchProgress(deps, input),
    runChecks: (input) => runChecks(deps, input),
    takeInventory: (ref) => takeInventory(deps, ref),
    analyzeSchema: (ref) => analyzeSchema(deps, ref),
    createSchema: (ref) => createSchema(deps, ref),
    // What was given back when the copy was left must go again before it goes on.
    openDataset: (input) => takeAgain(deps, input).then(() => openDataset(deps, input)),
    copySplit: (input) => copySplit(deps, input),
    copyGeneration: (input) => copyGeneration(deps, input),
    readBatch: (input) => readBatch(deps, input),
    transformBatch: (input) => transformBatch(deps, input),
    validateBatch: (input) => validateBatch(deps, input),
    writeBatch: (input) => writeBatch(deps, input),
    closeDataset: (input) => closeDataset(deps, input),
    moveBundle: (input) => moveBundle(deps, input),
    compareBundle: (input) => compareBundle(deps, input),
    settleReferences: (input) => settleReferences(deps, input),
    restoreObjects: (input) => restoreObjects(deps, input),
    compareCounts: (input) => compareCounts(deps, input),
    compareSample: (input) => compareSample(deps, input),
    compareRows: (input) => compareRows(deps, input),
  };
}

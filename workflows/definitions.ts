import { defineSearchAttributeKey } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import {
  QUERIES, SEARCH_ATTRIBUTES, SIGNALS, UPDATES,
  type Approval, type BlockedStep, type GatesWanted, type LifeStep, type PauseRequest, type PausingAfter, type RollbackRequest, type RunProgress, type StepDecision, type StepResolution, type StepResolved,
} from '../migration/protocol';

/** Typed names of all that a person, a script or another workflow may send. */
export const resolveStepUpdate = defineUpdate<string, [StepResolution]>(UPDATES.resolveStep);
export const pauseUpdate = defineUpdate<string, [PauseRequest | undefined]>(UPDATES.pause);
export const resumeUpdate = defineUpdate<string, [PauseRequest | undefined]>(UPDATES.resume);
export const approveUpdate = defineUpdate<string, [Approval]>(UPDATES.approve);
export const rollbackUpdate = defineUpdate<string, [RollbackRequest]>(UPDATES.rollback);

export const resolveStepSignal = defineSignal<[StepResolution]>(SIGNALS.resolveStepSignal);
export const pauseSignal = defineSignal<[PauseRequest | undefined]>(SIGNALS.pauseSignal);
export const resumeSignal = defineSignal<[PauseRequest | undefined]>(SIGNALS.resumeSignal);

export const stepBlockedSignal = defineSignal<[BlockedStep]>(SIGNALS.stepBlocked);
export const stepResolvedSignal = defineSignal<[StepResolved]>(SIGNALS.stepResolved);
export const stepDecisionSignal = defineSignal<[StepDecision]>(SIGNALS.stepDecision);
export const pausingAfterSignal = defineSignal<[PausingAfter]>(SIGNALS.pausingAfter);
export const setPausedSignal = defineSignal<[boolean]>(SIGNALS.setPaused);

export const lifeStepSignal = defineSignal<[LifeStep]>(SIGNALS.lifeStep);
export const gatesWantedSignal = defineSignal<[GatesWanted]>(SIGNALS.gatesWanted);
export const gatesPassedSignal = defineSignal<[]>(SIGNALS.gatesPassed);

export const progressQuery = defineQuery<RunProgress>(QUERIES.progress);

export const attributes = {
  migration: defineSearchAttributeKey(SEARCH_ATTRIBUTES.migration, 'KEYWORD'),
  phase: defineSearchAttributeKey(SEARCH_ATTRIBUTES.phase, 'KEYWORD'),
  status: defineSearchAttributeKey(SEARCH_ATTRIBUTES.status, 'KEYWORD'),
  dataset: defineSearchAttributeKey(SEARCH_ATTRIBUTES.dataset, 'KEYWORD'),
};

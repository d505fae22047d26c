import type { LifeStep, RecordedStepInput } from '../../migration/protocol';
import type { ActivityDependencies } from '../dependencies';
import { performStep } from './life-step';

/** Puts on record a step that the workflow carried out by other means, with what it saw. */
export function recordStep(deps: ActivityDependencies, input: RecordedStepInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, () => Promise.resolve(input.evidence));
}

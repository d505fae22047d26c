import type { LifeStep, SwitchInput } from '../../migration/protocol';
import type { ActivityDependencies } from '../dependencies';
import { switchApplication } from '../switching/application-switch';
import { performStep } from './life-step';

/** Points one application to a side, and reads it back; the undo points it to the other. */
export function switchStep(deps: ActivityDependencies, input: SwitchInput): Promise<LifeStep> {
  const { application, to } = input;
  return performStep(deps, input, { do: 'switch_application', application, to: to === 'new' ? 'legacy' : 'new' },
    ({ plan, attempt, epoch, signal }) => switchApplication(deps, plan, application, to, { attempt, epoch, signal }));
}

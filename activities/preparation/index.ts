import type { PreparationActivities } from '../../migration/protocol';
import { assessPreparation } from '../assess-preparation';
import { backUp } from '../back-up';
import type { ActivityDependencies } from '../dependencies';

/** The activities of preparation and rehearsal, under the names they are registered by. */
export function preparationActivities(deps: ActivityDependencies): PreparationActivities {
  return {
    assessPreparation: (input) => assessPreparation(deps, input),
    backUp: (input) => backUp(deps, input),
  };
}

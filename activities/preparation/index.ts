import type { PreparationActivities } from '../../migration/protocol';
import { assessPreparation } from '../assess-preparation';
import { backUp } from '../back-up';
import { closeRehearsal } from '../close-rehearsal';
import type { ActivityDependencies } from '../dependencies';
import { openRehearsal } from '../open-rehearsal';
import { measureRehearsal } from '../measure-rehearsal';
import { rehearseRollback } from '../rehearse-rollback';
import { rehearsalState, waiveRehearsal } from '../rehearsal-state';

/** The activities of preparation and rehearsal, under the names they are registered by. */
export function preparationActivities(deps: ActivityDependencies): PreparationActivities {
  return {
    assessPreparation: (input) => assessPreparation(deps, input),
    backUp: (input) => backUp(deps, input),
    rehearsalState: (input) => rehearsalState(deps, input),
    waiveRehearsal: (input) => waiveRehearsal(deps, input),
    openRehearsal: (input) => openRehearsal(deps, input),
    measureRehearsal: (input) => measureRehearsal(deps, input),
    rehearseRollback: (input) => rehearseRollback(deps, input),
    closeRehearsal: (input) => closeRehearsal(deps, input),
  };
}

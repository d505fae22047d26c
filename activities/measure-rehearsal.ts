import { judgeStages } from '../migration/preparation/stage-judgement';
import type { RehearsalInput } from '../migration/protocol';
import { openPipeline } from './dataset-pipeline';
import type { ActivityDependencies } from './dependencies';
import { whileAlive } from './reconciliation/liveness';
import { noTimes, timeStages } from './rehearsal/stage-speeds';
import { loadRun } from './run-context';
import { noteRehearsal } from './stores/rehearsal-store';

/** Times the four stages, each alone, on the sample of an open rehearsal, and keeps speeds and bottleneck with it. Writes nothing. @throws MigrationError as `openPipeline`. */
export function measureRehearsal(deps: ActivityDependencies, { ref, id, rehearsal }: RehearsalInput): Promise<void> {
  return whileAlive(async (signal) => {
    const { plan, control } = await loadRun(deps, ref);
    const times = noTimes();
    for (const dataset of Object.keys(plan.datasets)) await timeStages(await openPipeline(deps, { ref: rehearsal, dataset }), times, signal);
    await noteRehearsal(control, ref, id, judgeStages(times));
  });
}

import { staleBecause } from '../migration/preparation/rehearsal';
import type { RehearsalState, RunRef } from '../migration/protocol';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { schemaDigest } from './open-rehearsal';
import { describeDatasets } from './preparation/describe-datasets';
import { loadRun } from './run-context';
import { hasTable } from './stores/control-store';
import { enterRehearsal, readRehearsals } from './stores/rehearsal-store';

/**
 * Whether the last rehearsal, or a person's waiver, opens production: passed, of this plan and this source schema, and not too old. Where rows of the migration moved already,
 * production is open. Changes nothing. @throws MigrationError as `loadRun` and `describe`.
 */
export function rehearsalState(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<RehearsalState> {
  return withHeartbeat({ step: 'rehearsal' }, async () => {
    const { plan, control } = await loadRun(deps, ref);
    for (const connection of new Set(Object.values(plan.datasets).map(({ target }) => target.connection))) {
      const begun = await asPostgres(deps.systems.open(connection)).use(async (client) => (await hasTable(client, 'dataset')) && (await client.query('SELECT FROM caravan.dataset WHERE migration = $1 LIMIT 1', [ref.migration])).rowCount === 1);
      if (begun) return { open: true, why: null };
    }
    const [last] = await readRehearsals(control, ref.migration);
    const why = staleBecause(last, { planHash: ref.planHash, schemaDigest: schemaDigest(await describeDatasets(deps, plan)), maxAgeMs: plan.rehearsal?.max_age ?? 0 });
    return { open: why === null, why };
  });
}

/** Records a person's word that production may open without a rehearsal of this plan and this source schema; it ages like a rehearsal. Durable when it returns. */
export function waiveRehearsal(deps: ActivityDependencies, { ref, by, reason }: { ref: RunRef; by: string; reason: string }): Promise<void> {
  return withHeartbeat({ step: 'rehearsal' }, async () => {
    const { plan, control } = await loadRun(deps, ref);
    await enterRehearsal(control, ref, schemaDigest(await describeDatasets(deps, plan)), 'waived', { rows: 0, datasets: [], failures: [], waivedBy: by, reason });
  });
}

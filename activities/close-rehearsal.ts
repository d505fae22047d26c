import { forecast } from '../migration/preparation/forecast';
import type { RehearsalEvidence } from '../migration/preparation/rehearsal';
import { judgeRehearsal, rehearsalName, type RehearsalResults } from '../migration/preparation/rehearsal-plan';
import type { CloseRehearsalInput, RehearsalResult, RunRef } from '../migration/protocol';
import type { Plan } from '../migration/plan/schema';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { whileAlive } from './reconciliation/liveness';
import { forgetLedger } from './rehearsal/forget-rehearsal';
import { removeScratch } from './rehearsal/scratch-schema';
import { scratchSchema } from './rehearsal/scratch-tables';
import { loadRun } from './run-context';
import { hasTable, readCheckResults } from './stores/control-store';
import { readFindings, storeFindings } from './stores/preparation-store';
import { closeRehearsal as record, readRehearsals } from './stores/rehearsal-store';

/**
 * Judges the rehearsal by what the stores hold of it, corrects the forecast, and records the result. What passed leaves nothing behind;
 * what failed is kept in the scratch schema until the next rehearsal.
 * Durable when it returns; a repeat of a closed one answers what was recorded. @throws MigrationError as `loadRun`.
 */
export function closeRehearsal(deps: ActivityDependencies, input: CloseRehearsalInput): Promise<RehearsalResult> {
  return whileAlive(async () => {
    const { plan, control } = await loadRun(deps, input.ref);
    const known = (await readRehearsals(control, input.ref.migration)).find(({ id }) => id === input.id);
    if (known && known.state !== 'open') return answer(known.evidence, known.state === 'passed');
    const failures = judgeRehearsal(Object.keys(plan.datasets), await resultsOf(deps, control, plan, input.rehearsal), input.skipped);
    if (input.rollback && !input.rollback.equal) failures.push(`the rollback did not bring back what was there before: ${input.rollback.different.join(', ')}`);
    const evidence: RehearsalEvidence = {
      ...(known?.evidence ?? { rows: 0, datasets: [] }), failures, milliseconds: known ? Date.now() - Date.parse(known.openedAt) : 0, ...(input.rollback ? { rollback: input.rollback } : {}),
    };
    const passed = failures.length === 0;
    await record(control, input.ref, input.id, passed ? 'passed' : 'failed', evidence);
    await correctForecast(control, input.ref, plan, evidence);
    await leave(deps, control, plan, passed);
    return answer(evidence, passed);
  });
}

function answer({ rows, failures }: RehearsalEvidence, passed: boolean): RehearsalResult {
  return { passed, rows, failures: failures.slice(0, 20) };
}

async function resultsOf(deps: ActivityDependencies, control: PostgresSystem, plan: Plan, { migration }: RunRef): Promise<RehearsalResults> {
  const closed: string[] = [];
  for (const connection of new Set(Object.values(plan.datasets).map(({ target }) => target.connection))) {
    const rows = await asPostgres(deps.systems.open(connection)).use(async (client) => ((await hasTable(client, 'dataset'))
      ? (await client.query<{ dataset: string }>(`SELECT dataset FROM caravan.dataset WHERE migration = $1 AND closed_at IS NOT NULL`, [migration])).rows : []));
    closed.push(...rows.map(({ dataset }) => dataset));
  }
  return {
    rows: await readCheckResults(control, migration, 'rows'), counts: await readCheckResults(control, migration, 'counts'), sample: await readCheckResults(control, migration, 'sample'), closed,
  };
}

/** The preparation's forecast was made of assumptions, or of other tables. */
async function correctForecast(control: PostgresSystem, ref: RunRef, plan: Plan, { speed }: RehearsalEvidence): Promise<void> {
  const { findings } = await readFindings(control, ref.migration);
  if (!speed || !findings.datasets || !findings.forecast) return;
  const { parallel_datasets: datasets, parallel_workers: workers } = plan.batch;
  const indexes = findings.forecast.targetBytes.likely - findings.forecast.bytes;
  await storeFindings(control, ref, { forecast: forecast({ datasets: findings.datasets, speed, lanes: datasets * workers, indexBytes: indexes, validate: plan.checks.rows }) });
}

async function leave(deps: ActivityDependencies, control: PostgresSystem, plan: Plan, passed: boolean): Promise<void> {
  const name = rehearsalName(plan.migration);
  if (passed) {
    for (const connection of new Set(Object.values(plan.datasets).map(({ target }) => target.connection))) {
      await asPostgres(deps.systems.open(connection)).transaction(async (client) => {
        await removeScratch(client, scratchSchema(plan), plan.migration);
        await forgetLedger(client, name);
      });
    }
  }
  await control.transaction(async (client) => {
    // The plan of the rehearsal holds keys of rows.
    if (passed) for (const place of ['plan WHERE migration', 'connection_identity WHERE migration', 'migration WHERE name']) await client.query(`DELETE FROM caravan.${place} = $1`, [name]);
    else await client.query(`UPDATE caravan.migration SET status = 'failed', finished_at = clock_timestamp(), updated_at = clock_timestamp() WHERE name = $1`, [name]);
  });
}

import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { MigrationError } from '../migration/errors';
import { canonicalJson } from '../migration/plan/hash';
import { planView } from '../migration/plan/order';
import type { Plan } from '../migration/plan/schema';
import { boundedView } from '../migration/plan/work-pages';
import { rehearsalName, rehearsalPlan } from '../migration/preparation/rehearsal-plan';
import type { OpenedRehearsal, RunRef } from '../migration/protocol';
import { qualified } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { describeDatasets, type DescribedDataset } from './preparation/describe-datasets';
import { whileAlive } from './reconciliation/liveness';
import { drawSample, type DatasetSample } from './rehearsal/draw-sample';
import { forgetLedger } from './rehearsal/forget-rehearsal';
import { referenceEdges, sourceOf } from './rehearsal/reference-edges';
import { amongSql } from './rehearsal/sample-sql';
import { makeScratch, type ScratchTable } from './rehearsal/scratch-schema';
import { scratchDigests, scratchOf, scratchSchema } from './rehearsal/scratch-tables';
import { loadRun, targetTable } from './run-context';
import { updateUnderLease } from './stores/control-store';
import { installLedger } from './stores/ledger';
import { planHash, storePlan } from './stores/plan-store';
import { enterRehearsal } from './stores/rehearsal-store';

/**
 * Begins a rehearsal: draws the sample, makes the scratch schema in each target anew, and stores the plan of the rehearsal, keys and all, by its hash. A repeat begins again.
 * @throws MigrationError `REHEARSAL_FAILED` (the scratch schema is somebody else's, or may not be made), as `loadRun` and `describe`.
 */
export function openRehearsal(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<OpenedRehearsal> {
  return whileAlive(async (signal) => {
    const { plan, control } = await loadRun(deps, ref);
    const described = await describeDatasets(deps, plan);
    const samples = await drawSample(deps, plan, described, await referenceEdges(deps, plan, described), signal);
    await makeScratchTables(deps, plan, described, samples);
    const rehearsed = rehearsalPlan(plan, ref.control, new Map(Object.keys(plan.datasets).map((name) => [name, { where: samples.get(name)?.where ?? 'false', table: qualified(scratchOf(plan, name)) }])));
    const rehearsalRef = await admitRehearsal(control, ref, rehearsed);
    const datasets = [...samples].map(([dataset, { drawn, brought }]) => ({ dataset, drawn, brought }));
    const rows = datasets.reduce((sum, one) => sum + one.drawn + one.brought, 0);
    const id = await enterRehearsal(control, ref, schemaDigest(described), 'open', { rows, datasets, failures: [], before: await scratchDigests(deps, plan) });
    return { id, ref: rehearsalRef, view: { ...boundedView(planView(rehearsed, rehearsalRef, false)), searchAttributes: deps.searchAttributes ?? false }, rows };
  });
}

/** Changes when a source table of the plan gets other columns, types or keys. */
export function schemaDigest(described: readonly DescribedDataset[]): string {
  const shapes = described.map(({ name, source }) => [name, source.key, source.columns.map(({ name: column, type, nullable }) => [column, type, nullable])]);
  return createHash('sha256').update(canonicalJson(shapes)).digest('hex');
}

async function makeScratchTables(deps: ActivityDependencies, plan: Plan, described: readonly DescribedDataset[], samples: ReadonlyMap<string, DatasetSample>): Promise<void> {
  const byTarget = new Map<string, ScratchTable[]>();
  for (const one of described) {
    const { schema, table: name } = targetTable(one.name, one.dataset);
    const { connection } = one.dataset.target;
    const standing = standingRows(one, samples.get(one.name)?.keys ?? null);
    byTarget.set(connection, [...(byTarget.get(connection) ?? []), {
      dataset: one.name, like: { schema, name }, scratch: scratchOf(plan, one.name), columns: one.target.columns.filter(({ computed }) => !computed).map((column) => column.name), ...(standing === null ? {} : { standing }),
    }]);
  }
  for (const [connection, tables] of byTarget) {
    const target = asPostgres(deps.systems.open(connection));
    await installLedger(target);
    await target.transaction(async (client) => {
      await makeScratch(client, scratchSchema(plan), plan.migration, tables);
      await forgetLedger(client, rehearsalName(plan.migration));
    }).catch((error: unknown) => { throw told(error, connection); });
  }
}

/** A plan that merges is rehearsed with the rows that it would meet: those of the target with the sample's keys. Null where keys do not arrive as they are. */
function standingRows(one: DescribedDataset, keys: string[][] | null): string | null {
  const { on_conflict: onConflict, key: named } = one.dataset.target;
  const key = named ?? one.target.key;
  if (onConflict !== 'update' || !key || !keys || !one.source.key) return null;
  const places = key.map((column) => one.source.key?.indexOf(sourceOf(one, column) ?? '') ?? -1);
  if (places.includes(-1)) return null;
  const columns = key.map((name) => ({ name, type: one.target.columns.find((column) => column.name === name)?.type ?? 'text' }));
  return amongSql(columns, keys.map((row) => places.map((place) => row[place] ?? '')));
}

function told(error: unknown, connection: string): unknown {
  if (!(error instanceof MigrationError) || error.code !== 'PRIVILEGE_MISSING') return error;
  return new MigrationError('REHEARSAL_FAILED', `connection ${connection} may not make the scratch schema: ${error.message} Grant CREATE on the database, or make the rehearsal unnecessary by a waiver.`, error.details);
}

/** The rehearsal is a migration of its own in the stores, under a name of its own: nothing that it does can be taken for the real one's. */
async function admitRehearsal(control: PostgresSystem, ref: RunRef, plan: Plan): Promise<RunRef> {
  return control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    await forgetRecords(client, plan.migration);
    await storePlan(client, plan);
    const hash = planHash(plan);
    const { rows } = await client.query<{ lease: number }>(
      `INSERT INTO caravan.migration (name, workflow_id, first_run_id, namespace, plan_hash, phase) SELECT $1, workflow_id, first_run_id, namespace, $2, 'test' FROM caravan.migration WHERE name = $3
       ON CONFLICT (name) DO UPDATE SET lease = caravan.migration.lease + 1, lease_seen_at = clock_timestamp(), workflow_id = excluded.workflow_id, first_run_id = excluded.first_run_id, plan_hash = excluded.plan_hash,
         status = 'running', phase = 'test', finished_at = NULL, blocked = '[]', updated_at = clock_timestamp()
       RETURNING lease::int AS lease`, [plan.migration, hash, ref.migration]);
    await client.query(
      `INSERT INTO caravan.connection_identity (migration, connection, identity) SELECT $1, connection, identity FROM caravan.connection_identity WHERE migration = $2
       ON CONFLICT (migration, connection) DO UPDATE SET identity = excluded.identity`, [plan.migration, ref.migration]);
    return { migration: plan.migration, planHash: hash, control: ref.control, lease: rows[0]?.lease ?? 1 };
  });
}

/** Plans of earlier rehearsals hold keys of rows. */
async function forgetRecords(client: ClientBase, migration: string): Promise<void> {
  for (const table of ['plan', 'dataset_shape', 'check_result', 'inventory']) await client.query(`DELETE FROM caravan.${table} WHERE migration = $1`, [migration]);
}

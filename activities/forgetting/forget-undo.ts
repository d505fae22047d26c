import { MigrationError } from '../../migration/errors';
import { latestRollback } from '../../migration/rollback-steps';
import type { KeptUndo, UndoData, UndoExpiry } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { loadTargets } from '../run-context';
import { findMigration, isoText } from '../status-reading';
import { audit, type MigrationRow } from '../stores/control-store';
import { installLedger, loadDatasetRow } from '../stores/ledger';
import { readSteps } from '../stores/step-store';
import { holdsUndoData, readUndoData, UNDO_TABLES, undoRows, undoTables } from './undo-data';

type Run = Awaited<ReturnType<typeof loadTargets>>;

/** A migration that runs again is looked at again after a day. */
const DAY_MS = 86_400_000;
/** Outcomes that nobody goes on from: the retention begins with them. */
const OVER = ['complete', 'rolled_back'];

export interface ForgetUndoInput { migration: string; /** Default: all. */ datasets?: readonly string[]; by: string; reason?: string }

/**
 * Removes the undo data of a migration whose retention (`rollback.retention`, counted from its end) is over, and answers when that will be otherwise.
 * Durable when it returns; a repeat finds nothing. Keys that a merge wrote stay: they tell the migration's own rows from those of others.
 * @throws MigrationError of the connections, transient ones among them.
 */
export function forgetExpiredUndo(deps: ActivityDependencies, { migration }: { migration: string }): Promise<UndoExpiry> {
  return whileAlive(async () => {
    const { row, run } = await openMigration(deps, migration);
    if (!(await holdsAny(run))) return { until: null, forgotten: 0 };
    const until = expiryOf(row, run) ?? new Date(Date.now() + DAY_MS);
    if (until.getTime() > Date.now()) return { until: until.toISOString(), forgotten: 0 };
    const gone = await forgetUndo(deps, { migration, by: 'caravan', reason: 'its retention is over' });
    return { until: null, forgotten: undoRows(gone) };
  });
}

/** From when on the undo data of a migration may go: null where there is none, or while the migration may go on. Counts nothing. */
export async function undoUntil(deps: ActivityDependencies, migration: string): Promise<string | null> {
  const { row, run } = await openMigration(deps, migration);
  return (await holdsAny(run)) ? expiryOf(row, run)?.toISOString() ?? null : null;
}

/** What undo data there is, and how long it is kept. Changes nothing. */
export async function keptUndo(deps: ActivityDependencies, migration: string): Promise<KeptUndo> {
  const { row, run } = await openMigration(deps, migration);
  const datasets = await heldOf(run);
  return { datasets, until: undoRows(datasets) === 0 ? null : expiryOf(row, run)?.toISOString() ?? null };
}

/**
 * Removes undo data at a person's word, also before its time: before-images, what a rollback found changed, and what it exported. Afterwards a rollback of
 * datasets that were written among rows of others is refused with `UNDO_MISSING`. Answers what went, by dataset. Durable when it returns; a repeat finds nothing.
 * @throws MigrationError `UNDO_NEEDED` while the migration runs or is half way back, `PLAN_INVALID` for a dataset that the ledger does not know; nothing was removed then.
 */
export async function forgetUndo(deps: ActivityDependencies, { migration, datasets, by, reason }: ForgetUndoInput): Promise<UndoData[]> {
  const { row, run } = await openMigration(deps, migration);
  await refuseNeeded(row, run);
  const held = await heldOf(run);
  const unknown = datasets?.filter((name) => !held.some(({ dataset }) => dataset === name)) ?? [];
  if (unknown.length > 0) throw new MigrationError('PLAN_INVALID', `the ledger of migration ${migration} has no dataset ${unknown.join(', ')}. Nothing was removed.`);
  const gone: UndoData[] = [];
  for (const target of run.targets.values()) {
    await installLedger(target);
    const known = (await target.use((client) => readUndoData(client, migration))).map(({ dataset }) => dataset);
    for (const dataset of known.filter((name) => datasets?.includes(name) ?? true)) gone.push(await forgetDataset(target, migration, dataset));
  }
  if (undoRows(gone) > 0) {
    const told = gone.filter((one) => undoRows([one]) > 0).map(({ dataset, images, conflicts, exports }) => ({ dataset, images, conflicts, exports }));
    await run.control.transaction((client) => audit(client, migration, by, 'undo_forgotten', { datasets: told, ...(reason ? { reason } : {}) }));
  }
  return gone;
}

/** In one transaction, under the lock that commits, closes and rollbacks begin with: either all of a dataset's undo data is there, or the ledger says that it is gone. */
async function forgetDataset(target: PostgresSystem, migration: string, dataset: string): Promise<UndoData> {
  return target.transaction(async (client) => {
    const gone: UndoData = { dataset, images: 0, conflicts: 0, exports: 0, purgedAt: null };
    await loadDatasetRow(client, migration, dataset, 'FOR UPDATE');
    for (const name of await undoTables(client)) {
      const { rowCount } = await client.query(`DELETE FROM caravan.${UNDO_TABLES[name]} WHERE migration = $1 AND dataset = $2`, [migration, dataset]);
      gone[name] = rowCount ?? 0;
    }
    // A table that was empty at the start needs no undo data to be taken back.
    await client.query(`UPDATE caravan.dataset SET undo_purged_at = clock_timestamp() WHERE migration = $1 AND dataset = $2 AND base <> 'empty'`, [migration, dataset]);
    return gone;
  });
}

async function openMigration(deps: ActivityDependencies, migration: string): Promise<{ row: MigrationRow; run: Run }> {
  const { row, control } = await findMigration(deps, migration);
  return { row, run: await loadTargets(deps, { migration, planHash: row.plan_hash, control: control.config.name, lease: row.lease }) };
}

async function heldOf({ targets, ref }: Run): Promise<UndoData[]> {
  return (await Promise.all([...targets.values()].map((target) => target.use((client) => readUndoData(client, ref.migration))))).flat();
}

async function holdsAny({ targets, ref }: Run): Promise<boolean> {
  return (await Promise.all([...targets.values()].map((target) => target.use((client) => holdsUndoData(client, ref.migration))))).some(Boolean);
}

function expiryOf(row: MigrationRow, { plan }: Run): Date | null {
  if (row.finished_at === null || !OVER.includes(row.status)) return null;
  return new Date(Date.parse(isoText(row.finished_at)) + plan.rollback.retention);
}

/** @throws MigrationError `UNDO_NEEDED`. */
async function refuseNeeded(row: MigrationRow, { control, ref }: Run): Promise<void> {
  const back = latestRollback(await readSteps(control, ref.migration));
  if (back && !back.complete) throw new MigrationError('UNDO_NEEDED', `migration ${ref.migration}: a rollback (${back.tier}) is half way and needs the undo data. Bring it to its end first: caravan rollback ${ref.migration} --${back.tier}`);
  if (row.finished_at === null) throw new MigrationError('UNDO_NEEDED', `migration ${ref.migration} is ${row.status}: its undo data is needed until it has ended. Nothing was removed.`);
}

import { MigrationError } from '../../migration/errors';
import { latestRollback } from '../../migration/rollback-steps';
import type { KeptUndo, UndoData, UndoExpiry } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { loadTargets } from '../run-context';
import { findMigration, isoText } from '../status-reading';
import { audit, readMigrations, type MigrationRow } from '../stores/control-store';
import { installLedger } from '../stores/ledger';
import { readSteps } from '../stores/step-store';
import { lockDataset, readUndoData, UNDO_TABLES, undoRows, undoTables } from './undo-data';

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
export async function forgetExpiredUndo(deps: ActivityDependencies, { migration }: { migration: string }): Promise<UndoExpiry> {
  const { row, run } = await openMigration(deps, migration);
  const held = undoRows(await heldOf(run));
  if (held === 0) return { until: null, forgotten: 0 };
  const until = expiryOf(row, run);
  if (until === null) return { until: new Date(Date.now() + DAY_MS).toISOString(), forgotten: 0 };
  if (until.getTime() > Date.now()) return { until: until.toISOString(), forgotten: 0 };
  const gone = await forgetUndo(deps, { migration, by: 'caravan', reason: 'its retention is over' });
  return { until: null, forgotten: undoRows(gone) };
}

/** What undo data there is, and from when on it may go: null where there is none, or while the migration may go on. Changes nothing. */
export async function keptUndo(deps: ActivityDependencies, migration: string): Promise<KeptUndo> {
  const { row, run } = await openMigration(deps, migration);
  const datasets = await heldOf(run);
  return { datasets, until: undoRows(datasets) === 0 ? null : expiryOf(row, run)?.toISOString() ?? null };
}

/**
 * Removes undo data at a person's word, also before its time: before-images, what a rollback found changed, and what it exported. Afterwards a rollback of
 * datasets that were written among rows of others is refused with `UNDO_MISSING`. Answers what went, by dataset. Durable when it returns; a repeat finds nothing.
 * @throws MigrationError `UNDO_NEEDED` while the migration runs or is half way back, `PLAN_INVALID` for a dataset that the ledger does not know.
 */
export async function forgetUndo(deps: ActivityDependencies, { migration, datasets, by, reason }: ForgetUndoInput): Promise<UndoData[]> {
  const { row, run } = await openMigration(deps, migration);
  await refuseNeeded(row, run);
  const gone: UndoData[] = [];
  for (const target of run.targets.values()) {
    await installLedger(target);
    const known = (await readUndoData(target, migration)).map(({ dataset }) => dataset);
    for (const dataset of known.filter((name) => datasets?.includes(name) ?? true)) gone.push(await forgetDataset(target, migration, dataset));
  }
  const unknown = datasets?.filter((name) => !gone.some(({ dataset }) => dataset === name)) ?? [];
  if (unknown.length > 0) throw new MigrationError('PLAN_INVALID', `the ledger of migration ${migration} has no dataset ${unknown.join(', ')}`);
  if (undoRows(gone) > 0) {
    const told = gone.filter((one) => undoRows([one]) > 0).map(({ dataset, images, conflicts, exports }) => ({ dataset, images, conflicts, exports }));
    await run.control.transaction((client) => audit(client, migration, by, 'undo_forgotten', { datasets: told, ...(reason ? { reason } : {}) }));
  }
  return gone;
}

/** In one transaction: either all of a dataset's undo data is there, or the ledger says that it is gone. */
async function forgetDataset(target: PostgresSystem, migration: string, dataset: string): Promise<UndoData> {
  return target.transaction(async (client) => {
    const gone: UndoData = { dataset, images: 0, conflicts: 0, exports: 0, purgedAt: null };
    await lockDataset(client, migration, dataset);
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

async function heldOf(run: Run): Promise<UndoData[]> {
  return (await Promise.all([...run.targets.values()].map((target) => readUndoData(target, run.ref.migration)))).flat();
}

function expiryOf(row: MigrationRow, { plan }: Run): Date | null {
  if (row.finished_at === null || !OVER.includes(row.status)) return null;
  return new Date(Date.parse(isoText(row.finished_at)) + plan.rollback.retention);
}

/** @throws MigrationError `UNDO_NEEDED`. */
async function refuseNeeded(row: MigrationRow, { control, ref }: Run): Promise<void> {
  const [now] = await readMigrations(control, ref.migration);
  const back = latestRollback(await readSteps(control, ref.migration));
  if (back && !back.complete) throw new MigrationError('UNDO_NEEDED', `migration ${ref.migration}: a rollback (${back.tier}) is half way and needs the undo data. Bring it to its end first: caravan rollback ${ref.migration} --${back.tier}`);
  if (row.finished_at === null || now?.finished_at === null) throw new MigrationError('UNDO_NEEDED', `migration ${ref.migration} is ${now?.status ?? row.status}: its undo data is needed until it has ended. Nothing was removed.`);
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { ForgottenSubject, SubjectRequest } from '../../migration/protocol';
import type { ActivityDependencies } from '../dependencies';
import { loadTargets } from '../run-context';
import { findMigration } from '../status-reading';
import { readBackups } from '../stores/backup-store';
import { audit, hasTable } from '../stores/control-store';
import { installLedger, loadDatasetRow } from '../stores/ledger';
import { storeWriter } from '../stores/stored-text';

const NOTHING: Omit<ForgottenSubject, 'boundaries' | 'backups'> = { images: 0, conflicts: 0, exports: 0, keys: 0, differences: 0, quarantined: 0 };

/**
 * Removes what Caravan keeps of one row (one data subject): before-image, merged key, what a rollback listed, found differences, the content of its quarantine
 * entries. The rows themselves, in source and target, are the applications' to remove, in the source first. Keys are compared as the database writes them; a
 * target key that differs from the source's is given beside it. A later rollback leaves the row as it is, like one of others. The audit has counts and the
 * person, never the key. Possible at any time, also while the migration runs. Durable when it returns; a repeat finds nothing.
 * @throws MigrationError `PLAN_INVALID` when the dataset or the number of key columns is wrong, and those of the connections.
 */
export async function forgetSubject(deps: ActivityDependencies, request: SubjectRequest): Promise<ForgottenSubject> {
  const { migration, dataset, by, reason } = request;
  const { row, control } = await findMigration(deps, migration);
  const run = await loadTargets(deps, { migration, planHash: row.plan_hash, control: control.config.name, lease: row.lease });
  const plan = Object.hasOwn(run.plan.datasets, dataset) ? run.plan.datasets[dataset] : undefined;
  const target = plan && run.targets.get(plan.target.connection);
  if (!target) throw new MigrationError('PLAN_INVALID', `migration ${migration} has no dataset ${dataset}. It has: ${Object.keys(run.plan.datasets).join(', ')}`);
  await installLedger(target);
  const gone = await target.transaction((client) => forgetIn(client, request));
  const { boundaries, ...counts } = gone;
  if (Object.values(counts).some((count) => count > 0)) {
    await control.transaction((client) => audit(client, migration, by, 'subject_forgotten', { dataset, ...counts, ...(reason ? { reason } : {}) }));
  }
  const backups = (await readBackups(control, migration)).filter(({ state, evidence }) => state !== 'removed' && (evidence.by === 'tool' || evidence.tables.some((table) => table.dataset === dataset)));
  return { ...counts, boundaries, backups: backups.map(({ side, connection, takenAt, evidence }) => ({ side, connection, takenAt, place: evidence.folder ?? evidence.tool ?? evidence.by, host: evidence.host })) };
}

async function forgetIn(client: ClientBase, request: SubjectRequest): Promise<Omit<ForgottenSubject, 'backups'>> {
  const { migration, dataset, key, targetKey = key, rows } = request;
  // The lock that commits, closes and rollbacks begin with; nobody's fence is taken, so what was at work goes on afterwards.
  const ledger = await loadDatasetRow(client, migration, dataset, 'FOR UPDATE');
  if (!ledger) return { ...NOTHING, boundaries: 0 };
  const quarantined = rows.length > 0 ? await emptyQuarantine(client, request, 'id = ANY ($3::bigint[])', rows) : 0;
  if (key.length === 0) return { ...NOTHING, quarantined, boundaries: 0 };
  const columns = ledger.sourceKey ?? [];
  if (columns.length === 0) throw new MigrationError('PLAN_INVALID', `dataset ${dataset} has no key. Name its quarantine entries (--row), or remove all of its undo data (--undo-data --dataset ${dataset}).`);
  if (columns.length !== key.length) throw new MigrationError('PLAN_INVALID', `the key of dataset ${dataset} is (${columns.join(', ')}): give --key ${columns.length === 1 ? 'once' : `${columns.length} times, in this order`}`);
  const stored = (await storeWriter(client))(key);
  const remove = async (table: string, column: string, value: readonly string[], more = ''): Promise<number> =>
    (await hasTable(client, table)) ? (await client.query(`DELETE FROM caravan.${table} WHERE migration = $1 AND dataset = $2 AND ${column} = $3 ${more}`, [migration, dataset, value])).rowCount ?? 0 : 0;
  const images = await remove('before_image', 'target_key', targetKey);
  const brought = await remove('merged_key', 'target_key', targetKey, 'AND inserted');
  // Undo data that was erased on purpose is not missing.
  await client.query('UPDATE caravan.dataset SET undo_erased = undo_erased + $3 WHERE migration = $1 AND dataset = $2', [migration, dataset, images + brought]);
  await client.query('UPDATE caravan.commit SET from_key = CASE WHEN from_key = $3 THEN NULL ELSE from_key END, to_key = CASE WHEN to_key = $3 THEN NULL ELSE to_key END WHERE migration = $1 AND dataset = $2 AND (from_key = $3 OR to_key = $3)', [migration, dataset, stored]);
  return {
    images, keys: brought + await remove('merged_key', 'target_key', targetKey),
    conflicts: await remove('rollback_conflict', 'key', targetKey), exports: await remove('exported_row', 'key', targetKey),
    differences: await remove('difference', 'source_key', stored) + await remove('difference', 'target_key', targetKey),
    quarantined: quarantined + await emptyQuarantine(client, request, 'source_key = $3', stored),
    boundaries: await countBoundaries(client, migration, dataset, stored),
  };
}

/** The entries stay for the accounting, without content and key. An open one is over: there is nothing left to write. */
async function emptyQuarantine(client: ClientBase, { migration, dataset, by }: SubjectRequest, which: string, value: readonly string[]): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE caravan.quarantine SET columns = '{}', content = '{}', source_key = NULL,
       state = CASE state WHEN 'open' THEN 'gone' ELSE state END, decided_by = coalesce(decided_by, $4), decided_reason = coalesce(decided_reason, 'erased on request'), decided_at = coalesce(decided_at, clock_timestamp())
     WHERE migration = $1 AND dataset = $2 AND ${which} AND (content <> '{}' OR source_key IS NOT NULL)`, [migration, dataset, value, by]);
  return rowCount ?? 0;
}

/** A key that marks where a split begins or ends is needed as long as this generation is the current one. */
async function countBoundaries(client: ClientBase, migration: string, dataset: string, key: readonly string[]): Promise<number> {
  const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM caravan.split WHERE migration = $1 AND dataset = $2 AND (after_key = $3 OR upto_key = $3 OR cursor_key = $3)', [migration, dataset, key]);
  return rows[0]?.n ?? 0;
}

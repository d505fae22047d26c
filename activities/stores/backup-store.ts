import type { BackupEvidence, StoredBackup } from '../../migration/preparation/backup';
import type { RunRef, Side } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { audit, hasTable, updateUnderLease } from './control-store';

/** Backups of a migration, newest first. Those whose folder was removed are among them, as `removed`. */
export async function readBackups(control: PostgresSystem, migration: string): Promise<StoredBackup[]> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'backup'))) return [];
    const { rows } = await client.query<StoredBackup>(
      `SELECT id::int AS id, lease::int AS lease, side, connection, state, evidence, to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "takenAt",
         to_char(verified_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "verifiedAt"
       FROM caravan.backup WHERE migration = $1 ORDER BY id DESC LIMIT 200`, [migration]);
    return rows;
  });
}

/** Records a backup that lies whole in its place and is not yet proved. Durable when it returns. @throws MigrationError `LEASE_LOST`. */
export async function enterBackup(control: PostgresSystem, ref: RunRef, side: Side, connection: string, evidence: BackupEvidence): Promise<number> {
  return control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    const { rows } = await client.query<{ id: number }>(
      `INSERT INTO caravan.backup (migration, lease, side, connection, state, evidence) VALUES ($1, $2, $3, $4, 'taken', $5) RETURNING id::int AS id`,
      [ref.migration, ref.lease, side, connection, JSON.stringify(evidence)]);
    await audit(client, ref.migration, 'caravan', 'backup_taken', { side, connection, rows: evidence.rows, bytes: evidence.bytes });
    return rows[0]?.id ?? 0;
  });
}

/** Records what the restore proved, or that the folder is gone. Durable when it returns; a repeat changes nothing. @throws MigrationError `LEASE_LOST`. */
export async function judgeBackup(control: PostgresSystem, ref: RunRef, id: number, state: 'verified' | 'failed' | 'removed', evidence: BackupEvidence): Promise<void> {
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    const { rows } = await client.query<{ side: Side; connection: string }>(
      `UPDATE caravan.backup SET state = $3, evidence = $4, verified_at = CASE WHEN $3 = 'verified' THEN clock_timestamp() ELSE verified_at END WHERE id = $1 AND migration = $2 AND state <> $3 RETURNING side, connection`,
      [id, ref.migration, state, JSON.stringify(evidence)]);
    if (rows[0]) await audit(client, ref.migration, 'caravan', `backup_${state}`, { ...rows[0], rows: evidence.rows, tables: evidence.tables.length });
  });
}

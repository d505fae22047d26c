import { hostname } from 'node:os';
import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { BackupTable, StoredBackup } from '../../migration/preparation/backup';
import type { RunRef } from '../../migration/protocol';
import { ownRowsOf } from '../connectors/postgres/catalog';
import { displayName, type TableName } from '../connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from '../connectors/postgres/system';
import { disableTriggers, dropForLoad, rebuild, type DroppedObject } from '../connectors/postgres/target-objects';
import type { ActivityDependencies } from '../dependencies';
import { readBackups } from '../stores/backup-store';
import { BackupFolder } from './backup-folder';
import { digestTable } from './table-digest';
import { fillFrom } from './verify-built-in';

/** What other objects lean on comes first. */
const ORDER: DroppedObject['kind'][] = ['index', 'unique', 'check', 'foreign_key', 'trigger'];

export interface RestoreRequest {
  ref: RunRef;
  /** Absent: all that the backup holds. */
  datasets?: readonly string[];
  /** Runs in the transaction of the restore, for what must change with it (the ledger). */
  within?: (client: ClientBase, restored: readonly RestoredTable[]) => Promise<void>;
}
export interface RestoredTable { dataset: string; rows: number }

/**
 * Puts the target tables of datasets back to what the last verified backup of the target holds: one transaction per connection empties them, fills them, compares their digests
 * with those of the backup, and gives back indexes, foreign keys and triggers. Rows that were written since are gone: export them first. Sequences stay where they are, which is further.
 * A failure changes nothing. The ledger is the caller's (`within`).
 * @throws MigrationError `BACKUP_FAILED`: no verified backup, not on this machine, damaged, or taken by a tool of the team.
 */
export async function restoreFromBackup(deps: ActivityDependencies, control: PostgresSystem, { ref, datasets, within }: RestoreRequest): Promise<RestoredTable[]> {
  const backups = await lastOfEachConnection(control, ref.migration);
  const held = new Set(backups.flatMap(({ evidence }) => evidence.tables.map(({ dataset }) => dataset)));
  const byTool = backups.find(({ evidence }) => evidence.by === 'tool');
  if (byTool) throw new MigrationError('BACKUP_FAILED', `the backup of ${byTool.connection} was taken by ${byTool.evidence.tool ?? 'a tool of your own'}: restore it with that tool.`);
  const missing = datasets?.filter((name) => !held.has(name)) ?? [];
  if (missing.length > 0 || held.size === 0) throw new MigrationError('BACKUP_FAILED', `no verified backup of the target holds ${missing.join(', ') || 'anything'}. Restore it with what you have, or take the migration back by its journal.`);
  const restored: RestoredTable[] = [];
  for (const backup of backups) {
    const tables = backup.evidence.tables.filter(({ dataset }) => datasets?.includes(dataset) ?? true);
    if (tables.length === 0) continue;
    const folder = await folderOf(backup);
    restored.push(...(await asPostgres(deps.systems.open(backup.connection)).transaction(async (client) => {
      await client.query(`SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL search_path = ''`);
      const done = await restoreTables(client, folder, tables);
      await within?.(client, done);
      return done;
    })));
  }
  return restored;
}

async function lastOfEachConnection(control: PostgresSystem, migration: string): Promise<StoredBackup[]> {
  const verified = (await readBackups(control, migration)).filter(({ side, state }) => side === 'target' && state === 'verified');
  return verified.filter((one, at) => verified.findIndex(({ connection }) => connection === one.connection) === at);
}

async function folderOf({ connection, evidence }: StoredBackup): Promise<BackupFolder> {
  const folder = new BackupFolder(evidence.folder ?? '');
  if (!(await folder.manifest())) throw new MigrationError('BACKUP_FAILED', `the backup of ${connection} is not on this machine (${hostname()}): it was taken on ${evidence.host} in ${folder.place}. Run a worker there, or bring the folder here.`);
  return folder;
}

async function restoreTables(client: ClientBase, folder: BackupFolder, tables: readonly BackupTable[]): Promise<RestoredTable[]> {
  const places = tables.map((table): TableName => ({ schema: table.schema, name: table.table }));
  const away: DroppedObject[] = [];
  for (const place of places) away.push(...(await dropForLoad(client, place, { isLoading: () => true })), ...(await disableTriggers(client, place)));
  const froms: string[] = [];
  for (const place of places) froms.push(await ownRowsOf(client, place));
  await client.query(`TRUNCATE ${froms.join(', ')}`);
  const restored: RestoredTable[] = [];
  for (const [at, table] of tables.entries()) {
    const place = places[at] as TableName;
    await fillFrom(client, folder, table, place);
    const found = await digestTable(client, froms[at] ?? '', table.columns.map(({ name }) => name));
    if (found.rows !== table.rows || found.digest !== table.digest) throw new MigrationError('BACKUP_FAILED', `${displayName(place)}: the rows that were restored are not those of the backup; nothing was changed.`, { dataset: table.dataset });
    restored.push({ dataset: table.dataset, rows: found.rows });
  }
  for (const object of away.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))) await rebuild(client, object);
  return restored;
}

import { hostname } from 'node:os';
import type { Client } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { BackupEvidence, BackupTable } from '../../migration/preparation/backup';
import type { Side } from '../../migration/protocol';
import { findRelation, readColumns, withEmptySearchPath } from '../connectors/postgres/catalog';
import { copyOut } from '../connectors/postgres/copy-out';
import { sqlState, toMigrationError } from '../connectors/postgres/errors';
import { columnList, displayName, qualified, type TableName } from '../connectors/postgres/sql';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { BackupFolder } from './backup-folder';
import { digestTable } from './table-digest';

const LIMITS = { rowsMax: 10_000, bytesMax: 4 * 1024 * 1024 };
/** A text that its database's encoding gives no meaning to. */
const NO_TEXT = new Set(['22P05', '22021']);

export interface TableToSave { dataset: string; table: TableName }
export interface BackupRequest { migration: string; side: Side; tables: readonly TableToSave[]; left: BackupEvidence['left']; signal: AbortSignal }

/**
 * Every row of the tables, as COPY text in UTF-8, all at one moment of the database, with digests that the server computes at the same moment.
 * Whole when it returns: files, then the manifest. Memory: a few chunks. A repeat begins again, for a snapshot ends with its connection.
 * @throws MigrationError `BACKUP_FAILED`, and those of the connection.
 */
export async function takeBuiltIn(system: PostgresSystem, folder: BackupFolder, { migration, side, tables, left, signal }: BackupRequest): Promise<BackupEvidence> {
  const begun = Date.now();
  await folder.begin();
  const saved: BackupTable[] = [];
  const client = await system.connect();
  try {
    await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''`);
    for (const [at, one] of tables.entries()) saved.push(await saveTable(client, folder, one, `${at + 1}-${one.dataset}.copy`, signal));
  } catch (error) {
    throw toMigrationError(error, `connection ${system.config.name}`);
  } finally {
    await client.end().catch(() => undefined);
  }
  await folder.finish({ format: 1, migration, side, connection: system.config.name, server: (await system.identity())['system'] ?? '', tables: saved });
  return {
    by: 'built in', folder: folder.place, host: hostname(), tables: saved, left, takenMs: Date.now() - begun,
    rows: saved.reduce((sum, { rows }) => sum + rows, 0), bytes: saved.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

async function saveTable(client: Client, folder: BackupFolder, { dataset, table }: TableToSave, file: string, signal: AbortSignal): Promise<BackupTable> {
  signal.throwIfAborted();
  const relation = await findRelation(client, table);
  if (!relation) throw new MigrationError('BACKUP_FAILED', `backup of ${dataset}: there is no table ${displayName(table)}.`, { dataset });
  // What the server computes by itself comes back by itself.
  const columns = (await withEmptySearchPath(client, () => readColumns(client, [relation.oid]))).filter(({ generated }) => generated === '').map(({ name, type }) => ({ name, type }));
  const names = columns.map(({ name }) => name);
  const from = `${relation.hasChildren ? 'ONLY ' : ''}${qualified(table)}`;
  try {
    const { rows, digest } = await digestTable(client, from, names);
    const written = await folder.write(file, copyOut(client, `COPY (SELECT ${columnList(names)} FROM ${from}) TO STDOUT`, 'text', LIMITS, signal));
    return { dataset, schema: table.schema, table: table.name, file, rows, digest, columns, ...written };
  } catch (error) {
    if (!NO_TEXT.has(sqlState(error) ?? '')) throw error;
    throw new MigrationError('BACKUP_FAILED', `backup of ${dataset}: ${displayName(table)} holds texts that mean nothing in the encoding of its database, which the built-in backup does not carry. Use a tool of your own (backup.command and backup.verify).`, { dataset });
  }
}

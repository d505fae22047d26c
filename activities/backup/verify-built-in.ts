import type { ClientBase } from 'pg';
import { isMigrationError, MigrationError } from '../../migration/errors';
import type { BackupTable } from '../../migration/preparation/backup';
import { readRows } from '../connectors/postgres/catalog';
import { copyIn } from '../connectors/postgres/copy-in';
import { toMigrationError } from '../connectors/postgres/errors';
import { columnList, quoteIdent, qualified, type TableName } from '../connectors/postgres/sql';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { BackupFolder } from './backup-folder';
import { digestTable } from './table-digest';

/**
 * Restores every table of a backup into a scratch schema of this database, one at a time, and compares its rows with those that were there when it was taken.
 * All of it in a transaction that is rolled back: nothing is left behind, also when the worker dies. Needs room for the largest table.
 * @throws MigrationError `BACKUP_FAILED` that names the dataset.
 */
export async function verifyBuiltIn(system: PostgresSystem, folder: BackupFolder, tables: readonly BackupTable[], signal: AbortSignal): Promise<void> {
  for (const [at, table] of tables.entries()) {
    signal.throwIfAborted();
    const client = await system.connect();
    try {
      await client.query(`BEGIN; SET LOCAL search_path = ''; SET LOCAL synchronous_commit = off`);
      await restoreAndCompare(client, folder, table, { schema: `caravan_verify_${process.pid}`, name: `t${at}` });
    } catch (error) {
      throw broken(error, table);
    } finally {
      await client.query('ROLLBACK').catch(() => undefined);
      await client.end().catch(() => undefined);
    }
  }
}

async function restoreAndCompare(client: ClientBase, folder: BackupFolder, table: BackupTable, scratch: TableName): Promise<void> {
  await client.query(`CREATE SCHEMA ${quoteIdent(scratch.schema)}`);
  const types = await loadableTypes(client, table);
  await client.query(`CREATE TABLE ${qualified(scratch)} (${table.columns.map(({ name }, at) => `${quoteIdent(name)} ${types[at] ?? 'text'}`).join(', ')})`);
  await fillFrom(client, folder, table, scratch);
  const found = await digestTable(client, qualified(scratch), table.columns.map(({ name }) => name));
  if (found.rows !== table.rows) throw new MigrationError('BACKUP_FAILED', `backup of ${table.dataset}: ${found.rows} rows were restored, and ${table.rows} were there when it was taken.`, { dataset: table.dataset });
  if (found.digest !== table.digest) throw new MigrationError('BACKUP_FAILED', `backup of ${table.dataset}: its ${table.rows} rows were restored, but they are not the rows that were there when it was taken.`, { dataset: table.dataset });
}

/** Loads the file of a table into a table with its columns. @throws MigrationError `BACKUP_FAILED` when the file is not as it was written. */
export async function fillFrom(client: ClientBase, folder: BackupFolder, table: BackupTable, into: TableName): Promise<void> {
  await copyIn(client, `COPY ${qualified(into)} (${columnList(table.columns.map(({ name }) => name))}) FROM STDIN`, 'text', folder.read(table));
}

/** Types of the source that this database lacks are restored as the text they were saved as. */
async function loadableTypes(client: ClientBase, { columns }: BackupTable): Promise<string[]> {
  const rows = await readRows<{ type: string; known: boolean }>(
    client, `SELECT t.type, pg_catalog.to_regtype(pg_catalog.regexp_replace(t.type, '\\([0-9, -]+\\)', '')) IS NOT NULL AS known FROM unnest($1::text[]) WITH ORDINALITY t(type, ordinal) ORDER BY ordinal`, [columns.map(({ type }) => type)]);
  return rows.map(({ type, known }) => (known ? type : 'text'));
}

function broken(error: unknown, { dataset }: BackupTable): MigrationError {
  if (isMigrationError(error)) return error;
  const known = toMigrationError(error, `backup of ${dataset}`);
  if (known.kind === 'transient' || known.code === 'PRIVILEGE_MISSING') return known;
  // Damage shows first where a value cannot be read any more.
  return new MigrationError('BACKUP_FAILED', `backup of ${dataset}: it cannot be restored. ${known.message}`, { dataset, damaged: true });
}

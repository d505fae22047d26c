import { firstNames } from '../../../migration/name-list';
import type { Client, ClientBase } from 'pg';
import { toMigrationError } from './errors';
import { displayName, type TableName } from './sql';
import type { PostgresSystem } from './system';

/** Runs `work` on a connection of its own with admin rights; an abort closes it, and whatever it began is rolled back. Driver errors leave as MigrationError. */
export async function withAdmin<T>(system: PostgresSystem, signal: AbortSignal | undefined, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await system.connectAdmin();
  const stop = (): void => void client.end().catch(() => undefined);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await work(client);
  } catch (error) {
    signal?.throwIfAborted();
    throw toMigrationError(error, `connection ${system.config.name}`);
  } finally {
    signal?.removeEventListener('abort', stop);
    await client.end().catch(() => undefined);
  }
}

/** One transaction: commits when `work` returns, rolls back when it throws. */
export async function inTransaction<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** For the rest of the transaction. */
export async function setLockTimeout(client: ClientBase, milliseconds: number): Promise<void> {
  await client.query(`SELECT set_config('lock_timeout', $1, true)`, [`${Math.max(1, Math.floor(milliseconds))}ms`]);
}

/** The first five, and how many more. */
export function listed(relations: readonly TableName[]): string {
  return firstNames(relations.map(displayName));
}

export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

import type { ClientBase } from 'pg';
import { toMigrationError } from './errors';

/** Runs a statement that may fail: true when it worked, else the reason without row values. Needs a transaction. */
export async function attempt(client: ClientBase, sql: string): Promise<true | string> {
  await client.query('SAVEPOINT caravan_attempt');
  try {
    await client.query(sql);
    await client.query('RELEASE SAVEPOINT caravan_attempt');
    return true;
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT caravan_attempt');
    return toMigrationError(error, 'the target said').message;
  }
}

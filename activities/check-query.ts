import { CancelledFailure } from '@temporalio/activity';
import type { PoolClient } from 'pg';
import { isMigrationError, MigrationError } from '../migration/errors';
import type { Answer } from './check-answer';
import { sqlState } from './connectors/postgres/errors';
import { embedded } from './connectors/postgres/sql';
import type { PostgresSystem } from './connectors/postgres/system';

export type { Answer } from './check-answer';

const TIME_LIMIT_MINUTES = 30;
const TEXT = { getTypeParser: () => (text: string | Buffer) => String(text) };

/**
 * The one value that a person's SQL gives, in a read-only transaction that is always rolled back, with a limit of 30 minutes.
 * The SQL runs as a subquery through the extended protocol: it can be one SELECT only, and no more than two rows ever arrive.
 * On abort the query is cancelled in the server.
 * @throws MigrationError whose message begins with `place`: `SQL_INVALID`, `OBJECT_MISSING`, `PRIVILEGE_MISSING`, those of the connection.
 */
export async function answerOf(system: PostgresSystem, sql: string, place: string, signal: AbortSignal): Promise<Answer> {
  try {
    return await system.transaction((client) => askOnce(client, system, sql, signal), 'BEGIN TRANSACTION READ ONLY');
  } catch (error) {
    if (signal.aborted) throw new CancelledFailure(`${place}: cancelled`);
    if (isMigrationError(error)) throw new MigrationError(error.code, `${place}: ${error.message}`, error.details);
    throw error;
  }
}

async function askOnce(client: PoolClient, system: PostgresSystem, sql: string, signal: AbortSignal): Promise<Answer> {
  const { rows: [backend] } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await client.query(`SET LOCAL statement_timeout = '${TIME_LIMIT_MINUTES}min'`);
  const cancel = (): void => void system.use((other) => other.query('SELECT pg_catalog.pg_cancel_backend($1)', [backend?.pid])).catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  try {
    signal.throwIfAborted();
    // `queryMode` is missing in the driver's types: without parameters only it asks for the extended protocol, which takes one statement.
    const query = { text: `SELECT * FROM (${embedded(sql)}) AS answer LIMIT 2`, rowMode: 'array' as const, types: TEXT, queryMode: 'extended' };
    const { rows, fields } = await client.query<(string | null)[]>(query);
    if (rows.length !== 1 || fields.length !== 1) return { state: 'no_answer', reason: `not one value (${rows.length > 1 ? 'several' : rows.length} rows, ${fields.length} columns)` };
    return { state: 'answer', value: rows[0]?.[0] ?? null };
  } catch (error) {
    if (sqlState(error) === '57014' && !signal.aborted) return { state: 'no_answer', reason: `no answer within ${TIME_LIMIT_MINUTES} minutes` };
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

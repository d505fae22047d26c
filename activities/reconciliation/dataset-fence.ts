import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import { sqlState } from '../connectors/postgres/errors';
import type { PostgresSystem } from '../connectors/postgres/system';
import { noCounts, type Counts } from '../../migration/accounting';
import type { DatasetRow } from '../stores/ledger';

const LOCK_WAIT = '5s';
const ATTEMPTS = 3;

/** Who acts on a dataset as a whole: index builds, unique pass, references, replay, repair. A stale holder changes nothing. */
export interface DatasetFence { migration: string; dataset: string; generation: number; fence: string }

/**
 * The dataset as the caller found it, and the states in which its work makes sense. A worker that was away for a while must not take the fence of a dataset
 * that others have finished, taken back or begun again meanwhile: what it decided before is no longer true. Left out: the caller looks once more under the fence.
 */
export interface FenceClaim { migration: string; dataset: string; generation?: number; states?: readonly DatasetRow['state'][] }

/**
 * Takes the fence in a transaction of its own. Waits 5 s for a former holder's open transaction, then ends that very backend
 * (told by its application name): an abandoned index build would otherwise hold the next attempt up for hours.
 * While the fence is held, generation and state stay as they are. @throws MigrationError `FENCED` when the ledger does not know the dataset so.
 */
export async function takeDatasetFence(system: PostgresSystem, claim: FenceClaim): Promise<DatasetFence> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await system.use((client) => takeOnce(client, claim));
    } catch (error) {
      const busy = error instanceof MigrationError && error.details.sqlstate === '55P03';
      if (!busy || attempt === ATTEMPTS) throw error;
      await system.use((client) => endFormerHolder(client, claim));
    }
  }
}

async function takeOnce(client: ClientBase, { migration, dataset, generation, states }: FenceClaim): Promise<DatasetFence> {
  await client.query(`BEGIN; SET LOCAL lock_timeout = '${LOCK_WAIT}'`);
  try {
    const { rows } = await client.query<{ fence: string; generation: number }>(
      `UPDATE caravan.dataset SET fence = fence + 1
       WHERE migration = $1 AND dataset = $2 AND generation = coalesce($3::int, generation) AND state = ANY (coalesce($4::text[], ARRAY[state]))
       RETURNING fence::text AS fence, generation`,
      [migration, dataset, generation ?? null, states ?? null]);
    await client.query('COMMIT');
    const row = rows[0];
    if (!row) throw new MigrationError('FENCED', `dataset ${dataset} is not as this attempt found it, or was never copied: another worker has gone on with it; this attempt changed nothing and stops`);
    return { migration, dataset, generation: row.generation, fence: row.fence };
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (sqlState(error) === '55P03') throw new MigrationError('SYSTEM_BUSY', `dataset ${dataset}: another step still works on it`, { sqlstate: '55P03' });
    throw error;
  }
}

async function endFormerHolder(client: ClientBase, { migration, dataset }: FenceClaim): Promise<void> {
  await client.query(
    `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
     WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()`, [tagOf(migration, dataset)]);
}

/** Names are longer than an application name may be. */
function tagOf(migration: string, dataset: string): string {
  return `caravan-hold-${createHash('sha256').update(`${migration}\0${dataset}`).digest('hex').slice(0, 24)}`;
}

/** One transaction under the fence: first statement locks the dataset for this holder, or nothing happens. @throws MigrationError `FENCED`. */
export function underFence<T>(system: PostgresSystem, held: DatasetFence, work: (client: ClientBase) => Promise<T>): Promise<T> {
  return system.transaction(async (client) => {
    await guardDataset(client, held);
    return work(client);
  });
}

/** First statement of each transaction under the fence. @throws MigrationError `FENCED`. */
export async function guardDataset(client: ClientBase, held: DatasetFence): Promise<void> {
  await client.query(`SET LOCAL application_name = '${tagOf(held.migration, held.dataset)}'`);
  const { rowCount } = await client.query(
    'SELECT 1 FROM caravan.dataset WHERE migration = $1 AND dataset = $2 AND generation = $3 AND fence = $4 FOR UPDATE',
    [held.migration, held.dataset, held.generation, held.fence]);
  if (rowCount !== 1) throw new MigrationError('FENCED', `dataset ${held.dataset}: another worker has taken over; this attempt changed nothing and stops`);
}

/** Records rows that changed their class after their commit, in the transaction that moves them. Numbers may be negative. */
export async function adjust(client: ClientBase, held: Omit<DatasetFence, 'fence'>, cause: string, change: Partial<Counts>): Promise<void> {
  const counts = { ...noCounts(), ...change };
  if (Object.values(counts).every((count) => count === 0)) return;
  await client.query(
    `INSERT INTO caravan.adjustment (migration, dataset, generation, cause, read_rows, written_rows, unchanged_rows, quarantined_rows, filtered_rows)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [held.migration, held.dataset, held.generation, cause, counts.read, counts.written, counts.unchanged, counts.quarantined, counts.filtered]);
}

import type { ClientBase } from 'pg';
import { addCounts, assertAccounted, noCounts, type Counts } from '../../migration/accounting';
import type { Checkpoint } from '../../migration/checkpoint';
import type { QuarantineEntry } from '../../migration/connector';
import { MigrationError } from '../../migration/errors';
import type { KeyText, SplitBounds } from '../../migration/split';
import type { PostgresSystem } from '../connectors/postgres/system';
import { LEDGER_SCHEMA } from './ledger-schema';
import { fromStore, storeWriter } from './stored-text';

/** Names one split of one generation. */
export interface SplitId { migration: string; dataset: string; generation: number; ordinal: number }

export interface DatasetRow {
  generation: number;
  epoch: string;
  state: 'open' | 'copied' | 'closed' | 'undone';
  keyed: boolean;
  sourceKey: string[] | null;
  base: 'empty' | 'foreign';
  planHash: string;
  mappingDigest: string;
  engineVersion: string;
  /** Latest amendment of the plan that this generation follows; 0: none. */
  amendment: number;
}

/** What a commit stores beside the rows. */
export interface CommitRecord { commitNo: number; counts: Counts; fromKey: KeyText | null; toKey: KeyText | null; done: boolean }

const INSTALL_LOCK = 7_202_611;
const installed = new WeakSet<PostgresSystem>();

/** Creates the ledger in a target, once. Safe to repeat and to run from several workers at once. */
export async function installLedger(target: PostgresSystem): Promise<void> {
  if (installed.has(target)) return;
  await target.transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [INSTALL_LOCK]);
    await client.query(LEDGER_SCHEMA);
  });
  installed.add(target);
}

const COUNT_COLUMNS = 'read_rows, written_rows, unchanged_rows, quarantined_rows, filtered_rows';
const COUNT_SUMS = 'coalesce(sum(read_rows), 0) AS read_rows, coalesce(sum(written_rows), 0) AS written_rows, coalesce(sum(unchanged_rows), 0) AS unchanged_rows, coalesce(sum(quarantined_rows), 0) AS quarantined_rows, coalesce(sum(filtered_rows), 0) AS filtered_rows';

interface CountRow { read_rows: string; written_rows: string; unchanged_rows: string; quarantined_rows: string; filtered_rows: string }

/** Row counts stay below 2^53 by far. */
export function countsOf(row: CountRow): Counts {
  return {
    read: Number(row.read_rows), written: Number(row.written_rows), unchanged: Number(row.unchanged_rows),
    quarantined: Number(row.quarantined_rows), filtered: Number(row.filtered_rows),
  };
}

export async function loadDatasetRow(client: ClientBase, migration: string, dataset: string, lock: '' | 'FOR SHARE' | 'FOR UPDATE' = ''): Promise<DatasetRow | null> {
  const { rows } = await client.query<{ generation: number; epoch: string; state: DatasetRow['state']; keyed: boolean; source_key: string[] | null; base: DatasetRow['base']; plan_hash: string; mapping_digest: string; engine_version: string; amendment: number }>(
    `SELECT generation, epoch, state, keyed, source_key, base, plan_hash, mapping_digest, engine_version, coalesce((to_jsonb(dataset.*) ->> 'amendment')::int, 0) AS amendment FROM caravan.dataset WHERE migration = $1 AND dataset = $2 ${lock}`,
    [migration, dataset],
  );
  const row = rows[0];
  return row
    ? { generation: row.generation, epoch: row.epoch, state: row.state, keyed: row.keyed, sourceKey: row.source_key, base: row.base, planHash: row.plan_hash, mappingDigest: row.mapping_digest, engineVersion: row.engine_version, amendment: row.amendment }
    : null;
}

/** Freezes the bounds of a generation. They are never planned again for it. */
export async function insertSplits(client: ClientBase, id: Omit<SplitId, 'ordinal'>, bounds: readonly SplitBounds[]): Promise<void> {
  const stored = await storeWriter(client);
  for (const [ordinal, { after, upTo }] of bounds.entries()) {
    await client.query(
      'INSERT INTO caravan.split (migration, dataset, generation, ordinal, after_key, upto_key) VALUES ($1, $2, $3, $4, $5, $6)',
      [id.migration, id.dataset, id.generation, ordinal, after && stored(after), upTo && stored(upTo)],
    );
  }
}

export async function unfinishedSplits(client: ClientBase, id: Omit<SplitId, 'ordinal'>): Promise<{ count: number; unfinished: number[] }> {
  const { rows } = await client.query<{ ordinal: number; done: boolean }>(
    'SELECT ordinal, done FROM caravan.split WHERE migration = $1 AND dataset = $2 AND generation = $3 ORDER BY ordinal',
    [id.migration, id.dataset, id.generation],
  );
  return { count: rows.length, unfinished: rows.filter((row) => !row.done).map((row) => row.ordinal) };
}

/** Sum over splits and adjustments. @throws MigrationError `ACCOUNTING_BROKEN`. */
export async function datasetCounts(client: ClientBase, id: Omit<SplitId, 'ordinal'>): Promise<Counts> {
  const parameters = [id.migration, id.dataset, id.generation];
  const sum = async (table: string): Promise<Counts> => {
    const { rows } = await client.query<CountRow>(`SELECT ${COUNT_SUMS} FROM caravan.${table} WHERE migration = $1 AND dataset = $2 AND generation = $3`, parameters);
    return rows[0] ? countsOf(rows[0]) : noCounts();
  };
  const counts = addCounts(await sum('split'), await sum('adjustment'));
  assertAccounted(counts, `dataset ${id.dataset}`);
  return counts;
}

export interface TakenSplit { fence: string; checkpoint: Checkpoint; bounds: SplitBounds }

/**
 * Takes a split's fence, in its own transaction on the connection that will write. From here on the former holder's commits change nothing.
 * Waits `lockTimeoutMs` for a transaction the former holder still has open, then terminates that backend: a client stalled inside
 * COPY ignores statement_timeout and cancel.
 */
export async function takeFence(client: ClientBase, id: SplitId, lockTimeoutMs = 5_000): Promise<TakenSplit> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await takeFenceOnce(client, id, lockTimeoutMs);
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      if ((error as { code?: string }).code !== '55P03' || attempt > 3) throw error;
      await terminateHolder(client, id);
    }
  }
}

async function takeFenceOnce(client: ClientBase, id: SplitId, lockTimeoutMs: number): Promise<TakenSplit> {
  await client.query('BEGIN');
  await client.query(`SET LOCAL lock_timeout = ${Math.trunc(lockTimeoutMs)}`);
  const { rows } = await client.query<CountRow & { fence: string; cursor_key: KeyText | null; after_key: KeyText | null; upto_key: KeyText | null; commit_no: string; done: boolean }>(
    `UPDATE caravan.split SET fence = fence + 1, holder_pid = pg_backend_pid(),
       holder_started = (SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()), updated_at = clock_timestamp()
     WHERE migration = $1 AND dataset = $2 AND generation = $3 AND ordinal = $4
     RETURNING fence, cursor_key, after_key, upto_key, commit_no, done, ${COUNT_COLUMNS}`,
    [id.migration, id.dataset, id.generation, id.ordinal],
  );
  await client.query('COMMIT');
  const row = rows[0];
  if (!row) throw new MigrationError('FENCED', `dataset ${id.dataset}: split ${id.ordinal} of generation ${id.generation} is no longer in the ledger; a newer generation has replaced it`);
  const counts = countsOf(row);
  assertAccounted(counts, `dataset ${id.dataset}, split ${id.ordinal}`);
  return { fence: row.fence, checkpoint: { cursor: fromStore(row.cursor_key), commitNo: Number(row.commit_no), counts, done: row.done }, bounds: { after: fromStore(row.after_key), upTo: fromStore(row.upto_key) } };
}

/** Only the very backend that the ledger recorded: same pid and same start. */
async function terminateHolder(client: ClientBase, id: SplitId): Promise<void> {
  await client.query(
    `SELECT pg_catalog.pg_terminate_backend(a.pid) FROM caravan.split s JOIN pg_catalog.pg_stat_activity a ON a.pid = s.holder_pid AND a.backend_start = s.holder_started
     WHERE s.migration = $1 AND s.dataset = $2 AND s.generation = $3 AND s.ordinal = $4 AND a.pid <> pg_backend_pid()`,
    [id.migration, id.dataset, id.generation, id.ordinal],
  );
}

/** Ends every session that writes a split of this dataset right now, as the ledger recorded them. What they had begun is rolled back. */
export async function endCopies(client: ClientBase, migration: string, dataset: string): Promise<void> {
  await client.query(
    `SELECT pg_catalog.pg_terminate_backend(a.pid) FROM caravan.split s JOIN pg_catalog.pg_stat_activity a ON a.pid = s.holder_pid AND a.backend_start = s.holder_started
     WHERE s.migration = $1 AND s.dataset = $2 AND a.pid <> pg_backend_pid()`, [migration, dataset]);
}

/**
 * First statement of every commit: locks the split for this holder, only if fence, commit number, generation and epoch are all current.
 * @throws MigrationError `FENCED` otherwise: nothing may be written then.
 */
export async function guardCommit(client: ClientBase, id: SplitId, fence: string, commitNo: number, epoch: string): Promise<void> {
  const { rowCount: current } = await client.query(
    `SELECT 1 FROM caravan.dataset WHERE migration = $1 AND dataset = $2 AND generation = $3 AND epoch = $4 AND state = 'open' FOR SHARE`,
    [id.migration, id.dataset, id.generation, epoch],
  );
  const { rowCount: held } = current === 1
    ? await client.query(
        `UPDATE caravan.split SET commit_no = $6 WHERE migration = $1 AND dataset = $2 AND generation = $3 AND ordinal = $4 AND fence = $5 AND commit_no = $6 - 1 AND NOT done`,
        [id.migration, id.dataset, id.generation, id.ordinal, fence, commitNo],
      )
    : { rowCount: 0 };
  if (held !== 1) {
    throw new MigrationError('FENCED', `dataset ${id.dataset}, split ${id.ordinal}: another worker has taken over; this attempt wrote nothing and stops`);
  }
}

/** Last statements of a commit, in the rows' transaction. The accounting identity is a constraint of both tables. */
export async function recordCommit(client: ClientBase, id: SplitId, fence: string, record: CommitRecord): Promise<void> {
  const { counts } = record;
  const stored = await storeWriter(client);
  const [fromKey, toKey] = [record.fromKey && stored(record.fromKey), record.toKey && stored(record.toKey)];
  assertAccounted(counts, `dataset ${id.dataset}, split ${id.ordinal}, commit ${record.commitNo}`);
  const key = [id.migration, id.dataset, id.generation, id.ordinal];
  const numbers = [counts.read, counts.written, counts.unchanged, counts.quarantined, counts.filtered];
  await client.query(
    `INSERT INTO caravan.commit (migration, dataset, generation, ordinal, commit_no, fence, ${COUNT_COLUMNS}, from_key, to_key)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [...key, record.commitNo, fence, ...numbers, fromKey, toKey],
  );
  await client.query(
    `UPDATE caravan.split SET read_rows = read_rows + $5, written_rows = written_rows + $6, unchanged_rows = unchanged_rows + $7,
       quarantined_rows = quarantined_rows + $8, filtered_rows = filtered_rows + $9, cursor_key = coalesce($10, cursor_key), done = $11, updated_at = clock_timestamp()
     WHERE migration = $1 AND dataset = $2 AND generation = $3 AND ordinal = $4`,
    [...key, ...numbers, toKey, record.done],
  );
}

/** Counts of a commit that is already durable; null when it is not. */
export async function storedCommit(client: ClientBase, id: SplitId, commitNo: number): Promise<Counts | null> {
  const { rows } = await client.query<CountRow>(
    `SELECT ${COUNT_COLUMNS} FROM caravan.commit WHERE migration = $1 AND dataset = $2 AND generation = $3 AND ordinal = $4 AND commit_no = $5`,
    [id.migration, id.dataset, id.generation, id.ordinal, commitNo],
  );
  return rows[0] ? countsOf(rows[0]) : null;
}

/** Rows per INSERT into quarantine: far below the 65,535 parameters of one statement. */
const QUARANTINE_ROWS = 500;

/** In the commit's transaction: what may not be written, with its original content. */
export async function insertQuarantine(client: ClientBase, id: SplitId, commitNo: number, columns: string[], entries: readonly QuarantineEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const stored = await storeWriter(client);
  for (let from = 0; from < entries.length; from += QUARANTINE_ROWS) {
    const part = entries.slice(from, from + QUARANTINE_ROWS);
    const rows = part.map((_, at) => `($1, $2, $3, $4, $5, $${at * 3 + 7}, $${at * 3 + 8}, $6, $${at * 3 + 9})`);
    await client.query(
      `INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, source_key, reasons, columns, content) VALUES ${rows.join(', ')}`,
      [id.migration, id.dataset, id.generation, id.ordinal, commitNo, columns, ...part.flatMap((entry) => [entry.key && stored(entry.key), JSON.stringify(entry.rejection.reasons), stored(entry.content)])],
    );
  }
}

import type { ClientBase } from 'pg';
import type { Reason } from '../../migration/batch';
import type { KeyText } from '../../migration/split';
import { fromStore, storeWriter } from './stored-text';

export type QuarantineState = 'open' | 'replayed' | 'waived' | 'gone';

export interface QuarantineInsert {
  sourceKey: KeyText | null;
  reasons: Reason[];
  /** Whose columns `content` holds. */
  side: 'source' | 'target';
  columns: string[];
  content: (string | null)[];
}

/** A row as stored: content is original data. Mask it before it is shown. */
export interface QuarantineRow extends QuarantineInsert {
  id: string;
  dataset: string;
  generation: number;
  state: QuarantineState;
  decidedBy: string | null;
  decidedReason: string | null;
  createdAt: string;
}

/** Which rows are meant: all given conditions hold. */
export interface QuarantineFilter { migration: string; dataset?: string; rule?: string; /** One of these. */ rules?: readonly string[]; ids?: readonly string[]; states?: readonly QuarantineState[]; generation?: number; after?: string; limit?: number }

/** Rows that entered quarantine after the copy have no split. */
const NO_SPLIT = -1;

/** Puts rows into quarantine in the caller's transaction. Answers how many. The caller records the adjustment. */
export async function insertQuarantineRows(client: ClientBase, id: { migration: string; dataset: string; generation: number }, rows: readonly QuarantineInsert[]): Promise<number> {
  if (rows.length === 0) return 0;
  const stored = await storeWriter(client);
  for (const row of rows) {
    await client.query(
      `INSERT INTO caravan.quarantine (migration, dataset, generation, ordinal, commit_no, source_key, reasons, side, columns, content)
       VALUES ($1, $2, $3, ${NO_SPLIT}, 0, $4, $5, $6, $7, $8)`,
      [id.migration, id.dataset, id.generation, row.sourceKey && stored(row.sourceKey), JSON.stringify(row.reasons), row.side, row.columns, stored(row.content)]);
  }
  return rows.length;
}

interface StoredRow {
  id: string; dataset: string; generation: number; source_key: KeyText | null; reasons: Reason[]; side: 'source' | 'target'; columns: string[];
  content: (string | null)[]; state: QuarantineState; decided_by: string | null; decided_reason: string | null; created_at: string;
}

/** Rows in the order they came; only those of each dataset's current generation. */
export async function readQuarantine(client: ClientBase, filter: QuarantineFilter, lock: '' | 'FOR UPDATE OF q' = ''): Promise<QuarantineRow[]> {
  const { rows } = await client.query<StoredRow>(
    `SELECT q.id::text AS id, q.dataset, q.generation, q.source_key, q.reasons, q.side, q.columns, q.content, q.state, q.decided_by, q.decided_reason,
       to_char(q.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
     FROM caravan.quarantine q JOIN caravan.dataset d USING (migration, dataset, generation)
     WHERE q.migration = $1 AND ($2::text IS NULL OR q.dataset = $2) AND ($3::text[] IS NULL OR q.state = ANY ($3)) AND ($4::bigint[] IS NULL OR q.id = ANY ($4))
       AND ($5::text[] IS NULL OR EXISTS (SELECT FROM jsonb_array_elements(q.reasons) r WHERE r ->> 'rule' = ANY ($5))) AND q.id > $6
     ORDER BY q.id LIMIT $7 ${lock}`,
    [filter.migration, filter.dataset ?? null, filter.states ?? null, filter.ids ?? null, filter.rules ?? (filter.rule === undefined ? null : [filter.rule]), filter.after ?? '0', filter.limit ?? 1_000]);
  return rows.map((row) => ({
    id: row.id, dataset: row.dataset, generation: row.generation, sourceKey: row.source_key && fromStore(row.source_key), reasons: row.reasons, side: row.side, columns: row.columns,
    content: fromStore(row.content), state: row.state, decidedBy: row.decided_by, decidedReason: row.decided_reason, createdAt: row.created_at,
  }));
}

/** Closes a row, in the transaction that does what the new state says. False when it is no longer in one of the states `from`. */
export async function decideQuarantine(client: ClientBase, id: string, from: readonly QuarantineState[], to: QuarantineState, by: string, reason: string | null): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE caravan.quarantine SET state = $3, decided_by = $4, decided_reason = $5, decided_at = clock_timestamp() WHERE id = $1 AND state = ANY ($2)`,
    [id, from, to, by, reason]);
  return rowCount === 1;
}

/** The row stays where it is, for reasons that are current. */
export async function updateReasons(client: ClientBase, id: string, reasons: readonly Reason[]): Promise<void> {
  await client.query('UPDATE caravan.quarantine SET reasons = $2 WHERE id = $1', [id, JSON.stringify(reasons)]);
}

/** Rows of the current generation in quarantine, by state. */
export async function countQuarantine(client: ClientBase, migration: string, dataset: string): Promise<Record<QuarantineState, number>> {
  const { rows } = await client.query<{ state: QuarantineState; rows: string }>(
    `SELECT q.state, count(*)::text AS rows FROM caravan.quarantine q JOIN caravan.dataset d USING (migration, dataset, generation)
     WHERE q.migration = $1 AND q.dataset = $2 GROUP BY q.state`, [migration, dataset]);
  const counts = { open: 0, replayed: 0, waived: 0, gone: 0 };
  for (const row of rows) counts[row.state] = Number(row.rows);
  return counts;
}

import type { ClientBase } from 'pg';
import type { Selection } from '../../../migration/connector';
import type { KeyText, SplitBounds } from '../../../migration/split';
import { findRelation } from './catalog';
import { rowsOf } from './selection-sql';
import { columnList, embedded, parseTableName, qualified, quoteIdent } from './sql';

/** Above this many rows bounds come from a sample instead of a scan of the key. */
const EXACT_ROWS_MAX = 2_000_000;
/** A sample is of whole pages: fewer rows than this per split would make neighbouring splits very unequal where rows lie in key order. */
const SAMPLE_ROWS_PER_SPLIT = 2_000;
const SAMPLE_ROWS_MIN = 50_000;
/** A sample this small says that the estimate was wrong: a larger part of the table is looked at. */
const SAMPLE_ROWS_USABLE = 100;
const SAMPLE_GROWTH = 20;

export interface SplitRequest {
  selection: Selection;
  key: string[];
  rowsPerSplit: number;
  /** What the catalog says; may be stale. */
  rowsEstimate: number;
  exactRowsMax?: number;
}

/**
 * Bounds that cut the selection into parts of about `rowsPerSplit` rows, by the key's own order and collation: disjoint, together complete whatever the
 * statistics say, open at both ends. Small selections are cut exactly; of large stored tables a sample of pages is taken, a larger one where the first
 * finds far fewer rows than the statistics promise. How keys are spread makes no difference: bounds are quantiles of whole keys, never of a range.
 */
export async function planBounds(client: ClientBase, request: SplitRequest): Promise<SplitBounds[]> {
  const { rowsEstimate, rowsPerSplit, exactRowsMax = EXACT_ROWS_MAX } = request;
  if (rowsEstimate <= rowsPerSplit) return boundsOf([]);
  const sampled = rowsEstimate > exactRowsMax ? await sampledTable(client, request.selection) : null;
  if (sampled === null) return boundsOf(await exactMarks(client, request));
  const wanted = Math.max(SAMPLE_ROWS_MIN, Math.ceil(rowsEstimate / rowsPerSplit) * SAMPLE_ROWS_PER_SPLIT);
  for (let percent = Math.min(100, (wanted / rowsEstimate) * 100); percent < 100; percent *= SAMPLE_GROWTH) {
    const { marks, rows } = await quantiles(client, sampled(percent), request, 100 / percent);
    if (rows >= SAMPLE_ROWS_USABLE * (marks.length + 1)) return boundsOf(marks);
  }
  return boundsOf(await exactMarks(client, request));
}

function boundsOf(marks: readonly KeyText[]): SplitBounds[] {
  // The driver replaces what is no UTF-8: no bound can be made of that.
  if (marks.some((mark) => mark.some((part) => part.includes('\ufffd')))) return boundsOf([]);
  const bounds: SplitBounds[] = [];
  let after: KeyText | null = null;
  for (const mark of marks) {
    bounds.push({ after, upTo: mark });
    after = mark;
  }
  bounds.push({ after, upTo: null });
  return bounds;
}

async function exactMarks(client: ClientBase, request: SplitRequest): Promise<KeyText[]> {
  return (await quantiles(client, await rowsOf(client, request.selection, request.key), request, 1)).marks;
}

/** The key columns of a sample of so many percent of the pages. Null for what TABLESAMPLE does not take. */
async function sampledTable(client: ClientBase, { table, where }: Selection): Promise<((percent: number) => string) | null> {
  if (table === undefined) return null;
  const relation = await findRelation(client, parseTableName(table));
  if (!relation || relation.kind === 'view' || relation.kind === 'foreign') return null;
  const from = `${relation.hasChildren ? 'ONLY ' : ''}${qualified(relation)}`;
  return (percent) => `SELECT * FROM ${from} TABLESAMPLE SYSTEM (${percent}) REPEATABLE (1)${where === undefined ? '' : ` WHERE (${embedded(where)})`}`;
}

/** Keys that cut `from` into equal parts; each of its rows stands for `weight` rows. Ascending, in the key's own collation. */
async function quantiles(client: ClientBase, from: string, { key, rowsPerSplit }: SplitRequest, weight: number): Promise<{ marks: KeyText[]; rows: number }> {
  const columns = columnList(key);
  const { rows } = await client.query<{ mark: KeyText | null; total: string }>(
    `WITH counted AS (SELECT numbered.*, ceil("caravan total" * ${weight}::float8 / ${rowsPerSplit})::int8 AS "caravan parts"
       FROM (SELECT ${columns}, row_number() OVER (ORDER BY ${columns}) AS "caravan position", count(*) OVER () AS "caravan total" FROM (${from}) caravan_source) numbered)
     SELECT ARRAY[${key.map((name) => `${quoteIdent(name)}::text`).join(', ')}] AS mark, "caravan total"::text AS total FROM counted
     WHERE "caravan position" * "caravan parts" / "caravan total" > ("caravan position" - 1) * "caravan parts" / "caravan total" ORDER BY ${columns}`,
  );
  // The last one is the greatest key: the last part is open.
  return { marks: rows.slice(0, -1).flatMap((row) => (row.mark ? [row.mark] : [])), rows: Number(rows[0]?.total ?? 0) };
}

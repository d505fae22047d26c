import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import type { Column } from '../../../migration/value';
import type { SplitId } from '../../stores/ledger';
import { columnList, qualified, quoteIdent, type TableName } from './sql';

/** Rows that can conflict travel through a temporary table. `key` is the named arbiter: a unique index of the target. */
export interface MergeTarget { table: TableName; key: string[]; stage: string; columns: string[] }

export interface MergeOutcome {
  written: number;
  unchanged: number;
  /** Positions (from 0, in the order sent) of rows whose key an earlier row of the same statement already had. */
  repeated: number[];
}

const POSITION = '"caravan position"';

export function mergeTarget(table: TableName, key: string[], columns: Column[]): MergeTarget {
  return { table, key, stage: 'pg_temp.caravan_stage', columns: columns.map((column) => column.name) };
}

/** Once per connection. */
export async function prepareMerge(client: ClientBase, merge: MergeTarget): Promise<void> {
  await client.query(
    `CREATE TEMPORARY TABLE IF NOT EXISTS caravan_stage ON COMMIT DELETE ROWS AS SELECT ${columnList(merge.columns)} FROM ${qualified(merge.table)} WITH NO DATA;
     ALTER TABLE pg_temp.caravan_stage ADD COLUMN ${POSITION} bigint GENERATED ALWAYS AS IDENTITY`,
  );
}

/**
 * Moves the staged rows into the table: before-images of the rows that will change are journalled first (the first image of a key wins),
 * under their row locks; only journalled keys are updated. Leaves the stage empty.
 */
export async function mergeRows(client: ClientBase, id: SplitId, merge: MergeTarget, columns: Column[]): Promise<MergeOutcome> {
  const { key, table } = merge;
  const keyList = columnList(key);
  const others = columns.filter((column) => !key.includes(column.name));
  const sameKey = key.map((name) => `t.${quoteIdent(name)} = s.${quoteIdent(name)}`).join(' AND ');
  const differs = others.length === 0 ? 'false' : differsFrom(others, 's');

  const { rows: repeated } = await client.query<{ position: string }>(
    `WITH numbered AS (
       SELECT ${POSITION} AS p, row_number() OVER (PARTITION BY ${keyList} ORDER BY ${POSITION}) AS n, ${POSITION} - min(${POSITION}) OVER () AS position FROM caravan_stage)
     DELETE FROM caravan_stage s USING numbered WHERE s.${POSITION} = numbered.p AND numbered.n > 1 RETURNING numbered.position`,
  );
  const { rows: locked } = await client.query<{ changing: string }>(
    `WITH locked AS MATERIALIZED (
       SELECT ARRAY[${key.map((name) => `t.${quoteIdent(name)}::text`).join(', ')}] AS k, to_jsonb(t) AS image
       FROM ${qualified(table)} t JOIN caravan_stage s ON ${sameKey} WHERE ${differs} FOR UPDATE OF t),
     journalled AS (
       INSERT INTO caravan.before_image (migration, dataset, target_key, image) SELECT $1, $2, k, image FROM locked
       ON CONFLICT (migration, dataset, target_key) DO NOTHING)
     SELECT count(*) AS changing FROM locked`,
    [id.migration, id.dataset],
  );
  const { rows: staged } = await client.query<{ n: string }>('SELECT count(*) AS n FROM caravan_stage');
  const { rows: merged } = await client.query<{ inserted: boolean }>(
    `INSERT INTO ${qualified(table)} AS t (${columnList(merge.columns)}) OVERRIDING SYSTEM VALUE SELECT ${columnList(merge.columns)} FROM caravan_stage ORDER BY ${POSITION}
     ON CONFLICT (${keyList}) DO ${others.length === 0 ? 'NOTHING' : `UPDATE SET ${others.map((column) => `${quoteIdent(column.name)} = excluded.${quoteIdent(column.name)}`).join(', ')} WHERE ${differsFrom(others, 'excluded')}`}
     RETURNING (xmax = 0) AS inserted`,
  );
  const updated = merged.filter((row) => !row.inserted).length;
  if (updated > Number(locked[0]?.changing ?? 0)) {
    throw new MigrationError('SYSTEM_BUSY', `dataset ${id.dataset}: somebody else changed rows of the target during the merge; this commit is rolled back and tried again`);
  }
  await client.query('DELETE FROM caravan_stage');
  const stagedRows = Number(staged[0]?.n ?? 0);
  return { written: merged.length, unchanged: stagedRows - merged.length, repeated: repeated.map((row) => Number(row.position)).sort((a, b) => a - b) };
}

/** Whether any column differs. Types without an equality operator compare as text. */
function differsFrom(columns: Column[], other: 's' | 'excluded'): string {
  return columns.map(({ name, type }) => {
    const cast = /^(json|xml|point|polygon)$/.test(type) ? '::text' : '';
    return `t.${quoteIdent(name)}${cast} IS DISTINCT FROM ${other}.${quoteIdent(name)}${cast}`;
  }).join(' OR ');
}

import type { ClientBase } from 'pg';
import type { SplitId } from '../stores/ledger';
import type { Column } from '../../migration/value';
import { readRows } from '../connectors/postgres/catalog';
import { quoteIdent, quoteLiteral, type TableName } from '../connectors/postgres/sql';
import type { DatasetSides } from '../reconciliation/dataset-sides';

export type GenerationId = Omit<SplitId, 'ordinal'>;

/**
 * SQL condition on a row `t` of the target: a commit of this copy wrote it, and nobody has touched it since. The rows of a commit and its ledger entry are
 * of one transaction, so they carry the same transaction id. False for rows that came by other ways (replay, repair, a restored dump): those are compared.
 */
export function writtenByCopy({ migration, dataset, generation }: GenerationId): string {
  return `t.xmin IN (SELECT c.xmin FROM caravan.commit c WHERE c.migration = ${quoteLiteral(migration)} AND c.dataset = ${quoteLiteral(dataset)} AND c.generation = ${generation})`;
}

/** SQL condition on a row `t`: it was there, as it is, when `snapshot` (`pg_current_snapshot()`) was taken. Rows of before the last wrap-around count as later. */
export function seenBy(snapshot: string): string {
  const after = BigInt(snapshot.split(':')[1] ?? '0');
  const low = after & 0xffff_ffffn;
  const base = after - low;
  const raw = 't.xmin::text::bigint';
  const whole = base === 0n
    ? `CASE WHEN ${raw} <= ${low} THEN ${raw} END`
    : `CASE WHEN ${raw} <= ${low} THEN ${base} + ${raw} ELSE ${base - 0x1_0000_0000n} + ${raw} END`;
  return `(${raw} < 3 OR coalesce(pg_visible_in_snapshot((${whole})::text::xid8, ${quoteLiteral(snapshot)}::pg_snapshot), false))`;
}

/** SQL condition: the columns of a row `t` have the values that a text[] or JSON key spells, each by its own type, so that an index can find it. */
export function keyEquals(columns: readonly Column[], part: (at: number) => string): string {
  return columns.map((column, at) => {
    const wanted = `(${part(at)})::${column.type}`;
    const name = `t.${quoteIdent(column.name)}`;
    return column.nullable ? `(${name} = ${wanted} OR (${name} IS NULL AND ${part(at)} IS NULL))` : `${name} = ${wanted}`;
  }).join(' AND ');
}

/** The columns by which rows of this dataset are told apart in the target; empty: none. */
export function keyColumns(sides: Pick<DatasetSides, 'targetKey' | 'targetColumns'>): Column[] {
  return (sides.targetKey ?? []).flatMap((at) => sides.targetColumns[at] ?? []);
}

/** One stored relation that rows lie in: the table itself, or a partition. */
export interface Leaf { oid: string; schema: string; name: string; blocks: number }

export function leavesOf(client: ClientBase, table: TableName): Promise<Leaf[]> {
  return readRows<Leaf>(
    client,
    `SELECT p.oid::text AS oid, pn.nspname AS schema, p.relname AS name, (pg_catalog.pg_relation_size(p.oid) / current_setting('block_size')::int)::int AS blocks
     FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
     CROSS JOIN LATERAL (SELECT t.oid AS relid WHERE t.relkind <> 'p' UNION ALL SELECT relid FROM pg_catalog.pg_partition_tree(t.oid) WHERE t.relkind = 'p' AND isleaf) part
     JOIN pg_catalog.pg_class p ON p.oid = part.relid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 ORDER BY p.oid`, [table.schema, table.name]);
}

/** Changes when rows move within the table without a change of their own (VACUUM FULL, CLUSTER). */
export async function filenodesOf(client: ClientBase, table: TableName): Promise<string> {
  const leaves = await leavesOf(client, table);
  const rows = await readRows<{ nodes: string | null }>(client, `SELECT string_agg(o || ':' || pg_catalog.pg_relation_filenode(o::oid), ',' ORDER BY o) AS nodes FROM unnest($1::text[]) o`, [leaves.map(({ oid }) => oid)]);
  return rows[0]?.nodes ?? '';
}

/** The names of all columns of a table, in the order in which a whole row spells them. */
export async function wholeRowColumns(client: ClientBase, table: TableName): Promise<string[]> {
  const rows = await readRows<{ name: string }>(
    client,
    `SELECT a.attname AS name FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class t ON t.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, [table.schema, table.name]);
  return rows.map(({ name }) => name);
}

import type { ClientBase } from 'pg';
import { closest, distance } from 'fastest-levenshtein';
import { MigrationError } from '../../../migration/errors';
import type { Column } from '../../../migration/value';
import { objectNameOids, typeTraits, type TypeFacts } from './kinds';
import { displayName, qualified, type TableName } from './sql';

/** Rows as JSON made by the server: the same whatever type parsers the connection has. 64-bit values a caller needs exactly must be cast to text. */
export async function readRows<T>(client: ClientBase, sql: string, parameters: unknown[] = []): Promise<T[]> {
  const { rows } = await client.query<{ found: string }>(
    `SELECT coalesce(json_agg(to_json(caravan_row)), '[]'::json)::text AS found FROM (${sql}) caravan_row`,
    parameters,
  );
  return JSON.parse(rows[0]?.found ?? '[]') as T[];
}

/** Runs `work` with nothing on the search path, so that the server's deparsers name every object with its schema; then sets it back. */
export async function withEmptySearchPath<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  const { rows } = await client.query<{ path: string }>(`SELECT current_setting('search_path') AS path, set_config('search_path', '', false)`);
  try {
    return await work();
  } finally {
    // Fails only in a transaction that is lost already: its rollback sets the path back.
    await client.query(`SELECT set_config('search_path', $1, false)`, [rows[0]?.path ?? '']).catch(() => undefined);
  }
}

/** For a session that reads names of objects: with nothing on the search path the server writes every name with its schema, which means the same everywhere. */
export async function nameWithSchemas(client: ClientBase, columns: readonly Column[]): Promise<void> {
  if (columns.some((column) => column.namesObjects)) await client.query(`SELECT set_config('search_path', '', false)`);
}

/** Major version: 16 for 16.4. */
export async function serverMajor(client: ClientBase): Promise<number> {
  const [row] = await readRows<{ number: number }>(client, `SELECT current_setting('server_version_num')::int / 10000 AS number`);
  return row?.number ?? 0;
}

export type RelationKind = 'table' | 'partitioned' | 'view' | 'materialized_view' | 'foreign';

export interface Relation extends TableName {
  oid: number;
  kind: RelationKind;
  /** Rows per page when last analysed, times the pages of today, over all leaves; null when any leaf was never analysed. */
  analysedRows: number | null;
  /** Table and toast over all leaves, without indexes. */
  bytes: number;
  /** The session's user may read at least one column. */
  readable: boolean;
  /** Row security hides rows from the session's user. */
  rowsHidden: boolean;
  foreignLeaves: boolean;
  /** Other tables inherit from it (not partitions): it is read with ONLY. */
  hasChildren: boolean;
}

const RELATIONS = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name,
    CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view' ELSE 'foreign' END AS kind,
    leaves.rows AS "analysedRows", coalesce(leaves.bytes, 0) AS bytes, coalesce(leaves.foreign_leaves, false) AS "foreignLeaves",
    has_schema_privilege(n.oid, 'USAGE') AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT')) AS readable,
    row_security_active(c.oid) AS "rowsHidden",
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid) AS "hasChildren"
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT CASE WHEN bool_and(l.reltuples > 0 OR (l.reltuples = 0 AND l.relpages > 0))
        THEN sum(CASE WHEN l.relpages > 0 THEN l.reltuples / l.relpages * (pg_catalog.pg_relation_size(l.oid) / current_setting('block_size')::int) ELSE l.reltuples END)::int8 END AS rows,
      sum(pg_catalog.pg_table_size(l.oid))::int8 AS bytes, bool_or(l.relkind = 'f') AS foreign_leaves
    FROM (SELECT c.oid WHERE c.relkind IN ('r', 'm') UNION ALL SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf) leaf
    JOIN pg_catalog.pg_class l ON l.oid = leaf.oid
  ) leaves ON true
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

export const USER_SCHEMAS = `n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'caravan')`;

export async function findRelation(client: ClientBase, table: TableName): Promise<Relation | null> {
  const [relation] = await readRows<Relation>(client, `${RELATIONS} AND n.nspname = $1 AND c.relname = $2`, [table.schema, table.name]);
  return relation ?? null;
}

/** A table in FROM, LOCK and TRUNCATE without those that inherit from it; a partitioned one with its partitions. */
export async function ownRowsOf(client: ClientBase, table: TableName): Promise<string> {
  const relation = await findRelation(client, table);
  return `${relation?.hasChildren ? 'ONLY ' : ''}${qualified(table)}`;
}

/** Everything that can be a dataset, partitions left out; in the schemas named, or in all of the users'. */
export function listRelations(client: ClientBase, schemas: string[] | null): Promise<Relation[]> {
  return readRows<Relation>(
    client,
    `${RELATIONS} AND NOT c.relispartition AND ($1::text[] IS NULL AND ${USER_SCHEMAS} OR n.nspname = ANY ($1::text[])) ORDER BY n.nspname, c.relname`,
    [schemas],
  );
}

/** @throws MigrationError `OBJECT_MISSING` with the nearest name there is. */
export async function requireRelation(client: ClientBase, table: TableName, place: string): Promise<Relation> {
  const relation = await findRelation(client, table);
  if (relation) return relation;
  const others = await readRows<TableName>(
    client,
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND ${USER_SCHEMAS} LIMIT 20000`,
  );
  const nearest = nearestTable(table, others);
  throw new MigrationError(
    'OBJECT_MISSING',
    `${place}: there is no table ${displayName(table)}.${nearest ? ` Did you mean ${displayName(nearest)}?` : ' The database has no tables that this user can see.'}`,
  );
}

/** Same name in another schema or case first, else the least edits. */
export function nearestTable(wanted: TableName, all: TableName[]): TableName | null {
  const ranked = all.map((table) => ({
    table,
    rank: distance(wanted.name.toLowerCase(), table.name.toLowerCase()) * 4 + Math.min(3, distance(wanted.schema, table.schema)),
  }));
  ranked.sort((a, b) => a.rank - b.rank);
  return ranked[0]?.table ?? null;
}

/** `Did you mean x?` for a missing column, or nothing. */
export function suggestColumn(wanted: string, names: string[]): string {
  return names.length > 0 ? ` Did you mean ${closest(wanted, names)}?` : '';
}

export interface CatalogColumn extends TypeFacts {
  table: number;
  position: number;
  name: string;
  type: string;
  modifier: number;
  notNull: boolean;
  /** The session's user may read it. */
  readable: boolean;
  identity: '' | 'a' | 'd';
  generated: '' | 's' | 'v';
  hasDefault: boolean;
}

/** The type below all domains, with what tells whether its bytes may pass undecoded. Needs `t`, a pg_type row. */
export const TYPE_FACTS = `t.oid::int8 AS oid, t.typtype AS category, base.oid::int8 AS "baseOid", base.typname AS "baseName",
    CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 ELSE 0 END AS "elementOid", base.typcategory = 'C' AS composite, t.typsend <> 0 AND t.typreceive <> 0 AS binary,
    CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(base.oid, base.modifier) END AS "baseType", made.structure,
    current_setting('server_version_num')::int / 10000 AS major`;
export const TYPE_BASE = `JOIN LATERAL (
    WITH RECURSIVE down AS (
      SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typcategory, t.typelem, t.typtypmod AS modifier
      UNION ALL
      SELECT b.oid, b.typname, b.typtype, b.typbasetype, b.typcategory, b.typelem, CASE WHEN b.typtype = 'd' THEN greatest(down.modifier, b.typtypmod) ELSE down.modifier END
      FROM down JOIN pg_catalog.pg_type b ON b.oid = down.typbasetype WHERE down.typtype = 'd'
    ) SELECT oid, typname, typcategory, typelem, modifier FROM down WHERE typtype <> 'd'
  ) base ON true
  LEFT JOIN LATERAL (
    SELECT CASE s.typtype
        WHEN 'c' THEN (SELECT string_agg(pg_catalog.quote_ident(f.attname) || ' ' || pg_catalog.format_type(f.atttypid, f.atttypmod), ', ' ORDER BY f.attnum)
          FROM pg_catalog.pg_attribute f WHERE f.attrelid = s.typrelid AND f.attnum > 0 AND NOT f.attisdropped)
        WHEN 'd' THEN pg_catalog.format_type(s.typbasetype, s.typtypmod)
        WHEN 'r' THEN (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = s.oid)
      END AS structure
    FROM pg_catalog.pg_type s
    WHERE s.oid = CASE WHEN base.typcategory = 'A' THEN base.typelem ELSE base.oid END AND s.typnamespace <> 'pg_catalog'::regnamespace
  ) made ON true`;

/** NOT NULL that holds for rows already there, too (from version 18 on a constraint can be not valid). */
export const VALID_NOT_NULL = `a.attnotnull AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_constraint v WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND v.conkey = ARRAY[a.attnum] AND NOT v.convalidated)`;

/** Columns of tables or views, in their order. Call it under an empty search path: types then name their schema. */
export function readColumns(client: ClientBase, tables: number[]): Promise<CatalogColumn[]> {
  return readRows<CatalogColumn>(
    client,
    `SELECT a.attrelid::int8 AS "table", a.attnum AS position, a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.atttypmod AS modifier,
       ${VALID_NOT_NULL} AS "notNull", has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable, a.attidentity AS identity, a.attgenerated AS generated,
       (a.atthasdef AND a.attgenerated = '') OR (t.typtype = 'd' AND t.typdefault IS NOT NULL) AS "hasDefault", ${TYPE_FACTS}
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid ${TYPE_BASE}
     WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`,
    [tables],
  );
}

export function toColumn(column: CatalogColumn): Column {
  return {
    name: column.name,
    type: column.type,
    ...typeTraits(column),
    nullable: !column.notNull,
    ...(!column.readable && { unreadable: true }),
    ...(column.generated !== '' && { computed: true }),
    ...((column.hasDefault || column.identity !== '') && { hasDefault: true }),
    ...(column.identity !== '' && { identity: column.identity === 'a' ? 'always' : 'by_default' }),
    typeModifier: column.modifier,
  };
}

/** `isNoKey`, in SQL. Needs TYPE_BASE. */
const CAN_BE_KEY = `base.typcategory <> 'C' AND base.oid NOT IN (${objectNameOids.join(', ')})`;

export interface KeyCandidate { table: number; index: string; primary: boolean; columns: string[] }

/**
 * Keys that rows can be read and merged by, best first per table: the primary key, else the one with the fewest and narrowest columns.
 * A key is a valid, immediate, complete b-tree unique index over plain NOT NULL columns, which finds equal what the columns find equal:
 * an index of another operator class, or of another collation than a nondeterministic column, admits rows that `>` could not tell apart. Composite types and
 * names of objects are left out (`isNoKey`).
 */
export function readKeys(client: ClientBase, tables: number[]): Promise<KeyCandidate[]> {
  return readRows<KeyCandidate>(
    client,
    `SELECT i.indrelid::int8 AS "table", x.relname AS index, i.indisprimary AS primary, part.columns
     FROM pg_catalog.pg_index i
     JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
     JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
     JOIN LATERAL (
       SELECT json_agg(a.attname ORDER BY k.ordinal) AS columns, sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 64 END) AS width,
         bool_and(${VALID_NOT_NULL} AND (o.opcdefault OR o.opcname LIKE '%\\_pattern\\_ops') AND (l.oid IS NULL OR l.collisdeterministic OR k.collid = a.attcollation) AND ${CAN_BE_KEY}) AS usable,
         count(*) AS amount
       FROM unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[]) WITH ORDINALITY k(attnum, collid, opclass, ordinal)
       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
       JOIN pg_catalog.pg_type t ON t.oid = a.atttypid ${TYPE_BASE}
       JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
       LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
       WHERE k.ordinal <= i.indnkeyatts
     ) part ON part.usable AND part.amount = i.indnkeyatts
     WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
     ORDER BY i.indrelid, i.indisprimary DESC, part.amount, part.width, x.relname`,
    [tables],
  );
}

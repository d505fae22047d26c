import type { ClientBase } from 'pg';
import type { Column } from '../../../migration/value';
import { listRelations, readColumns, readKeys, readRows, toColumn, withEmptySearchPath, type CatalogColumn, type Relation } from './catalog';
import { rowsOf } from './describe';
import { NOT_WRITE_BLOCK } from './write-block-schema';

export interface InventoryForeignKey { name: string; columns: string[]; refSchema: string; refTable: string; refColumns: string[] }
export interface InventoryIndex { name: string; definition: string; bytes: number }

/** One table as it was found. Holds names and sizes, no row values. */
export interface InventoryTable {
  schema: string;
  name: string;
  kind: 'table' | 'partitioned' | 'view' | 'materialized_view' | 'foreign';
  rowsEstimate: number;
  /** Table and toast, without indexes. */
  bytes: number;
  columns: Column[];
  /** Columns of the primary key; null when there is none, or only a deferrable one. */
  primaryKey: string[] | null;
  /** The key rows would be read by; null when there is none. */
  key: string[] | null;
  foreignKeys: InventoryForeignKey[];
  indexes: InventoryIndex[];
  /** Sequences owned by a column: `schema.name`. */
  sequences: { column: string; sequence: string }[];
  /** Constraint and policy names that a person should know of: not carried by `schema: create`. */
  triggers: string[];
  policies: string[];
  /** What stands in the way of copying this table, one sentence each. */
  problems: string[];
  /** Why its rows cannot be moved by this connection at all; null when they can. */
  obstacle: string | null;
}

/** All tables and views of the users' schemas, or of the schemas named, ordered by name. Partitions are part of their root. */
export function inventory(client: ClientBase, schemas: string[] | null = null): Promise<InventoryTable[]> {
  return withEmptySearchPath(client, async () => {
    const relations = await listRelations(client, schemas);
    const oids = relations.map((relation) => relation.oid);
    const columns = groupByTable(await readColumns(client, oids));
    const keys = groupByTable(await readKeys(client, oids));
    const details = groupByTable(await readDetails(client, oids));
    const foreignTypes = groupByTable(await readCompiledTypes(client, oids));
    const tables: InventoryTable[] = [];
    for (const relation of relations) {
      const own = columns.get(relation.oid) ?? [];
      const key = keys.get(relation.oid)?.[0]?.columns ?? null;
      const detail = details.get(relation.oid)?.[0];
      tables.push({
        schema: relation.schema,
        name: relation.name,
        kind: relation.kind,
        rowsEstimate: await countable(client, relation),
        bytes: relation.bytes,
        columns: own.map(toColumn),
        primaryKey: keys.get(relation.oid)?.find((candidate) => candidate.primary)?.columns ?? null,
        key,
        foreignKeys: detail?.foreignKeys ?? [],
        indexes: detail?.indexes ?? [],
        sequences: detail?.sequences ?? [],
        triggers: detail?.triggers ?? [],
        policies: detail?.policies ?? [],
        problems: problemsOf(relation, own, key),
        obstacle: obstacleOf(relation, foreignTypes.get(relation.oid)?.[0]),
      });
    }
    return tables;
  });
}

/** Views are never counted: they may cost anything, or not be filled. */
async function countable(client: ClientBase, relation: Relation): Promise<number> {
  if (relation.kind === 'view' || relation.kind === 'foreign') return 0;
  if (!relation.readable || relation.kind === 'materialized_view') return relation.analysedRows ?? 0;
  return rowsOf(client, relation);
}

function obstacleOf(relation: Relation, compiled: CompiledType | undefined): string | null {
  if (relation.kind === 'foreign') return 'its rows live on another server; use a connection to that server';
  if (relation.foreignLeaves) return 'it has foreign partitions, whose rows live on another server';
  return compiled ? `column ${compiled.column} has the type ${compiled.type}, which compiled code of the server defines; create the type in the target first` : null;
}

interface CompiledType { table: number; column: string; type: string }

/** Columns whose type, or a part of it, is a base type that no extension brings: no SQL makes it again. */
function readCompiledTypes(client: ClientBase, oids: number[]): Promise<CompiledType[]> {
  return readRows<CompiledType>(
    client,
    `WITH RECURSIVE parts(root, oid, depth) AS (
       SELECT DISTINCT a.atttypid, a.atttypid, 0 FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
       UNION
       SELECT parts.root, below.oid, parts.depth + 1 FROM parts JOIN pg_catalog.pg_type t ON t.oid = parts.oid
       CROSS JOIN LATERAL (
         SELECT t.typelem AS oid WHERE t.typcategory = 'A' AND t.typelem <> 0
         UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
         UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
         UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
       ) below WHERE parts.depth < 16 AND below.oid >= 16384
     )
     SELECT a.attrelid::int8 AS "table", a.attname AS column, pg_catalog.format_type(t.oid, NULL) AS type
     FROM parts JOIN pg_catalog.pg_type t ON t.oid = parts.oid JOIN pg_catalog.pg_attribute a ON a.atttypid = parts.root AND a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
     WHERE t.typtype = 'b' AND t.typcategory <> 'A'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_type'::regclass AND x.objid = t.oid AND x.deptype = 'e')
     ORDER BY a.attrelid, a.attnum`,
    [oids],
  );
}

function problemsOf(relation: Relation, columns: CatalogColumn[], key: string[] | null): string[] {
  const problems: string[] = [];
  if (relation.kind === 'foreign') problems.push('is a foreign table: its rows live on another server; use a connection to that server');
  if (relation.foreignLeaves) problems.push('has foreign partitions: their rows live on another server');
  if (!relation.readable) problems.push('cannot be read by this user: SELECT (and USAGE on the schema) is missing');
  if (relation.rowsHidden) problems.push('has row security that hides rows from this user: use a user with BYPASSRLS');
  if (relation.kind === 'view' || relation.kind === 'materialized_view') problems.push('is a view: give it a key in the plan to copy it in resumable pieces');
  else if (key === null && relation.kind !== 'foreign') problems.push('has no usable key (a unique index over NOT NULL columns): it is copied in one piece and starts again when interrupted');
  if (relation.hasChildren) problems.push('has inheriting tables: only its own rows are read, each child is a dataset of its own');
  if (columns.length === 0) problems.push('has no columns');
  return problems;
}

interface Detail {
  table: number;
  foreignKeys: InventoryForeignKey[] | null;
  indexes: InventoryIndex[] | null;
  sequences: { column: string; sequence: string }[] | null;
  triggers: string[] | null;
  policies: string[] | null;
}

const NAMES_OF = (table: string, key: string): string => `(SELECT json_agg(a.attname ORDER BY k.ordinal) FROM unnest(${key}) WITH ORDINALITY k(attnum, ordinal)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = ${table} AND a.attnum = k.attnum)`;

function readDetails(client: ClientBase, oids: number[]): Promise<Detail[]> {
  return readRows<Detail>(
    client,
    `SELECT t.oid::int8 AS "table",
       (SELECT json_agg(json_build_object('name', f.conname, 'columns', ${NAMES_OF('f.conrelid', 'f.conkey')},
            'refSchema', rn.nspname, 'refTable', r.relname, 'refColumns', ${NAMES_OF('f.confrelid', 'f.confkey')}) ORDER BY f.conname)
          FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
          WHERE f.conrelid = t.oid AND f.contype = 'f' AND NOT r.relispartition) AS "foreignKeys",
       (SELECT json_agg(json_build_object('name', x.relname, 'definition', pg_catalog.pg_get_indexdef(x.oid), 'bytes', pg_catalog.pg_relation_size(x.oid)) ORDER BY x.relname)
          FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = t.oid) AS indexes,
       (SELECT json_agg(json_build_object('column', a.attname, 'sequence', sn.nspname || '.' || s.relname) ORDER BY a.attnum)
          FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
          JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.oid AND d.deptype IN ('a', 'i')) AS sequences,
       (SELECT json_agg(g.tgname ORDER BY g.tgname) FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND ${NOT_WRITE_BLOCK}) AS triggers,
       (SELECT json_agg(p.polname ORDER BY p.polname) FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid) AS policies
     FROM pg_catalog.pg_class t WHERE t.oid = ANY ($1::oid[])`,
    [oids],
  );
}

export function groupByTable<T extends { table: number }>(rows: T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const group = groups.get(row.table);
    if (group) group.push(row);
    else groups.set(row.table, [row]);
  }
  return groups;
}

import type { ClientBase } from 'pg';
import { readRows, VALID_NOT_NULL, type Relation } from './catalog';
import type { TableName } from './sql';

/** A table as the server's own deparsers spell it. Read under an empty search path, so that all names carry their schema. */
export interface TableDefinition extends TableName {
  oid: number;
  unlogged: boolean;
  /** Storage parameters, `fillfactor=70`. */
  options: string[];
  comment: string | null;
  columns: ColumnDefinition[];
  /** Primary key first, then unique, checks, exclusions. */
  constraints: ConstraintDefinition[];
  indexes: IndexDefinition[];
  foreignKeys: ForeignKeyDefinition[];
  leftOut: LeftOut[];
}

export interface ColumnDefinition {
  name: string;
  type: string;
  notNull: boolean;
  /** Quoted and qualified; null for the type's own. */
  collation: string | null;
  /** Default, or the expression of a generated column. */
  expression: string | null;
  generated: '' | 's' | 'v';
  identity: '' | 'a' | 'd';
  sequence: SequenceDefinition | null;
  /** Columns that a generated column is computed from. */
  computedFrom: string[];
  statistics: number | null;
  storage: string | null;
  comment: string | null;
}

/** The sequence of an identity, or the one a serial column owns and takes its default from. */
export interface SequenceDefinition extends TableName { type: string; start: string; increment: string; minimum: string; maximum: string; cache: string; cycle: boolean }
export interface ConstraintDefinition { name: string; kind: 'p' | 'u' | 'c' | 'x'; definition: string; comment: string | null; columns: string[] }
export interface IndexDefinition { name: string; definition: string; /** From CREATE up to USING, with the old names. */ prefix: string; unique: boolean; comment: string | null; columns: string[]; clustered: boolean; statistics: { position: number; target: number }[] | null }
export interface ForeignKeyDefinition {
  name: string; columns: string[]; references: TableName; refColumns: string[];
  onUpdate: string; onDelete: string; setColumns: string[]; full: boolean; deferrable: boolean; deferred: boolean; validated: boolean; comment: string | null;
}
/** Something that is not carried, and why. */
export interface LeftOut { what: string; name: string; reason: string }

export async function readTableDefinition(client: ClientBase, relation: Relation): Promise<TableDefinition> {
  const oid = relation.oid;
  const [own] = await readRows<{ unlogged: boolean; options: string[]; comment: string | null }>(
    client,
    `SELECT c.relpersistence = 'u' AS unlogged, coalesce(to_json(c.reloptions), '[]'::json) AS options, pg_catalog.obj_description(c.oid, 'pg_class') AS comment
     FROM pg_catalog.pg_class c WHERE c.oid = $1`,
    [oid],
  );
  return {
    oid, schema: relation.schema, name: relation.name,
    unlogged: own?.unlogged ?? false,
    options: relation.kind === 'table' ? (own?.options ?? []) : [],
    comment: own?.comment ?? null,
    columns: await readRows<ColumnDefinition>(client, COLUMNS, [oid]),
    constraints: await readRows<ConstraintDefinition>(client, CONSTRAINTS, [oid]),
    indexes: await readRows<IndexDefinition>(client, INDEXES, [oid]),
    foreignKeys: await readRows<ForeignKeyDefinition>(client, FOREIGN_KEYS, [oid]),
    leftOut: await readRows<LeftOut>(client, LEFT_OUT, [oid]),
  };
}

const namesOf = (table: string, key: string): string =>
  `(SELECT coalesce(json_agg(ka.attname ORDER BY part.ordinal), '[]'::json) FROM unnest(${key}) WITH ORDINALITY part(attnum, ordinal)
      JOIN pg_catalog.pg_attribute ka ON ka.attrelid = ${table} AND ka.attnum = part.attnum)`;

const SEQUENCE = `json_build_object('schema', sn.nspname, 'name', sc.relname, 'type', pg_catalog.format_type(s.seqtypid, NULL), 'start', s.seqstart::text,
      'increment', s.seqincrement::text, 'minimum', s.seqmin::text, 'maximum', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', s.seqcycle)`;

const COLUMNS = `
  SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, ${VALID_NOT_NULL} AS "notNull",
    CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN (SELECT format('%I.%I', cn.nspname, co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END AS collation,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression, a.attgenerated AS generated, a.attidentity AS identity,
    (SELECT ${SEQUENCE} FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_sequence s ON s.seqrelid = o.objid
       JOIN pg_catalog.pg_class sc ON sc.oid = s.seqrelid JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace
       WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum
         AND (o.deptype = 'i' OR (o.deptype = 'a' AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(''%''::regclass)'
           AND EXISTS (SELECT FROM pg_catalog.pg_depend u WHERE u.classid = 'pg_catalog.pg_attrdef'::regclass AND u.objid = d.oid AND u.refobjid = s.seqrelid)))
       LIMIT 1) AS sequence,
    (SELECT coalesce(json_agg(DISTINCT ga.attname), '[]'::json) FROM pg_catalog.pg_depend g JOIN pg_catalog.pg_attribute ga ON ga.attrelid = g.refobjid AND ga.attnum = g.refobjsubid
       WHERE a.attgenerated <> '' AND g.refobjid = a.attrelid AND g.refobjsubid <> a.attnum
         AND (g.classid, g.objid) IN (('pg_catalog.pg_attrdef'::regclass, d.oid), ('pg_catalog.pg_class'::regclass, a.attrelid))
         AND (g.classid <> 'pg_catalog.pg_class'::regclass OR g.objsubid = a.attnum)) AS "computedFrom",
    CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END AS statistics,
    CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END AS storage,
    pg_catalog.col_description(a.attrelid, a.attnum) AS comment
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;

const CONSTRAINTS = `
  SELECT k.conname AS name, k.contype AS kind, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
    pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment, ${namesOf('k.conrelid', 'k.conkey')} AS columns
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.contype IN ('p', 'u', 'c', 'x')
  ORDER BY array_position(ARRAY['p', 'u', 'c', 'x']::"char"[], k.contype), k.conname`;

const INDEXES = `
  SELECT x.relname AS name, pg_catalog.pg_get_indexdef(x.oid) AS definition,
    format('CREATE %sINDEX %I ON %s%I.%I', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, CASE WHEN t.relkind = 'p' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname) AS prefix,
    i.indisunique AS unique, pg_catalog.obj_description(x.oid, 'pg_class') AS comment, i.indisclustered AS clustered,
    (SELECT coalesce(json_agg(DISTINCT a.attname), '[]'::json) FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
       WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0) AS columns,
    (SELECT json_agg(json_build_object('position', s.attnum, 'target', s.attstattarget) ORDER BY s.attnum)
       FROM pg_catalog.pg_attribute s WHERE s.attrelid = x.oid AND s.attstattarget >= 0) AS statistics
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
  WHERE i.indrelid = $1 AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
  ORDER BY x.relname`;

const ACTION = (column: string): string =>
  `CASE ${column} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END`;

const FOREIGN_KEYS = `
  SELECT f.conname AS name, ${namesOf('f.conrelid', 'f.conkey')} AS columns, json_build_object('schema', n.nspname, 'name', r.relname) AS references,
    ${namesOf('f.confrelid', 'f.confkey')} AS "refColumns", ${ACTION('f.confupdtype')} AS "onUpdate", ${ACTION('f.confdeltype')} AS "onDelete",
    CASE WHEN to_jsonb(f) -> 'confdelsetcols' IS NULL THEN '[]'::json ELSE (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]'::json)
      FROM jsonb_array_elements_text(CASE jsonb_typeof(to_jsonb(f) -> 'confdelsetcols') WHEN 'array' THEN to_jsonb(f) -> 'confdelsetcols' ELSE '[]'::jsonb END) v(attnum)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = v.attnum::int) END AS "setColumns",
    f.confmatchtype = 'f' AS full, f.condeferrable AS deferrable, f.condeferred AS deferred, f.convalidated AS validated,
    pg_catalog.obj_description(f.oid, 'pg_constraint') AS comment
  FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
  WHERE f.conrelid = $1 AND f.contype = 'f' AND NOT r.relispartition
    AND coalesce((to_jsonb(f) ->> 'conperiod')::boolean, false) = false AND coalesce((to_jsonb(f) ->> 'conenforced')::boolean, true)
  ORDER BY f.conname`;

const LEFT_OUT = `
  SELECT 'partitioning' AS what, c.relname::text AS name, 'the table is created as one plain table; create it partitioned yourself and use schema: given to keep partitions' AS reason
    FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.relkind = 'p'
  UNION ALL SELECT 'inheritance', c.relname::text, 'the table is created with its inherited columns, but on its own'
    FROM pg_catalog.pg_class c WHERE c.oid = $1 AND NOT c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid)
  UNION ALL SELECT 'extended statistics', s.stxname::text, 'create them after the load, then run ANALYZE' FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = $1
  UNION ALL SELECT 'replica identity', c.relname::text, 'the default one is used' FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.relreplident NOT IN ('d') AND c.relkind IN ('r', 'p')
  UNION ALL SELECT 'invalid index', x.relname::text, 'it is invalid in the source' FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND NOT i.indisvalid
  UNION ALL SELECT 'not-null constraint', k.conname::text, 'it is not valid for all rows of the source' FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'n' AND NOT k.convalidated
  UNION ALL SELECT 'foreign key', k.conname::text, 'it is temporal or not enforced' FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f'
    AND (coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) OR NOT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true))`;

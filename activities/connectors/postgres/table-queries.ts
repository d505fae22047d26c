import { VALID_NOT_NULL } from './catalog';

/** Questions about the tables $1 (oids). Columns that older versions lack are read through jsonb: absent is NULL. */

const DEFAULT_PARTITION_LAST = `pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'`;

/** The tables themselves and all partitions below them. */
export const TABLES = `
  WITH RECURSIVE tree(oid, parent, depth) AS (
    SELECT c.oid, NULL::oid, 0 FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])
    UNION ALL SELECT h.inhrelid, h.inhparent, tree.depth + 1 FROM tree JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
      JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid JOIN pg_catalog.pg_class k ON k.oid = h.inhrelid AND k.relispartition
  )
  SELECT c.oid::int8 AS "table", c.oid::int8 AS oid, tree.parent::int8 AS parent, n.nspname AS schema, c.relname AS name, c.relpersistence = 'u' AS unlogged,
    CASE WHEN c.relkind IN ('r', 'p') THEN to_json(coalesce(c.reloptions, '{}')
      || coalesce((SELECT array_agg('toast.' || o) FROM pg_catalog.pg_class x CROSS JOIN unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid), '{}')) ELSE '[]'::json END AS options,
    (SELECT m.amname FROM pg_catalog.pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap') AS "accessMethod",
    pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
    CASE WHEN c.relkind = 'p' THEN json_build_object('key', pg_catalog.pg_get_partkeydef(c.oid),
      'columns', (SELECT coalesce(json_agg(DISTINCT a.attname), '[]'::json) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_partitioned_table t ON t.partrelid = c.oid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND (a.attnum = ANY (t.partattrs::int2[])
          OR (t.partexprs IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum))))) END AS partitioning,
    CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS bound,
    CASE WHEN c.relispartition THEN '[]'::json ELSE (SELECT coalesce(json_agg(json_build_object('oid', p.oid::int8, 'schema', pn.nspname, 'name', p.relname) ORDER BY h.inhseqno), '[]'::json)
      FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END AS parents,
    CASE WHEN c.reloftype <> 0 THEN (SELECT format('%I.%I', tn.nspname, t.typname) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace WHERE t.oid = c.reloftype) END AS "ofType",
    c.relreplident AS "replicaIdentity",
    (SELECT x.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) AS "identityIndex"
  FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  ORDER BY tree.depth, ${DEFAULT_PARTITION_LAST}, n.nspname, c.relname`;

const namesOf = (table: string, key: string): string =>
  `(SELECT coalesce(json_agg(ka.attname ORDER BY part.ordinal), '[]'::json) FROM unnest(${key}) WITH ORDINALITY part(attnum, ordinal)
      JOIN pg_catalog.pg_attribute ka ON ka.attrelid = ${table} AND ka.attnum = part.attnum)`;

export const SEQUENCE_SETTINGS = `sn.nspname AS schema, sc.relname AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type, s.seqstart::text AS start, s.seqincrement::text AS increment,
    s.seqmin::text AS minimum, s.seqmax::text AS maximum, s.seqcache::text AS cache, s.seqcycle AS cycle, pg_catalog.obj_description(sc.oid, 'pg_class') AS comment`;

export const SEQUENCES = `
  SELECT a.attrelid::int8 AS "table", a.attname AS column, o.deptype = 'i' AS identity, sc.oid::regclass::text AS spelled, ${SEQUENCE_SETTINGS}
  FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_sequence s ON s.seqrelid = o.objid
  JOIN pg_catalog.pg_class sc ON sc.oid = s.seqrelid JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid
  WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i') AND o.refobjid = ANY ($1::oid[])
  ORDER BY a.attrelid, a.attnum, sc.relname`;

const NOT_NULL_CONSTRAINT = `pg_catalog.pg_constraint nn WHERE nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey = ARRAY[a.attnum]`;

export const TABLE_COLUMNS = `
  SELECT a.attrelid::int8 AS "table", a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, ${VALID_NOT_NULL} AS "notNull",
    (SELECT nn.conname FROM ${NOT_NULL_CONSTRAINT}) AS "notNullName", coalesce((SELECT nn.conislocal FROM ${NOT_NULL_CONSTRAINT}), true) AS "notNullLocal",
    coalesce((SELECT nn.connoinherit FROM ${NOT_NULL_CONSTRAINT}), false) AS "notNullNoInherit",
    CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN (SELECT format('%I.%I', cn.nspname, co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END AS collation,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression, a.attgenerated AS generated, a.attidentity AS identity,
    (SELECT coalesce(json_agg(DISTINCT ga.attname), '[]'::json) FROM pg_catalog.pg_depend g JOIN pg_catalog.pg_attribute ga ON ga.attrelid = g.refobjid AND ga.attnum = g.refobjsubid
       WHERE a.attgenerated <> '' AND g.refobjid = a.attrelid AND g.refobjsubid <> a.attnum
         AND (g.classid, g.objid) IN (('pg_catalog.pg_attrdef'::regclass, d.oid), ('pg_catalog.pg_class'::regclass, a.attrelid))
         AND (g.classid <> 'pg_catalog.pg_class'::regclass OR g.objsubid = a.attnum)) AS "computedFrom",
    a.attinhcount > 0 AS inherited, a.attislocal AS local,
    CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END AS statistics,
    coalesce(to_json(a.attoptions), '[]'::json) AS options,
    CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END AS storage,
    CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    pg_catalog.col_description(a.attrelid, a.attnum) AS comment
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`;

/** Valid not-null constraints are part of the columns. */
export const CONSTRAINTS = `
  SELECT k.conrelid::int8 AS "table", k.conname AS name, k.contype AS kind, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
    pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment, ${namesOf('k.conrelid', 'k.conkey')} AS columns,
    NOT k.conislocal AND k.contype IN ('c', 'n') AS inherited,
    CASE WHEN k.conindid <> 0 THEN (SELECT json_build_object('name', x.relname, 'options', coalesce(to_json(x.reloptions), '[]'::json), 'comment', pg_catalog.obj_description(x.oid, 'pg_class'),
      'clustered', i.indisclustered) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE x.oid = k.conindid) END AS index
  FROM pg_catalog.pg_constraint k
  WHERE k.conrelid = ANY ($1::oid[]) AND (k.contype IN ('p', 'u', 'c', 'x') OR (k.contype = 'n' AND NOT k.convalidated))
  ORDER BY k.conrelid, array_position(ARRAY['p', 'u', 'c', 'x', 'n']::"char"[], k.contype), k.conname`;

/** A partitioned index counts as valid only while all its parts do: it is carried all the same. */
const USABLE_INDEX = `(i.indisvalid OR x.relkind = 'I')`;

export const INDEXES = `
  SELECT i.indrelid::int8 AS "table", x.relname AS name, pg_catalog.pg_get_indexdef(x.oid) AS definition,
    format('CREATE %sINDEX %I ON %s%I.%I', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, CASE WHEN t.relkind = 'p' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname) AS prefix,
    i.indisunique AS unique, pg_catalog.obj_description(x.oid, 'pg_class') AS comment, i.indisclustered AS clustered,
    (SELECT coalesce(json_agg(DISTINCT a.attname), '[]'::json) FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
       WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0) AS columns,
    (SELECT json_agg(json_build_object('position', s.attnum, 'target', s.attstattarget) ORDER BY s.attnum)
       FROM pg_catalog.pg_attribute s WHERE s.attrelid = x.oid AND s.attstattarget >= 0) AS statistics
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
  WHERE i.indrelid = ANY ($1::oid[]) AND ${USABLE_INDEX} AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
  ORDER BY i.indrelid, x.relname`;

export const STATISTICS = `
  SELECT s.stxrelid::int8 AS "table", sn.nspname AS schema, s.stxname AS name, pg_catalog.pg_get_statisticsobjdef(s.oid) AS definition,
    format('CREATE STATISTICS %I.%I', sn.nspname, s.stxname) AS prefix, format(' FROM %I.%I', n.nspname, c.relname) AS suffix,
    CASE WHEN (to_jsonb(s) ->> 'stxstattarget')::int >= 0 THEN (to_jsonb(s) ->> 'stxstattarget')::int END AS target,
    pg_catalog.obj_description(s.oid, 'pg_statistic_ext') AS comment,
    (SELECT coalesce(json_agg(DISTINCT a.attname), '[]'::json) FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
       WHERE d.classid = 'pg_catalog.pg_statistic_ext'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.stxrelid AND d.refobjsubid > 0) AS columns
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace sn ON sn.oid = s.stxnamespace
  JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE s.stxrelid = ANY ($1::oid[]) ORDER BY s.stxrelid, sn.nspname, s.stxname`;

const ACTION = (column: string): string =>
  `CASE ${column} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END`;

/** Those that a partition has from its root are made by the root's. */
export const FOREIGN_KEYS = `
  SELECT f.conrelid::int8 AS "table", f.conname AS name, ${namesOf('f.conrelid', 'f.conkey')} AS columns, json_build_object('schema', n.nspname, 'name', r.relname) AS references,
    ${namesOf('f.confrelid', 'f.confkey')} AS "refColumns", ${ACTION('f.confupdtype')} AS "onUpdate", ${ACTION('f.confdeltype')} AS "onDelete",
    CASE WHEN to_jsonb(f) -> 'confdelsetcols' IS NULL THEN '[]'::json ELSE (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]'::json)
      FROM jsonb_array_elements_text(CASE jsonb_typeof(to_jsonb(f) -> 'confdelsetcols') WHEN 'array' THEN to_jsonb(f) -> 'confdelsetcols' ELSE '[]'::jsonb END) v(attnum)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = v.attnum::int) END AS "setColumns",
    f.confmatchtype = 'f' AS full, f.condeferrable AS deferrable, f.condeferred AS deferred, f.convalidated AS validated,
    coalesce((to_jsonb(f) ->> 'conenforced')::boolean, true) AS enforced, coalesce((to_jsonb(f) ->> 'conperiod')::boolean, false) AS period,
    pg_catalog.obj_description(f.oid, 'pg_constraint') AS comment
  FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
  WHERE f.conrelid = ANY ($1::oid[]) AND f.contype = 'f' AND f.conparentid = 0
  ORDER BY f.conrelid, f.conname`;

export const LEFT_OUT = `
  SELECT i.indrelid::int8 AS "table", 'invalid index' AS what, x.relname::text AS name, 'it is invalid in the source' AS reason
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = ANY ($1::oid[]) AND NOT ${USABLE_INDEX}
  UNION ALL SELECT i.indrelid::int8, 'incomplete index', x.relname::text, 'partitions lack it in the source; in the target all of them have it'
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = ANY ($1::oid[]) AND x.relkind = 'I' AND NOT x.relispartition AND NOT i.indisvalid
  UNION ALL SELECT c.oid::int8, 'tablespace', c.relname::text, format('the table lies in tablespace %s; in the target the default one is used', s.spcname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace WHERE c.oid = ANY ($1::oid[])
  UNION ALL SELECT i.indrelid::int8, 'tablespace', x.relname::text, format('the index lies in tablespace %s; in the target the default one is used', s.spcname)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_tablespace s ON s.oid = x.reltablespace WHERE i.indrelid = ANY ($1::oid[])`;

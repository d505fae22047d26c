import { SEQUENCE_SETTINGS } from './table-queries';

/**
 * One question per catalog for the objects $1 (oids): how each is spelled for people (`what`, `name`), whether a server has it (`present`, an SQL condition),
 * and the statements that make it. The first statement of a type also tells whether one that is there already is the same.
 */
export interface ObjectDdl {
  oid: number;
  schema: string;
  what: string;
  name: string;
  present: string;
  statements: string[];
  /** A type: something that is there under its name must be equal to it. */
  type: boolean;
  /** Why it cannot be made; null when it can be tried. */
  reason: string | null;
}

const NAME = (schema: string, name: string): string => `format('%I.%I', ${schema}, ${name})`;
const COLLATION_OF = (oid: string, unless: string): string =>
  `coalesce((SELECT format(' COLLATE %I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
      WHERE co.oid = ${oid} AND co.oid <> ${unless}), '')`;
const PROC = (oid: string): string => `(SELECT format('%I.%I', fn.nspname, fp.proname) FROM pg_catalog.pg_proc fp JOIN pg_catalog.pg_namespace fn ON fn.oid = fp.pronamespace WHERE fp.oid = ${oid})`;
const OPERATOR = (oid: string): string => `(SELECT format('OPERATOR(%I.%s)', xn.nspname, xo.oprname) FROM pg_catalog.pg_operator xo JOIN pg_catalog.pg_namespace xn ON xn.oid = xo.oprnamespace WHERE xo.oid = ${oid})`;

const ENUM = `format('CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname, (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid))`;
const COMPOSITE = `format('CREATE TYPE %I.%I AS (%s)', n.nspname, t.typname, (SELECT string_agg(format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
    ${COLLATION_OF('a.attcollation', '(SELECT b.typcollation FROM pg_catalog.pg_type b WHERE b.oid = a.atttypid)')}), ', ' ORDER BY a.attnum)
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))`;
const DOMAIN = `format('CREATE DOMAIN %I.%I AS %s%s%s', n.nspname, t.typname, pg_catalog.format_type(t.typbasetype, t.typtypmod),
    ${COLLATION_OF('t.typcollation', '(SELECT b.typcollation FROM pg_catalog.pg_type b WHERE b.oid = t.typbasetype)')}, CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END)`;
const RANGE = `(SELECT format('CREATE TYPE %I.%I AS RANGE (SUBTYPE = %s, SUBTYPE_OPCLASS = %s%s%s%s%s)', n.nspname, t.typname, pg_catalog.format_type(r.rngsubtype, NULL),
    (SELECT format('%I.%I', on_.nspname, oc.opcname) FROM pg_catalog.pg_opclass oc JOIN pg_catalog.pg_namespace on_ ON on_.oid = oc.opcnamespace WHERE oc.oid = r.rngsubopc),
    coalesce((SELECT format(', COLLATION = %I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = r.rngcollation), ''),
    CASE WHEN r.rngcanonical <> 0 THEN format(', CANONICAL = %s', ${PROC('r.rngcanonical::oid')}) ELSE '' END,
    CASE WHEN r.rngsubdiff <> 0 THEN format(', SUBTYPE_DIFF = %s', ${PROC('r.rngsubdiff::oid')}) ELSE '' END,
    CASE WHEN $2 >= 14 THEN coalesce((SELECT format(', MULTIRANGE_TYPE_NAME = %I.%I', mn.nspname, m.typname) FROM pg_catalog.pg_type m JOIN pg_catalog.pg_namespace mn ON mn.oid = m.typnamespace
      WHERE m.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid), '') ELSE '' END)
  FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)`;

/** The first statement that makes a type; $2: the target's major version. */
const TYPE_STATEMENT = `CASE t.typtype WHEN 'e' THEN ${ENUM} WHEN 'c' THEN ${COMPOSITE} WHEN 'd' THEN ${DOMAIN} WHEN 'r' THEN ${RANGE} END`;

/** The same statement for what has a name here: to compare. $1: schema, $2: major version as above, $3: name. */
export const TYPE_AS_IT_IS = `SELECT ${TYPE_STATEMENT} AS statement FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $3`;

const TYPES = `
  SELECT t.oid::int8 AS oid, n.nspname AS schema, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END AS what, ${NAME('n.nspname', 't.typname')} AS name, true AS type,
    format('to_regtype(%L) IS NOT NULL', ${NAME('n.nspname', 't.typname')}) AS present,
    CASE WHEN t.typtype NOT IN ('e', 'c', 'd', 'r') THEN 'it is a base type, made by a program that the server loads; install what brings it' END AS reason,
    array_remove(ARRAY[${TYPE_STATEMENT}, CASE WHEN t.typtype = 'd' AND t.typdefault IS NOT NULL THEN format('ALTER DOMAIN %I.%I SET DEFAULT %s', n.nspname, t.typname, t.typdefault) END]
      || ARRAY(SELECT format('ALTER DOMAIN %I.%I ADD CONSTRAINT %I %s', n.nspname, t.typname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)) FROM pg_catalog.pg_constraint k
          WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname)
      || ARRAY(SELECT format('COMMENT ON CONSTRAINT %I ON DOMAIN %I.%I IS %L', k.conname, n.nspname, t.typname, pg_catalog.obj_description(k.oid, 'pg_constraint')) FROM pg_catalog.pg_constraint k
          WHERE k.contypid = t.oid AND k.contype = 'c' AND pg_catalog.obj_description(k.oid, 'pg_constraint') IS NOT NULL ORDER BY k.conname)
      || ARRAY(SELECT format('COMMENT ON COLUMN %I.%I.%I IS %L', n.nspname, t.typname, a.attname, pg_catalog.col_description(a.attrelid, a.attnum)) FROM pg_catalog.pg_attribute a
          WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND pg_catalog.col_description(a.attrelid, a.attnum) IS NOT NULL), NULL) AS statements
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE t.oid = ANY ($1::oid[]) AND t.typtype <> 'm' AND NOT (t.typelem <> 0 AND t.typcategory = 'A')
    AND NOT (t.typtype = 'c' AND t.typrelid = ANY ($3::oid[]))`;

const COLLATIONS = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, 'collation' AS what, ${NAME('n.nspname', 'c.collname')} AS name, false AS type, NULL AS reason,
    format('to_regcollation(%L) IS NOT NULL', ${NAME('n.nspname', 'c.collname')}) AS present,
    ARRAY[format('CREATE COLLATION %I.%I (PROVIDER = %s, %s%s%s)', n.nspname, c.collname, CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
      CASE WHEN c.collprovider = 'c' THEN format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype)
        ELSE format('LOCALE = %L', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', c.collcollate)) END,
      CASE WHEN c.collisdeterministic THEN '' ELSE ', DETERMINISTIC = false' END, coalesce(', RULES = ' || quote_literal(nullif(to_jsonb(c) ->> 'collicurules', '')), ''))] AS statements
  FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = ANY ($1::oid[])`;

/** `FINALFUNC_MODIFY` in words; what an aggregate of this kind has by default needs no word. */
const MODIFY = (column: string, word: string): string =>
  `CASE WHEN ${column} = CASE WHEN g.aggkind = 'n' THEN 'r' ELSE 'w' END THEN '' ELSE format(', ${word} = %s', CASE ${column} WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END) END`;
const PROC_OPTION = (column: string, word: string): string => `CASE WHEN ${column} <> 0 THEN format(', ${word} = %s', ${PROC(column)}) ELSE '' END`;
const AGGREGATE_REST = `concat(${MODIFY('g.aggfinalmodify', 'FINALFUNC_MODIFY')}, CASE WHEN g.aggtransspace <> 0 THEN format(', SSPACE = %s', g.aggtransspace) END,
      ${PROC_OPTION('g.aggserialfn', 'SERIALFUNC')}, ${PROC_OPTION('g.aggdeserialfn', 'DESERIALFUNC')},
      CASE WHEN g.aggmtransfn <> 0 THEN concat(${PROC_OPTION('g.aggmtransfn', 'MSFUNC')}, ${PROC_OPTION('g.aggminvtransfn', 'MINVFUNC')}, ', MSTYPE = ', pg_catalog.format_type(g.aggmtranstype, NULL),
        CASE WHEN g.aggmtransspace <> 0 THEN format(', MSSPACE = %s', g.aggmtransspace) END, ${PROC_OPTION('g.aggmfinalfn', 'MFINALFUNC')}, CASE WHEN g.aggmfinalextra THEN ', MFINALFUNC_EXTRA' END,
        ${MODIFY('g.aggmfinalmodify', 'MFINALFUNC_MODIFY')}, ', MINITCOND = ' || quote_literal(g.aggminitval)) END,
      CASE WHEN g.aggsortop <> 0 THEN ', SORTOP = ' || ${OPERATOR('g.aggsortop')} END, CASE WHEN g.aggkind = 'h' THEN ', HYPOTHETICAL' END)`;

const AGGREGATE = `format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %s, STYPE = %s%s%s%s%s%s)', n.nspname, p.proname, CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_catalog.pg_get_function_identity_arguments(p.oid) END,
    ${PROC('g.aggtransfn')}, pg_catalog.format_type(g.aggtranstype, NULL), CASE WHEN g.aggfinalfn <> 0 THEN format(', FINALFUNC = %s', ${PROC('g.aggfinalfn')}) ELSE '' END,
    CASE WHEN g.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END || ${AGGREGATE_REST}, CASE WHEN g.aggcombinefn <> 0 THEN format(', COMBINEFUNC = %s', ${PROC('g.aggcombinefn')}) ELSE '' END,
    coalesce(', INITCOND = ' || quote_literal(g.agginitval), ''), CASE p.proparallel WHEN 's' THEN ', PARALLEL = SAFE' WHEN 'r' THEN ', PARALLEL = RESTRICTED' ELSE '' END)`;

const FUNCTIONS = `
  SELECT p.oid::int8 AS oid, n.nspname AS schema, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS what, p.oid::regprocedure::text AS name, false AS type,
    format('to_regprocedure(%L) IS NOT NULL', p.oid::regprocedure::text) AS present,
    NULL AS reason,
    ARRAY[CASE WHEN p.prokind = 'a' THEN ${AGGREGATE} ELSE pg_catalog.pg_get_functiondef(p.oid) END] AS statements
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid
  WHERE p.oid = ANY ($1::oid[])
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')`;

const OPERATORS = `
  SELECT o.oid::int8 AS oid, n.nspname AS schema, 'operator' AS what, o.oid::regoperator::text AS name, false AS type, NULL AS reason,
    format('to_regoperator(%L) IS NOT NULL', o.oid::regoperator::text) AS present,
    ARRAY[format('CREATE OPERATOR %I.%s (%s)', n.nspname, o.oprname, concat_ws(', ', 'FUNCTION = ' || ${PROC('o.oprcode')},
      CASE WHEN o.oprleft <> 0 THEN 'LEFTARG = ' || pg_catalog.format_type(o.oprleft, NULL) END, CASE WHEN o.oprright <> 0 THEN 'RIGHTARG = ' || pg_catalog.format_type(o.oprright, NULL) END,
      'COMMUTATOR = ' || ${OPERATOR('o.oprcom')}, 'NEGATOR = ' || ${OPERATOR('o.oprnegate')}, 'RESTRICT = ' || ${PROC('o.oprrest')}, 'JOIN = ' || ${PROC('o.oprjoin')},
      CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END))] AS statements
  FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = ANY ($1::oid[]) AND o.oprcode <> 0`;

const OPERATOR_CLASSES = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, 'operator class' AS what, ${NAME('n.nspname', 'c.opcname')} AS name, false AS type, NULL AS reason,
    format('EXISTS (SELECT FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod WHERE n.nspname = %L AND c.opcname = %L AND m.amname = %L)',
      n.nspname, c.opcname, m.amname) AS present,
    ARRAY[format('CREATE OPERATOR CLASS %I.%I %sFOR TYPE %s USING %I AS %s', n.nspname, c.opcname, CASE WHEN c.opcdefault THEN 'DEFAULT ' ELSE '' END, pg_catalog.format_type(c.opcintype, NULL), m.amname,
      concat_ws(', ', 'STORAGE ' || pg_catalog.format_type(nullif(c.opckeytype, 0), NULL),
        (SELECT string_agg(format('OPERATOR %s %s', o.amopstrategy, o.amopopr::regoperator::text), ', ' ORDER BY o.amopstrategy) FROM pg_catalog.pg_amop o
          WHERE o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype AND o.amoppurpose = 's'),
        (SELECT string_agg(format('FUNCTION %s %s', f.amprocnum, f.amproc::regprocedure::text), ', ' ORDER BY f.amprocnum) FROM pg_catalog.pg_amproc f
          WHERE f.amprocfamily = c.opcfamily AND f.amproclefttype = c.opcintype AND f.amprocrighttype = c.opcintype),
        -- A class may hold nothing, but not be told so.
        CASE WHEN c.opckeytype = 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_amop o WHERE o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype)
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_amproc f WHERE f.amprocfamily = c.opcfamily AND f.amproclefttype = c.opcintype) THEN 'STORAGE ' || pg_catalog.format_type(c.opcintype, NULL) END))] AS statements
  FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod WHERE c.oid = ANY ($1::oid[])`;

const CASTS = `
  SELECT c.oid::int8 AS oid, 'pg_catalog' AS schema, 'cast' AS what, format('%s AS %s', pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL)) AS name, false AS type, NULL AS reason,
    format('EXISTS (SELECT FROM pg_catalog.pg_cast WHERE castsource = to_regtype(%L) AND casttarget = to_regtype(%L))', pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL)) AS present,
    ARRAY[format('CREATE CAST (%s AS %s) %s%s', pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL),
      CASE c.castmethod WHEN 'i' THEN 'WITH INOUT' WHEN 'b' THEN 'WITHOUT FUNCTION' ELSE 'WITH FUNCTION ' || c.castfunc::regprocedure::text END,
      CASE c.castcontext WHEN 'i' THEN ' AS IMPLICIT' WHEN 'a' THEN ' AS ASSIGNMENT' ELSE '' END)] AS statements
  FROM pg_catalog.pg_cast c WHERE c.oid = ANY ($1::oid[])`;

const TEXT_SEARCH_DICTIONARIES = `
  SELECT d.oid::int8 AS oid, n.nspname AS schema, 'text search dictionary' AS what, ${NAME('n.nspname', 'd.dictname')} AS name, false AS type, NULL AS reason,
    format('EXISTS (SELECT FROM pg_catalog.pg_ts_dict d JOIN pg_catalog.pg_namespace n ON n.oid = d.dictnamespace WHERE n.nspname = %L AND d.dictname = %L)', n.nspname, d.dictname) AS present,
    ARRAY[format('CREATE TEXT SEARCH DICTIONARY %I.%I (TEMPLATE = %I.%I%s)', n.nspname, d.dictname, tn.nspname, t.tmplname, coalesce(', ' || d.dictinitoption, ''))] AS statements
  FROM pg_catalog.pg_ts_dict d JOIN pg_catalog.pg_namespace n ON n.oid = d.dictnamespace JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.tmplnamespace WHERE d.oid = ANY ($1::oid[])`;

const TEXT_SEARCH_CONFIGURATIONS = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, 'text search configuration' AS what, ${NAME('n.nspname', 'c.cfgname')} AS name, false AS type, NULL AS reason,
    format('EXISTS (SELECT FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace WHERE n.nspname = %L AND c.cfgname = %L)', n.nspname, c.cfgname) AS present,
    ARRAY[format('CREATE TEXT SEARCH CONFIGURATION %I.%I (PARSER = %I.%I)', n.nspname, c.cfgname, pn.nspname, p.prsname)]
      || ARRAY(SELECT format('ALTER TEXT SEARCH CONFIGURATION %I.%I ADD MAPPING FOR %I WITH %s', n.nspname, c.cfgname,
          (SELECT k.alias FROM pg_catalog.ts_token_type(c.cfgparser) k WHERE k.tokid = m.maptokentype), string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno))
        FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = c.oid GROUP BY m.maptokentype ORDER BY m.maptokentype) AS statements
  FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_catalog.pg_ts_parser p ON p.oid = c.cfgparser
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.prsnamespace WHERE c.oid = ANY ($1::oid[])`;

/** Sequences that are used though no column of the tables $3 owns them. */
const SEQUENCES = `
  SELECT q.oid, q.schema, 'sequence' AS what, format('%I.%I', q.schema, q.name) AS name, false AS type, NULL AS reason, format('to_regclass(%L) IS NOT NULL', format('%I.%I', q.schema, q.name)) AS present,
    ARRAY[format('CREATE SEQUENCE %I.%I AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', q.schema, q.name, q.type, q.increment, q.minimum, q.maximum, q.start, q.cache,
      CASE WHEN q.cycle THEN 'CYCLE' ELSE 'NO CYCLE' END)] AS statements
  FROM (SELECT sc.oid::int8 AS oid, ${SEQUENCE_SETTINGS} FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class sc ON sc.oid = s.seqrelid JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace
    WHERE sc.oid = ANY ($1::oid[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = sc.oid AND o.refobjid = ANY ($3::oid[]) AND o.deptype IN ('a', 'i'))) q`;

export const OBJECT_DDL: Record<string, string> = {
  pg_type: TYPES, pg_collation: COLLATIONS, pg_proc: FUNCTIONS, pg_operator: OPERATORS, pg_opclass: OPERATOR_CLASSES, pg_cast: CASTS,
  pg_ts_dict: TEXT_SEARCH_DICTIONARIES, pg_ts_config: TEXT_SEARCH_CONFIGURATIONS, pg_class: SEQUENCES,
};

/** COMMENT ON for the objects (`$1` catalogs, `$2` oids) that have one. */
export const OBJECT_COMMENTS = `
  SELECT o.catalog, o.oid::int8 AS oid, format('COMMENT ON %s %s IS %L', upper(i.type), CASE WHEN i.type = 'aggregate' THEN regexp_replace(i.identity, '\\(\\)$', '(*)') ELSE i.identity END, d.description) AS statement
  FROM unnest($1::text[], $2::oid[]) o(catalog, oid) CROSS JOIN LATERAL (SELECT format('pg_catalog.%I', o.catalog)::regclass::oid AS classid) k
  JOIN pg_catalog.pg_description d ON d.classoid = k.classid AND d.objoid = o.oid AND d.objsubid = 0
  CROSS JOIN LATERAL pg_catalog.pg_identify_object(k.classid, o.oid, 0) i`;

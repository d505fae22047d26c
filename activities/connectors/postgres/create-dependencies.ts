import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { readRows } from './catalog';
import { toMigrationError } from './errors';
import { quoteIdent, quoteLiteral, qualified, type TableName } from './sql';
import type { LeftOut } from './table-definition';

/** Runs a statement that may fail: true when it worked, else the reason without row values. Needs a transaction. */
export async function attempt(client: ClientBase, sql: string): Promise<true | string> {
  await client.query('SAVEPOINT caravan_attempt');
  try {
    await client.query(sql);
    await client.query('RELEASE SAVEPOINT caravan_attempt');
    return true;
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT caravan_attempt');
    return toMigrationError(error, 'the target said').message;
  }
}

interface NeededType extends TableName {
  category: 'b' | 'c' | 'd' | 'e' | 'r' | 'm';
  extension: string | null;
  labels: string[];
  base: string | null;
  collation: string | null;
  notNull: boolean;
  fallback: string | null;
  checks: { name: string; definition: string }[];
  attributes: { name: string; type: string }[];
  depth: number;
}

interface NeededFunction extends TableName { signature: string; definition: string | null; extension: string | null; language: string }
interface NeededSequence extends TableName { type: string; start: string; increment: string; minimum: string; maximum: string; cache: string; cycle: boolean }

const EXTENSION_OF = (catalog: string, oid: string): string =>
  `(SELECT e.extname FROM pg_catalog.pg_depend x JOIN pg_catalog.pg_extension e ON e.oid = x.refobjid WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype = 'e')`;

/** Types of the columns and all they are made of, deepest first. */
const TYPES = `
  WITH RECURSIVE needed(oid, depth) AS (
    SELECT a.atttypid, 0 FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attname = ANY ($2::text[])
    UNION
    SELECT below.oid, needed.depth + 1 FROM needed JOIN pg_catalog.pg_type t ON t.oid = needed.oid
    CROSS JOIN LATERAL (
      SELECT t.typelem AS oid WHERE t.typcategory = 'A' AND t.typelem <> 0
      UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
    ) below WHERE needed.depth < 16
  )
  SELECT n.nspname AS schema, t.typname AS name, t.typtype AS category, max(needed.depth) AS depth, ${EXTENSION_OF('pg_type', 't.oid')} AS extension,
    (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]'::json) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) AS labels,
    CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END AS base,
    (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
       WHERE t.typtype = 'd' AND co.oid = t.typcollation AND co.collname <> 'default') AS collation,
    t.typnotnull AS "notNull", t.typdefault AS fallback,
    (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'definition', pg_catalog.pg_get_constraintdef(k.oid)) ORDER BY k.conname), '[]'::json)
       FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS checks,
    (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum), '[]'::json)
       FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes
  FROM needed JOIN pg_catalog.pg_type t ON t.oid = needed.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND t.typcategory <> 'A'
  GROUP BY n.nspname, t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, t.typcollation, t.typnotnull, t.typdefault, t.typrelid
  ORDER BY max(needed.depth) DESC, n.nspname, t.typname`;

/** Objects that defaults, generated columns, checks, indexes and domains of a table lean on. */
const EXPRESSIONS = `
  SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d
  WHERE (d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid IN (SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid = $1))
     OR (d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid IN (
          SELECT k.oid FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1
            OR k.contypid IN (SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped)))
     OR (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid IN (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = $1))`;

const FUNCTIONS = `
  SELECT DISTINCT n.nspname AS schema, p.proname AS name, pg_catalog.pg_get_function_identity_arguments(p.oid) AS signature,
    CASE WHEN p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) END AS definition, l.lanname AS language, ${EXTENSION_OF('pg_proc', 'p.oid')} AS extension
  FROM (${EXPRESSIONS}) used JOIN pg_catalog.pg_proc p ON p.oid = used.refobjid AND used.refclassid = 'pg_catalog.pg_proc'::regclass
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3`;

/** Sequences that a default uses though no column owns them. */
const SHARED_SEQUENCES = `
  SELECT DISTINCT n.nspname AS schema, c.relname AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type, s.seqstart::text AS start, s.seqincrement::text AS increment,
    s.seqmin::text AS minimum, s.seqmax::text AS maximum, s.seqcache::text AS cache, s.seqcycle AS cycle
  FROM (${EXPRESSIONS}) used JOIN pg_catalog.pg_class c ON c.oid = used.refobjid AND used.refclassid = 'pg_catalog.pg_class'::regclass AND c.relkind = 'S'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend o WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.refobjid = $1 AND o.deptype IN ('a', 'i'))
  ORDER BY 1, 2`;

/** Makes what the table's columns and expressions need, where the target lacks it. Columns in `unneeded` do not count. */
export async function createDependencies(source: ClientBase, target: ClientBase, oid: number, unneeded: string[]): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  const types = await readRows<NeededType>(source, TYPES, [oid, unneeded]);
  const functions = await readRows<NeededFunction>(source, FUNCTIONS, [oid]);
  const extensions = new Set([...types, ...functions].map((object) => object.extension).filter((name) => name !== null));
  for (const name of extensions) await createExtension(source, target, name);
  // Bodies may name each other: they are checked when they run.
  await target.query('SET LOCAL check_function_bodies = off');
  // Functions over types of the user need the types, domains with checks need functions: types without checks come first.
  for (const type of types) if (type.extension === null) await createType(target, type);
  for (const needed of functions) if (needed.extension === null) leftOut.push(...(await createFunction(target, needed)));
  for (const type of types) if (type.extension === null && type.category === 'd') leftOut.push(...(await addDomainChecks(target, type)));
  for (const sequence of await readRows<NeededSequence>(source, SHARED_SEQUENCES, [oid])) await createSequence(target, sequence, true);
  return leftOut;
}

export async function createSchemaIfMissing(target: ClientBase, schema: string): Promise<void> {
  const [found] = await readRows<{ found: boolean }>(target, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS found`, [schema]);
  // IF NOT EXISTS alone would ask for the right to create even when it is there.
  if (!found?.found) await target.query(`CREATE SCHEMA IF NOT EXISTS ${quoteIdent(schema)}`);
}

export async function createSequence(target: ClientBase, sequence: NeededSequence, shared: boolean): Promise<void> {
  await createSchemaIfMissing(target, sequence.schema);
  await target.query(`CREATE SEQUENCE ${shared ? 'IF NOT EXISTS ' : ''}${qualified(sequence)} AS ${sequence.type} ${sequenceOptions(sequence)}`);
}

export function sequenceOptions(sequence: Omit<NeededSequence, 'schema' | 'name' | 'type'>): string {
  return `INCREMENT BY ${sequence.increment} MINVALUE ${sequence.minimum} MAXVALUE ${sequence.maximum} START WITH ${sequence.start} CACHE ${sequence.cache} ${sequence.cycle ? 'CYCLE' : 'NO CYCLE'}`;
}

async function createExtension(source: ClientBase, target: ClientBase, name: string): Promise<void> {
  const [there] = await readRows(target, `SELECT extname FROM pg_catalog.pg_extension WHERE extname = $1`, [name]);
  if (there) return;
  const [from] = await readRows<{ schema: string }>(
    source, `SELECT n.nspname AS schema FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = $1`, [name]);
  const schema = from?.schema ?? 'public';
  await createSchemaIfMissing(target, schema);
  const made = await attempt(target, `CREATE EXTENSION IF NOT EXISTS ${quoteIdent(name)} SCHEMA ${quoteIdent(schema)}`);
  if (made !== true) {
    throw new MigrationError('MAPPING_INVALID', `the target lacks the extension ${name}, which the source's columns need, and it could not be created (${made}). Have it installed: CREATE EXTENSION ${quoteIdent(name)} SCHEMA ${quoteIdent(schema)};`);
  }
}

async function createType(target: ClientBase, type: NeededType): Promise<void> {
  const name = `${type.schema}.${type.name}`;
  const [existing] = await readRows<{ category: string; labels: string[]; base: string | null; notNull: boolean }>(
    target,
    `SELECT t.typtype AS category, t.typnotnull AS "notNull", CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END AS base,
       (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]'::json) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) AS labels
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $2`,
    [type.schema, type.name],
  );
  if (existing) {
    const same = existing.category === type.category && existing.base === type.base && existing.notNull === type.notNull && JSON.stringify(existing.labels) === JSON.stringify(type.labels);
    if (same) return;
    throw new MigrationError('MAPPING_INVALID', `type ${name} exists in the target and differs from the source's. Make them equal, or rename the one in the target.`);
  }
  await createSchemaIfMissing(target, type.schema);
  if (type.category === 'e') await target.query(`CREATE TYPE ${qualified(type)} AS ENUM (${type.labels.map(quoteLiteral).join(', ')})`);
  else if (type.category === 'c') await target.query(`CREATE TYPE ${qualified(type)} AS (${type.attributes.map((a) => `${quoteIdent(a.name)} ${a.type}`).join(', ')})`);
  else if (type.category === 'd') {
    await target.query(`CREATE DOMAIN ${qualified(type)} AS ${type.base ?? 'text'}${type.collation ? ` COLLATE ${type.collation}` : ''}${type.notNull ? ' NOT NULL' : ''}`);
  } else throw new MigrationError('MAPPING_INVALID', `type ${name} of the source is of a kind that is not created by itself. Create it in the target first.`);
}

async function addDomainChecks(target: ClientBase, type: NeededType): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  const present = await readRows<{ name: string }>(
    target,
    `SELECT k.conname AS name FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type t ON t.oid = k.contypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE n.nspname = $1 AND t.typname = $2`, [type.schema, type.name]);
  const statements = type.checks.filter((check) => !present.some((other) => other.name === check.name))
    .map((check) => ({ what: 'domain check', name: `${type.name}.${check.name}`, sql: `ADD CONSTRAINT ${quoteIdent(check.name)} ${check.definition}` }));
  if (type.fallback !== null) statements.push({ what: 'domain default', name: type.name, sql: `SET DEFAULT ${type.fallback}` });
  for (const { what, name, sql } of statements) {
    const made = await attempt(target, `ALTER DOMAIN ${qualified(type)} ${sql}`);
    if (made !== true) leftOut.push({ what, name, reason: made });
  }
  return leftOut;
}

async function createFunction(target: ClientBase, needed: NeededFunction): Promise<LeftOut[]> {
  const name = `${needed.schema}.${needed.name}(${needed.signature})`;
  const [there] = await readRows(
    target,
    `SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND p.proname = $2 AND pg_catalog.pg_get_function_identity_arguments(p.oid) = $3`, [needed.schema, needed.name, needed.signature]);
  if (there) return [];
  if (needed.definition === null || !['sql', 'plpgsql'].includes(needed.language)) {
    return [{ what: 'function', name, reason: `it is written in ${needed.language}; only sql and plpgsql are carried` }];
  }
  await createSchemaIfMissing(target, needed.schema);
  const made = await attempt(target, needed.definition);
  return made === true ? [] : [{ what: 'function', name, reason: made }];
}

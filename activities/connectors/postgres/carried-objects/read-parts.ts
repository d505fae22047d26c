import type { ClientBase } from 'pg';
import { readRows, serverMajor, USER_SCHEMAS } from '../catalog';
import { readObjects } from '../create-dependencies';
import { readClosure } from '../dependency-closure';
import type { PartKind, SchemaObject } from './schema-object';

const FREE = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype IN ('e', 'i'))`;
const IN_SCHEMA = (column: string): string => `JOIN pg_catalog.pg_namespace n ON n.oid = o.${column} AND ${USER_SCHEMAS}`;

const PARTS = [
  `SELECT 'pg_type' AS catalog, o.oid FROM pg_catalog.pg_type o ${IN_SCHEMA('typnamespace')} LEFT JOIN pg_catalog.pg_class c ON c.oid = o.typrelid
     WHERE (o.typtype IN ('e', 'd', 'r') OR (o.typtype = 'c' AND c.relkind = 'c') OR (o.typtype = 'b' AND o.typcategory <> 'A')) AND ${FREE('pg_type', 'o.oid').replace("('e', 'i')", "('e')")}`,
  `SELECT 'pg_collation', o.oid FROM pg_catalog.pg_collation o ${IN_SCHEMA('collnamespace')} WHERE ${FREE('pg_collation', 'o.oid')}`,
  `SELECT 'pg_class', o.oid FROM pg_catalog.pg_class o ${IN_SCHEMA('relnamespace')} WHERE o.relkind = 'S' AND ${FREE('pg_class', 'o.oid')}
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend a WHERE a.classid = 'pg_catalog.pg_class'::regclass AND a.objid = o.oid AND a.refclassid = 'pg_catalog.pg_class'::regclass AND a.deptype = 'a')`,
  `SELECT 'pg_proc', o.oid FROM pg_catalog.pg_proc o ${IN_SCHEMA('pronamespace')} WHERE o.prokind = 'a' AND ${FREE('pg_proc', 'o.oid')}`,
  `SELECT 'pg_operator', o.oid FROM pg_catalog.pg_operator o ${IN_SCHEMA('oprnamespace')} WHERE o.oprcode <> 0 AND ${FREE('pg_operator', 'o.oid')}`,
  `SELECT 'pg_opclass', o.oid FROM pg_catalog.pg_opclass o ${IN_SCHEMA('opcnamespace')} WHERE ${FREE('pg_opclass', 'o.oid')}`,
  `SELECT 'pg_cast', o.oid FROM pg_catalog.pg_cast o WHERE o.oid >= 16384 AND ${FREE('pg_cast', 'o.oid')}`,
  `SELECT 'pg_ts_dict', o.oid FROM pg_catalog.pg_ts_dict o ${IN_SCHEMA('dictnamespace')} WHERE ${FREE('pg_ts_dict', 'o.oid')}`,
  `SELECT 'pg_ts_config', o.oid FROM pg_catalog.pg_ts_config o ${IN_SCHEMA('cfgnamespace')} WHERE ${FREE('pg_ts_config', 'o.oid')}`,
];

export interface Part extends SchemaObject<PartKind> { catalog: string }

/** Types, sequences, aggregates, operators and the like, whether or not a table leans on them. Call it under an empty search path. */
export async function readParts(client: ClientBase): Promise<Part[]> {
  const objects = await readRows<{ catalog: string; oid: number }>(client, `SELECT catalog, oid::int8 AS oid FROM (${PARTS.join(' UNION ALL ')}) every ORDER BY oid`);
  if (objects.length === 0) return [];
  const found = await readObjects(client, { objects, tables: [] }, await serverMajor(client));
  return found.map(({ catalog, oid, schema, what, name, present, statements, reason }) => ({
    catalog, oid, schema, name, present, kind: what.replaceAll(' ', '_') as PartKind, own: name, signature: '', definition: statements[0] ?? '',
    make: statements, afterLoad: [], on: null, obstacle: reason, roles: [],
  }));
}

/** What comes with the tables that the plan makes, because they lean on it: keys of `catalog oid`. */
export async function readLeanedOn(client: ClientBase, tables: readonly number[]): Promise<Set<string>> {
  const { objects } = await readClosure(client, tables.map((oid) => ({ oid, unneeded: [] })));
  return new Set(objects.map(({ catalog, oid }) => `${catalog} ${oid}`));
}

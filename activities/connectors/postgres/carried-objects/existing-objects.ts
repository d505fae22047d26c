import type { ClientBase } from 'pg';
import { readRows } from '../catalog';
import { isPresent, typeStatement } from '../create-dependencies';
import type { SchemaObject } from './schema-object';

interface Found { kind: string; definition: string | null }

const FUNCTION = `
  SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS kind, CASE WHEN p.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid) END AS definition
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = $1 AND p.proname = $2 AND pg_catalog.pg_get_function_identity_arguments(p.oid) = $3`;

const RELATION = `
  SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' ELSE 'table' END AS kind,
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END AS definition
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND $3 = ''`;

/** A type must be the same; of the rest the name tells all that others lean on. */
async function existingPart(target: ClientBase, { kind, name, definition, present }: { kind: string; name: string; definition: string; present: string }): Promise<string | null> {
  if (!(await isPresent(target, present))) return null;
  if (kind !== 'type' && kind !== 'domain') return 'equal';
  return (await typeStatement(target, name)) === definition ? 'equal' : `the target has another ${kind} of this name`;
}

/** Whether the target has an object of this name: null when not, `equal`, or what stands in the way. Call it under an empty search path. */
export async function existing(target: ClientBase, { kind, schema, name, own, signature, definition, present }: SchemaObject): Promise<string | null> {
  if (present !== undefined) return existingPart(target, { kind, name, definition, present });
  const [found] = await readRows<Found>(target, kind === 'function' ? FUNCTION : RELATION, [schema, own, signature]);
  if (!found) return null;
  return found.definition === definition ? 'equal' : `the target has another ${found.kind} of this name`;
}

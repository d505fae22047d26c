import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { readRows } from './catalog';
import type { TablePlan } from './create-table';
import type { LeftOut } from './table-definition';

/** What tells why a type is missing in the target. */
export interface MissingTypeContext { source: ClientBase; missingExtensions: Map<string, string>; place: string }

/**
 * Columns whose type the target's version lacks, or that could not be made there, become `text`: every value has a text form.
 * Changes the plan and answers what it changed; the same on every run against the same target.
 * @throws MigrationError `MAPPING_INVALID` when an extension is missing that could bring the type: with it the column would be exact.
 */
export async function replaceMissingTypes(target: ClientBase, plan: TablePlan, context?: MissingTypeContext): Promise<LeftOut[]> {
  const types = plan.columns.map(({ type }) => type);
  const missing = new Set((await readRows<{ type: string }>(target, `SELECT t AS type FROM unnest($1::text[]) t WHERE to_regtype(t) IS NULL`, [types])).map(({ type }) => type));
  const leftOut: LeftOut[] = [];
  for (const column of plan.columns) {
    if (!missing.has(column.type)) continue;
    if (context) await refuseMissingExtension(context, column.type);
    leftOut.push({ what: 'type', name: `${column.name} ${column.type}`, reason: 'the target has no such type; the column is text' });
    Object.assign(column, { type: 'text', overridden: true, collation: null, storage: null, expression: null, generated: '', identity: '' });
  }
  return leftOut;
}

async function refuseMissingExtension({ source, missingExtensions, place }: MissingTypeContext, type: string): Promise<void> {
  const [found] = await readRows<{ name: string }>(
    source,
    `SELECT e.extname AS name FROM pg_catalog.pg_type t JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::regclass AND d.objid IN (t.oid, t.typelem) AND d.deptype = 'e'
     JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE t.oid = to_regtype($1)`, [type]);
  const reason = found && missingExtensions.get(found.name);
  if (!found || reason === undefined) return;
  throw new MigrationError('MAPPING_INVALID', `${place}: the target lacks the extension ${found.name}, which type ${type} of the source needs, and it could not be created (${reason}). Have it installed there, or convert the column in the plan.`);
}

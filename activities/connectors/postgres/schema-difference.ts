import type { ClientBase } from 'pg';
import { readColumns, readRows, type Relation } from './catalog';
import type { TablePlan } from './create-table';

interface Shape { type: string; notNull: boolean; generated: boolean; identity: string }

/**
 * How an existing table differs from the one the plan would create, one phrase each; empty when they are equal in columns, types, NOT NULL,
 * generated and identity columns, and primary key. Order of columns, names of constraints and what is built after the load do not count.
 */
export async function compareWithExisting(client: ClientBase, existing: Relation, plan: TablePlan): Promise<string[]> {
  if (existing.kind !== 'table' && existing.kind !== 'partitioned') return [`it is a ${existing.kind.replace('_', ' ')}`];
  const differences: string[] = [];
  const found = new Map((await readColumns(client, [existing.oid])).map((column): [string, Shape] => [
    column.name, { type: column.type, notNull: column.notNull, generated: column.generated !== '', identity: column.identity },
  ]));
  const primary = plan.constraints.find((constraint) => constraint.kind === 'p');
  const wanted = new Map(plan.columns.map((column): [string, Shape] => [
    column.newName,
    { type: column.type, notNull: column.notNull || (primary?.columns.includes(column.name) ?? false), generated: column.generated !== '', identity: column.identity },
  ]));
  for (const column of plan.added) wanted.set(column.name, { type: column.type, notNull: false, generated: false, identity: '' });
  for (const [name, shape] of wanted) {
    const other = found.get(name);
    if (!other) differences.push(`column ${name} is missing`);
    else if (other.type !== shape.type) differences.push(`column ${name} is ${other.type}, not ${shape.type}`);
    else if (other.notNull !== shape.notNull) differences.push(`column ${name} ${other.notNull ? 'is NOT NULL' : 'may be NULL'}`);
    else if (other.generated !== shape.generated) differences.push(`column ${name} is ${other.generated ? '' : 'not '}generated`);
    else if (other.identity !== shape.identity) differences.push(`column ${name} has another identity clause`);
  }
  for (const name of found.keys()) if (!wanted.has(name)) differences.push(`column ${name} is not in the source`);
  const newNames = new Map(plan.columns.map((column) => [column.name, column.newName]));
  const wantedKey = (primary?.columns ?? []).map((name) => newNames.get(name) ?? name);
  const foundKey = await primaryKeyOf(client, existing.oid);
  if (wantedKey.join('\0') !== foundKey.join('\0')) {
    differences.push(`its primary key is ${foundKey.length > 0 ? `(${foundKey.join(', ')})` : 'missing'}${wantedKey.length > 0 ? `, not (${wantedKey.join(', ')})` : ''}`);
  }
  return differences;
}

async function primaryKeyOf(client: ClientBase, oid: number): Promise<string[]> {
  const rows = await readRows<{ name: string }>(
    client,
    `SELECT a.attname AS name FROM pg_catalog.pg_constraint k CROSS JOIN unnest(k.conkey) WITH ORDINALITY c(attnum, ordinal)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.attnum WHERE k.conrelid = $1 AND k.contype = 'p' ORDER BY c.ordinal`,
    [oid],
  );
  return rows.map((row) => row.name);
}

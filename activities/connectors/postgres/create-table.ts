import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { readRows } from './catalog';
import type { CreateRequest } from './create-request';
import { createSequence, sequenceOptions } from './create-dependencies';
import { quoteIdent, quoteLiteral, qualified, type TableName } from './sql';
import type { ColumnDefinition, ConstraintDefinition, IndexDefinition, LeftOut, TableDefinition } from './table-definition';

/** A source column on its way: still under its old name. */
export interface PlannedColumn extends ColumnDefinition { overridden: boolean; newName: string }

export interface TablePlan {
  source: TableDefinition;
  target: TableName;
  columns: PlannedColumn[];
  constraints: ConstraintDefinition[];
  indexes: IndexDefinition[];
  added: { name: string; type: string }[];
  leftOut: LeftOut[];
  /** Columns whose source types the target need not have. */
  unneededTypes: string[];
}

type Attempt = (sql: string) => Promise<true | string>;

const INTEGERS = new Set(['smallint', 'integer', 'bigint']);

/** What the target gets of a source table. Pure: the same answer on every run, so that an existing table can be compared with it. */
export function planTable(source: TableDefinition, request: Omit<CreateRequest, 'dataset' | 'source'>, targetMajor: number): TablePlan {
  const leftOut: LeftOut[] = [];
  const gone = new Set(request.dropped);
  const columns: PlannedColumn[] = [];
  for (const column of source.columns) {
    if (gone.has(column.name)) continue;
    const planned = planColumn(column, request, gone, targetMajor, leftOut);
    if (planned) columns.push(planned);
    else gone.add(column.name);
  }
  const uses = (object: { columns: string[] }): string | undefined => object.columns.find((name) => gone.has(name));
  const keep = <T extends { name: string; columns: string[] }>(objects: T[], what: string): T[] => objects.filter((object) => {
    const missing = uses(object);
    if (missing !== undefined) leftOut.push({ what, name: object.name, reason: `it uses column ${missing}, which the plan drops` });
    return missing === undefined;
  });
  return {
    source, target: request.target, columns, leftOut, added: request.added,
    constraints: keep(source.constraints, 'constraint'),
    indexes: keep(source.indexes, 'index'),
    unneededTypes: [...gone, ...Object.keys(request.typeOverrides)],
  };
}

function planColumn(column: ColumnDefinition, request: Omit<CreateRequest, 'dataset' | 'source'>, gone: Set<string>, targetMajor: number, leftOut: LeftOut[]): PlannedColumn | null {
  const override = Object.hasOwn(request.typeOverrides, column.name) ? request.typeOverrides[column.name] : undefined;
  const planned: PlannedColumn = {
    ...column,
    overridden: override !== undefined && override !== column.type,
    newName: (Object.hasOwn(request.renames, column.name) ? request.renames[column.name] : undefined) ?? column.name,
  };
  if (planned.overridden && override !== undefined) {
    planned.type = override;
    planned.collation = null;
    planned.storage = null;
    if (column.generated !== '' || ((column.identity !== '' || column.sequence) && !INTEGERS.has(override))) {
      leftOut.push({ what: column.generated === '' ? 'sequence' : 'generated column', name: column.name, reason: `the plan turns the column into ${override}` });
      Object.assign(planned, { generated: '', identity: '', sequence: null, expression: null });
    }
  }
  if (planned.generated !== '' && request.plain.includes(column.name)) {
    leftOut.push({ what: 'expression of generated column', name: column.name, reason: 'the plan fills the column itself' });
    return { ...planned, generated: '', expression: null };
  }
  if (planned.generated === '') return planned;
  const lost = column.computedFrom.find((name) => gone.has(name) || request.dropped.includes(name));
  if (lost !== undefined) {
    leftOut.push({ what: 'generated column', name: column.name, reason: `it is computed from ${lost}, which the plan drops` });
    return null;
  }
  const changed = column.computedFrom.find((name) => Object.hasOwn(request.typeOverrides, name));
  if (changed !== undefined) {
    leftOut.push({ what: 'expression of generated column', name: column.name, reason: `it is computed from ${changed}, whose type the plan changes; the column is a plain one` });
    return { ...planned, generated: '', expression: null };
  }
  if (planned.generated === 'v' && targetMajor < 18) {
    leftOut.push({ what: 'virtual generated column', name: column.name, reason: `the target's version ${targetMajor} has none; it is stored` });
    return { ...planned, generated: 's' };
  }
  return planned;
}

/** Creates the table with everything but foreign keys. What fails though the table can do without it is left out and named. */
export async function buildTable(client: ClientBase, plan: TablePlan, attempt: Attempt): Promise<LeftOut[]> {
  const leftOut = [...plan.leftOut];
  const table = qualified(plan.target);
  const changed = new Set(plan.columns.filter((column) => column.overridden).map((column) => column.name));
  const optional = async (what: string, name: string, sql: string): Promise<boolean> => {
    const made = await attempt(sql);
    if (made !== true) leftOut.push({ what, name, reason: made });
    return made === true;
  };
  const sequences = await makeSequences(client, plan);
  const columns = [];
  for (const column of plan.columns) columns.push(await columnClause(client, plan, column, leftOut));
  const options = plan.source.options.map((option) => option.replace(/^([^=]+)=(.*)$/s, (_, name: string, value: string) => `${name} = ${quoteLiteral(value)}`));
  await client.query(`CREATE ${plan.source.unlogged ? 'UNLOGGED ' : ''}TABLE ${table} (${columns.join(', ')})${options.length > 0 ? ` WITH (${options.join(', ')})` : ''}`);
  for (const column of plan.columns) await finishColumn(client, plan, column, sequences.get(column.name), optional);
  for (const constraint of plan.constraints) await addConstraint(client, plan, constraint, changed, optional);
  for (const index of plan.indexes) await addIndex(client, plan, index, changed, optional);
  if (plan.source.comment !== null) await client.query(`COMMENT ON TABLE ${table} IS ${quoteLiteral(plan.source.comment)}`);
  await rename(client, plan);
  for (const column of plan.added) await client.query(`ALTER TABLE ${table} ADD COLUMN ${quoteIdent(column.name)} ${column.type}`);
  return leftOut;
}

async function makeSequences(client: ClientBase, plan: TablePlan): Promise<Map<string, TableName>> {
  const made = new Map<string, TableName>();
  for (const column of plan.columns) {
    if (!column.sequence || column.identity !== '') continue;
    const name = { schema: plan.target.schema, name: await freeName(client, plan, column.sequence.name) };
    await createSequence(client, { ...column.sequence, ...name }, false);
    made.set(column.name, name);
  }
  return made;
}

async function columnClause(client: ClientBase, plan: TablePlan, column: PlannedColumn, leftOut: LeftOut[]): Promise<string> {
  const parts = [quoteIdent(column.name), column.type];
  if (column.collation !== null) {
    const [found] = await readRows<{ oid: unknown }>(client, `SELECT to_regcollation($1) AS oid`, [column.collation]);
    if (found?.oid) parts.push(`COLLATE ${column.collation}`);
    else leftOut.push({ what: 'collation', name: `${column.name} ${column.collation}`, reason: 'the target has no such collation; the default one is used' });
  }
  if (column.notNull) parts.push('NOT NULL');
  if (column.generated !== '') parts.push(`GENERATED ALWAYS AS (${column.expression ?? 'NULL'}) ${column.generated === 's' ? 'STORED' : 'VIRTUAL'}`);
  if (column.identity !== '') {
    const sequence = column.sequence;
    const named = sequence ? `SEQUENCE NAME ${qualified({ schema: plan.target.schema, name: await freeName(client, plan, sequence.name) })} ${sequenceOptions(sequence)}` : '';
    parts.push(`GENERATED ${column.identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY${named && ` (${named})`}`);
  }
  return parts.join(' ');
}

type Optional = (what: string, name: string, sql: string) => Promise<boolean>;

async function finishColumn(client: ClientBase, plan: TablePlan, column: PlannedColumn, sequence: TableName | undefined, optional: Optional): Promise<void> {
  const table = qualified(plan.target);
  const name = quoteIdent(column.name);
  if (sequence) {
    await client.query(`ALTER TABLE ${table} ALTER COLUMN ${name} SET DEFAULT nextval(${quoteLiteral(qualified(sequence))}::regclass)`);
    await client.query(`ALTER SEQUENCE ${qualified(sequence)} OWNED BY ${table}.${name}`);
  } else if (column.expression !== null && column.generated === '') {
    await optional('default', column.name, `ALTER TABLE ${table} ALTER COLUMN ${name} SET DEFAULT ${column.expression}`);
  }
  if (column.statistics !== null) await client.query(`ALTER TABLE ${table} ALTER COLUMN ${name} SET STATISTICS ${Math.trunc(column.statistics)}`);
  if (column.storage !== null) await optional('storage', column.name, `ALTER TABLE ${table} ALTER COLUMN ${name} SET STORAGE ${column.storage}`);
  if (column.comment !== null) await client.query(`COMMENT ON COLUMN ${table}.${name} IS ${quoteLiteral(column.comment)}`);
}

async function addConstraint(client: ClientBase, plan: TablePlan, constraint: ConstraintDefinition, changed: Set<string>, optional: Optional): Promise<void> {
  const table = qualified(plan.target);
  const wanted = constraint.name === '' ? `${plan.target.name}_pkey` : constraint.name;
  const name = constraint.kind === 'c' ? wanted : await freeName(client, plan, wanted);
  const sql = `ALTER TABLE ${table} ADD CONSTRAINT ${quoteIdent(name)} ${constraint.definition}`;
  const mustHold = constraint.kind === 'p' && !constraint.columns.some((column) => changed.has(column));
  if (mustHold) await client.query(sql);
  else if (!(await optional('constraint', wanted, sql))) return;
  if (constraint.comment !== null) await client.query(`COMMENT ON CONSTRAINT ${quoteIdent(name)} ON ${table} IS ${quoteLiteral(constraint.comment)}`);
}

async function addIndex(client: ClientBase, plan: TablePlan, index: IndexDefinition, changed: Set<string>, optional: Optional): Promise<void> {
  if (!index.definition.startsWith(index.prefix)) throw new MigrationError('INTERNAL', `index ${index.name}: its definition does not begin as expected. Please report it.`);
  const name = await freeName(client, plan, index.name);
  const tail = index.definition.slice(index.prefix.length);
  const made = await optional('index', index.name, `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdent(name)} ON ${qualified(plan.target)}${tail}`);
  if (!made || (index.columns.some((column) => changed.has(column)) && index.statistics)) return;
  const own = qualified({ schema: plan.target.schema, name });
  for (const { position, target } of index.statistics ?? []) await client.query(`ALTER INDEX ${own} ALTER COLUMN ${Math.trunc(position)} SET STATISTICS ${Math.trunc(target)}`);
  if (index.comment !== null) await client.query(`COMMENT ON INDEX ${own} IS ${quoteLiteral(index.comment)}`);
  if (index.clustered) await client.query(`ALTER TABLE ${qualified(plan.target)} CLUSTER ON ${quoteIdent(name)}`);
}

/** Through names of its own, so that columns may swap names. */
async function rename(client: ClientBase, plan: TablePlan): Promise<void> {
  const table = qualified(plan.target);
  const moved = plan.columns.filter((column) => column.newName !== column.name);
  for (const [at, column] of moved.entries()) await client.query(`ALTER TABLE ${table} RENAME COLUMN ${quoteIdent(column.name)} TO ${quoteIdent(`caravan renamed ${at}`)}`);
  for (const [at, column] of moved.entries()) await client.query(`ALTER TABLE ${table} RENAME COLUMN ${quoteIdent(`caravan renamed ${at}`)} TO ${quoteIdent(column.newName)}`);
}

/**
 * A name that is free in the target's schema: the old one, with the old table's name at its front replaced by the new one
 * (`users_pkey` of a table that becomes `people` is `people_pkey`), numbered when it is taken.
 */
async function freeName(client: ClientBase, plan: TablePlan, old: string): Promise<string> {
  const from = plan.source.name;
  const wanted = from !== '' && from !== plan.target.name && old.startsWith(`${from}_`) ? `${plan.target.name}${old.slice(from.length)}` : old;
  for (let number = 0; ; number++) {
    const suffix = number === 0 ? '' : `_${number}`;
    const name = `${clip(wanted, 63 - suffix.length)}${suffix}`;
    const taken = await readRows(
      client, `SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
      [plan.target.schema, name]);
    if (taken.length === 0) return name;
  }
}

/** The server cuts names at 63 bytes: cut here the same way, between characters. */
function clip(name: string, bytes: number): string {
  let cut = name;
  while (new TextEncoder().encode(cut).length > bytes) cut = [...cut].slice(0, -1).join('');
  return cut;
}

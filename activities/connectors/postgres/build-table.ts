import type { ClientBase } from 'pg';
import { finishColumns } from './build-columns';
import { addConstraint, addIndexes, addStatistics } from './build-indexes';
import { freeName, optionally, type Building, type Optional } from './building';
import { readRows } from './catalog';
import type { PlannedColumn, TablePlan } from './create-table';
import { quoteIdent, quoteLiteral, qualified, type TableName } from './sql';
import type { ConstraintDefinition, LeftOut, SequenceSettings } from './table-definition';

/** The table with its columns, and its partitions, all under the source's column names; constraints, defaults and indexes come with `finishTable`. */
export async function createTable(building: Building, plan: TablePlan, parents: TableName[]): Promise<LeftOut[]> {
  const { client, schemas } = building;
  const leftOut = [...plan.leftOut];
  await schemas.ensure(plan.target.schema);
  await makeSequences(building, plan);
  const columns: string[] = [];
  for (const column of plan.columns) {
    const inherited = plan.ofType === null && parents.length > 0 && column.inherited && !column.local;
    if (!inherited) columns.push(await columnClause(building, plan, column, leftOut));
    else if (column.notNull && column.notNullLocal && column.notNullName !== null && building.major >= 18) columns.push(`CONSTRAINT ${quoteIdent(column.notNullName)} NOT NULL ${quoteIdent(column.name)}`);
  }
  // From version 18 on a partitioned table cannot be unlogged; its partitions can.
  const unlogged = plan.source.unlogged && plan.partitioning === null ? 'UNLOGGED ' : '';
  const body = plan.ofType === null ? ` (${columns.join(', ')})` : ` OF ${plan.ofType}${columns.length > 0 ? ` (${columns.join(', ')})` : ''}`;
  const inherits = parents.length > 0 ? ` INHERITS (${parents.map(qualified).join(', ')})` : '';
  const partitioned = plan.partitioning === null ? '' : ` PARTITION BY ${plan.partitioning.key}`;
  await client.query(`CREATE ${unlogged}TABLE ${qualified(plan.target)}${body}${inherits}${partitioned}`);
  await setAccessMethod(building, plan, leftOut);
  if (parents.length > 0) {
    await restoreNotNull(client, plan);
    leftOut.push(...(await orderOfColumns(client, plan)));
  }
  await ownSequences(building, plan);
  for (const partition of plan.partitions) {
    leftOut.push(...(await createTable(building, partition, [])));
    await client.query(`ALTER TABLE ${qualified(plan.target)} ATTACH PARTITION ${qualified(partition.target)} ${partition.source.bound ?? 'DEFAULT'}`);
  }
  return leftOut;
}

async function setAccessMethod(building: Building, plan: TablePlan, leftOut: LeftOut[]): Promise<void> {
  const method = plan.source.accessMethod;
  if (method === null) return;
  if (building.major < 15) leftOut.push({ what: 'access method', name: method, reason: `the target's version ${building.major} cannot change it; the default one is used` });
  else await optionally(building, leftOut)('access method', method, `ALTER TABLE ${qualified(plan.target)} SET ACCESS METHOD ${quoteIdent(method)}`);
}

/** Inherited columns come first; in the source a parent may have got columns after its child was made. */
async function orderOfColumns(client: ClientBase, plan: TablePlan): Promise<LeftOut[]> {
  const made = await readRows<{ name: string }>(
    client,
    `SELECT a.attname AS name FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, [plan.target.schema, plan.target.name]);
  if (made.every(({ name }, at) => plan.columns[at]?.name === name)) return [];
  return [{ what: 'order of columns', name: plan.source.name, reason: 'inherited columns come first in the target' }];
}

/** Where an inherited column is NOT NULL in the child alone, or by another path than the parent's constraint. */
async function restoreNotNull(client: ClientBase, plan: TablePlan): Promise<void> {
  const nullable = await readRows<{ name: string }>(
    client,
    `SELECT a.attname AS name FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attnotnull`, [plan.target.schema, plan.target.name]);
  for (const column of plan.columns) {
    if (column.notNull && nullable.some(({ name }) => name === column.name)) await client.query(`ALTER TABLE ONLY ${qualified(plan.target)} ALTER COLUMN ${quoteIdent(column.name)} SET NOT NULL`);
  }
}

async function makeSequences(building: Building, plan: TablePlan): Promise<void> {
  for (const sequence of plan.sequences) {
    const name = { schema: plan.target.schema, name: await freeName(building.client, plan, sequence.name) };
    building.sequences.set(sequence.spelled, name);
    if (!sequence.identity) await building.client.query(`CREATE SEQUENCE ${qualified(name)} AS ${sequence.type} ${sequenceOptions(sequence)}`);
  }
}

async function ownSequences(building: Building, plan: TablePlan): Promise<void> {
  for (const sequence of plan.sequences) {
    const name = building.sequences.get(sequence.spelled);
    if (!name) continue;
    if (!sequence.identity) await building.client.query(`ALTER SEQUENCE ${qualified(name)} OWNED BY ${qualified(plan.target)}.${quoteIdent(sequence.column)}`);
    if (sequence.comment !== null) await building.client.query(`COMMENT ON SEQUENCE ${qualified(name)} IS ${quoteLiteral(sequence.comment)}`);
  }
}

function sequenceOptions(sequence: SequenceSettings): string {
  return `INCREMENT BY ${sequence.increment} MINVALUE ${sequence.minimum} MAXVALUE ${sequence.maximum} START WITH ${sequence.start} CACHE ${sequence.cache} ${sequence.cycle ? 'CYCLE' : 'NO CYCLE'}`;
}

async function columnClause(building: Building, plan: TablePlan, column: PlannedColumn, leftOut: LeftOut[]): Promise<string> {
  const typed = plan.ofType !== null;
  const parts = typed ? [quoteIdent(column.name), 'WITH OPTIONS'] : [quoteIdent(column.name), column.type];
  if (column.collation !== null && !typed) {
    const [found] = await readRows<{ oid: unknown }>(building.client, `SELECT to_regcollation($1) AS oid`, [column.collation]);
    if (found?.oid) parts.push(`COLLATE ${column.collation}`);
    else leftOut.push({ what: 'collation', name: `${column.name} ${column.collation}`, reason: 'the target has no such collation; the default one is used' });
  }
  if (column.notNull) parts.push(notNullClause(column, building.major));
  if (column.generated !== '') parts.push(`GENERATED ALWAYS AS (${column.expression ?? 'NULL'}) ${column.generated === 's' ? 'STORED' : 'VIRTUAL'}`);
  if (column.identity !== '') {
    const sequence = plan.sequences.find((one) => one.identity && one.column === column.name);
    const name = sequence && building.sequences.get(sequence.spelled);
    const named = name ? ` (SEQUENCE NAME ${qualified(name)} ${sequenceOptions(sequence)})` : '';
    parts.push(`GENERATED ${column.identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY${named}`);
  }
  return parts.join(' ');
}

/** Older targets have NOT NULL without a name. */
function notNullClause(column: PlannedColumn, major: number): string {
  if (major < 18 || column.notNullName === null) return 'NOT NULL';
  return `CONSTRAINT ${quoteIdent(column.notNullName)} NOT NULL${column.notNullNoInherit ? ' NO INHERIT' : ''}`;
}

/**
 * Defaults, constraints (without foreign keys), indexes, storage, comments of a created table and its partitions. What fails is left out and named.
 * `inherits`: the table has its parents in the target, too, so what comes from them is there.
 */
export async function finishTable(building: Building, plan: TablePlan, inherits: boolean): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  const optional = optionally(building, leftOut);
  // Indexes and constraints of partitions first: those of the root then take them over, names and all.
  for (const partition of plan.partitions) leftOut.push(...(await finishTable(building, partition, true)));
  await finishColumns(building, plan, optional, leftOut);
  for (const constraint of plan.constraints) if (!(constraint.inherited && inherits) && !isUnprovedCheck(constraint)) await addConstraint(building, plan, constraint, optional, leftOut);
  await addIndexes(building, plan, optional, leftOut);
  await addStatistics(building, plan, optional);
  await setOptions(plan, optional);
  await setReplicaIdentity(building, plan, optional);
  if (plan.source.comment !== null) await building.client.query(`COMMENT ON TABLE ${qualified(plan.target)} IS ${quoteLiteral(plan.source.comment)}`);
  return leftOut;
}

/** Checks that the source has not proved. Call it when all tables are finished. */
export async function addUnprovedChecks(building: Building, plan: TablePlan, inherits: boolean): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  const optional = optionally(building, leftOut);
  for (const partition of plan.partitions) leftOut.push(...(await addUnprovedChecks(building, partition, true)));
  for (const constraint of plan.constraints) if (isUnprovedCheck(constraint) && !(constraint.inherited && inherits)) await addConstraint(building, plan, constraint, optional, leftOut);
  return leftOut;
}

function isUnprovedCheck({ kind, definition }: ConstraintDefinition): boolean {
  return kind === 'c' && definition.endsWith(' NOT VALID');
}

/** One by one: an older server may not know one of them. */
async function setOptions(plan: TablePlan, optional: Optional): Promise<void> {
  for (const option of plan.source.options) {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(option) ?? [];
    await optional('storage parameter', `${plan.source.name} ${name}`, `ALTER TABLE ${qualified(plan.target)} SET (${name} = ${quoteLiteral(value)})`);
  }
}

async function setReplicaIdentity(building: Building, plan: TablePlan, optional: Optional): Promise<void> {
  const table = qualified(plan.target);
  const { source } = plan;
  if (source.replicaIdentity === 'n' || source.replicaIdentity === 'f') {
    await optional('replica identity', source.name, `ALTER TABLE ${table} REPLICA IDENTITY ${source.replicaIdentity === 'n' ? 'NOTHING' : 'FULL'}`);
  } else if (source.replicaIdentity === 'i' && source.identityIndex !== null) {
    await optional('replica identity', source.name, `ALTER TABLE ${table} REPLICA IDENTITY USING INDEX ${quoteIdent(building.indexNames.get(`${table} ${source.identityIndex}`) ?? source.identityIndex)}`);
  }
}

/** The columns' new names, through names of its own, so that columns may swap names. Inherited ones follow their parent; then what the plan adds. */
export async function renameColumns(building: Building, plan: TablePlan): Promise<void> {
  const { client } = building;
  const table = qualified(plan.target);
  const inherited = await readRows<{ name: string }>(
    client, `SELECT a.attname AS name FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attinhcount > 0 AND NOT a.attisdropped`, [plan.target.schema, plan.target.name]);
  const moved = plan.columns.filter((column) => column.newName !== column.name && !inherited.some(({ name }) => name === column.newName));
  for (const [at, column] of moved.entries()) await client.query(`ALTER TABLE ${table} RENAME COLUMN ${quoteIdent(column.name)} TO ${quoteIdent(`caravan renamed ${at}`)}`);
  for (const [at, column] of moved.entries()) await client.query(`ALTER TABLE ${table} RENAME COLUMN ${quoteIdent(`caravan renamed ${at}`)} TO ${quoteIdent(column.newName)}`);
  for (const column of plan.added) await client.query(`ALTER TABLE ${table} ADD COLUMN ${quoteIdent(column.name)} ${column.type}`);
}

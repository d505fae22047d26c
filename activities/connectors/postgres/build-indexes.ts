import { MigrationError } from '../../../migration/errors';
import { freeName, type Building, type Optional } from './building';
import type { TablePlan } from './create-table';
import { quoteIdent, quoteLiteral, qualified } from './sql';
import type { ConstraintDefinition, IndexDefinition, LeftOut, StatisticsDefinition } from './table-definition';

export async function addConstraint(building: Building, plan: TablePlan, constraint: ConstraintDefinition, optional: Optional, leftOut: LeftOut[]): Promise<void> {
  const { client } = building;
  const table = qualified(plan.target);
  const wanted = constraint.name === '' ? `${plan.target.name}_pkey` : constraint.name;
  const indexed = constraint.kind !== 'c' && constraint.kind !== 'n';
  const name = indexed ? await freeName(client, plan, wanted) : wanted;
  const sql = `ALTER TABLE ${table} ADD CONSTRAINT ${quoteIdent(name)} ${forVersion(building, constraint, leftOut)}`;
  const mustHold = constraint.kind === 'p' && plan.source.oid === 0;
  if (mustHold) await client.query(sql);
  else if (!(await optional('constraint', wanted, sql))) return;
  if (constraint.comment !== null) await client.query(`COMMENT ON CONSTRAINT ${quoteIdent(name)} ON ${table} IS ${quoteLiteral(constraint.comment)}`);
  const { index } = constraint;
  if (!index) return;
  building.indexNames.set(`${table} ${index.name}`, name);
  const own = qualified({ schema: plan.target.schema, name });
  for (const option of index.options) {
    const [, key = '', value = ''] = /^([^=]+)=(.*)$/s.exec(option) ?? [];
    await optional('index option', `${wanted} ${key}`, `ALTER INDEX ${own} SET (${key} = ${quoteLiteral(value)})`);
  }
  if (index.comment !== null) await client.query(`COMMENT ON INDEX ${own} IS ${quoteLiteral(index.comment)}`);
  if (index.clustered) await optional('cluster mark', wanted, `ALTER TABLE ${table} CLUSTER ON ${quoteIdent(name)}`);
}

/** A definition as far as the target's version can hold it; what it cannot is noted. */
function forVersion(building: Building, { name, definition }: Pick<ConstraintDefinition, 'name' | 'definition'>, leftOut: LeftOut[]): string {
  if (building.major >= 15 || !definition.includes('NULLS NOT DISTINCT')) return definition;
  leftOut.push({ what: 'NULLS NOT DISTINCT', name, reason: `the target's version ${building.major} has none: rows that repeat NULL are not refused` });
  return definition.replace(/ NULLS NOT DISTINCT/, '');
}

export async function addIndexes(building: Building, plan: TablePlan, optional: Optional, leftOut: LeftOut[]): Promise<void> {
  const changed = new Set(plan.columns.filter((column) => column.overridden).map((column) => column.name));
  for (const index of plan.indexes) await addIndex(building, plan, index, changed, optional, leftOut);
}

async function addIndex(building: Building, plan: TablePlan, index: IndexDefinition, changed: Set<string>, optional: Optional, leftOut: LeftOut[]): Promise<void> {
  const { client } = building;
  const tail = forVersion(building, { name: index.name, definition: middle(index.definition, index.prefix, '', `index ${index.name}`) }, leftOut);
  const name = await freeName(client, plan, index.name);
  if (!(await optional('index', index.name, `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdent(name)} ON ${qualified(plan.target)}${tail}`))) return;
  building.indexNames.set(`${qualified(plan.target)} ${index.name}`, name);
  const own = qualified({ schema: plan.target.schema, name });
  if (!index.columns.some((column) => changed.has(column))) {
    for (const { position, target } of index.statistics ?? []) await client.query(`ALTER INDEX ${own} ALTER COLUMN ${Math.trunc(position)} SET STATISTICS ${Math.trunc(target)}`);
  }
  if (index.comment !== null) await client.query(`COMMENT ON INDEX ${own} IS ${quoteLiteral(index.comment)}`);
  if (index.clustered) await optional('cluster mark', index.name, `ALTER TABLE ${qualified(plan.target)} CLUSTER ON ${quoteIdent(name)}`);
}

export async function addStatistics(building: Building, plan: TablePlan, optional: Optional): Promise<void> {
  for (const statistics of plan.statistics) await addExtended(building, plan, statistics, optional);
}

async function addExtended(building: Building, plan: TablePlan, statistics: StatisticsDefinition, optional: Optional): Promise<void> {
  const { client, schemas } = building;
  const schema = statistics.schema === plan.source.schema ? plan.target.schema : statistics.schema;
  const own = qualified({ schema, name: statistics.name });
  const body = middle(statistics.definition, statistics.prefix, statistics.suffix, `statistics ${statistics.name}`);
  await schemas.ensure(schema);
  if (!(await optional('extended statistics', statistics.name, `CREATE STATISTICS ${own}${body} FROM ${qualified(plan.target)}`))) return;
  if (statistics.target !== null) await client.query(`ALTER STATISTICS ${own} SET STATISTICS ${Math.trunc(statistics.target)}`);
  if (statistics.comment !== null) await client.query(`COMMENT ON STATISTICS ${own} IS ${quoteLiteral(statistics.comment)}`);
}

/** What the server's text holds between names that are replaced. */
function middle(definition: string, prefix: string, suffix: string, place: string): string {
  if (!definition.startsWith(prefix) || !definition.endsWith(suffix)) throw new MigrationError('INTERNAL', `${place}: its definition does not read as expected. Please report it.`);
  return definition.slice(prefix.length, definition.length - suffix.length);
}

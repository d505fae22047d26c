import type { ClientBase } from 'pg';
import type { Plan } from '../../migration/plan/schema';
import { readRows } from '../connectors/postgres/catalog';
import { parseTableName, sameTable, type TableName } from '../connectors/postgres/sql';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import type { DescribedDataset } from '../preparation/describe-datasets';
import { PlannedTables } from '../planned-tables';

/** Rows of `child` refer to rows of `parent`, both by columns of their sources. */
export interface Edge { child: string; columns: string[]; parent: string; refColumns: string[] }

interface FoundKey { columns: string[]; refSchema: string; refTable: string; refColumns: string[] }

/** What datasets refer to each other by: foreign keys of the sources, those of the targets where their columns arrive unchanged, and the plan's `references`. */
export async function referenceEdges(deps: ActivityDependencies, plan: Plan, datasets: readonly DescribedDataset[]): Promise<Edge[]> {
  const byName = new Map(datasets.map((one) => [one.name, one]));
  const edges: Edge[] = [];
  const add = (child: string, columns: readonly (string | undefined)[], parent: string | undefined, refColumns: readonly (string | undefined)[]): void => {
    if (parent === undefined || columns.includes(undefined) || refColumns.includes(undefined)) return;
    const edge = { child, columns: columns as string[], parent, refColumns: refColumns as string[] };
    if (!edges.some((known) => JSON.stringify(known) === JSON.stringify(edge))) edges.push(edge);
  };
  for (const one of datasets) {
    const { source, target, validation } = one.dataset;
    if (source.query === undefined) {
      for (const key of await foreignKeys(deps, source.connection, parseTableName(source.table ?? one.name))) {
        const table = { schema: key.refSchema, name: key.refTable };
        const parents = datasets.filter(({ name, dataset }) => dataset.source.connection === source.connection && dataset.source.query === undefined && sameTable(parseTableName(dataset.source.table ?? name), table));
        for (const parent of parents) add(one.name, key.columns, parent.name, key.refColumns);
      }
    }
    const place = PlannedTables.of(plan).place(one.name);
    for (const key of place ? await foreignKeys(deps, target.connection, place.table) : []) {
      const parent = PlannedTables.of(plan).owner(target.connection, { schema: key.refSchema, name: key.refTable });
      add(one.name, key.columns.map((name) => sourceOf(one, name)), parent, key.refColumns.map((name) => sourceOf(byName.get(parent ?? ''), name)));
    }
    for (const [column, reference] of Object.entries(validation.references)) {
      const [parent = '', refColumn = ''] = reference.split('.');
      add(one.name, [sourceOf(one, column)], byName.has(parent) ? parent : undefined, [sourceOf(byName.get(parent), refColumn)]);
    }
  }
  return edges;
}

/** The source column that arrives as it is in this target column. */
export function sourceOf(one: DescribedDataset | undefined, targetColumn: string): string | undefined {
  const field = one?.mapping.fields.find(({ column }) => column.name === targetColumn);
  const input = field && field.applyMany === null && field.apply === null ? field.inputs[0] : undefined;
  return input === undefined ? undefined : one?.mapping.read[input]?.name;
}

function foreignKeys(deps: ActivityDependencies, connection: string, table: TableName): Promise<FoundKey[]> {
  return asPostgres(deps.systems.open(connection)).use((client) => foreignKeysOf(client, table));
}

function foreignKeysOf(client: ClientBase, table: TableName): Promise<FoundKey[]> {
  const names = (relation: string, key: string): string => `(SELECT json_agg(a.attname ORDER BY k.ordinal) FROM unnest(${key}) WITH ORDINALITY k(attnum, ordinal) JOIN pg_catalog.pg_attribute a ON a.attrelid = ${relation} AND a.attnum = k.attnum)`;
  return readRows<FoundKey>(
    client,
    `SELECT ${names('f.conrelid', 'f.conkey')} AS columns, rn.nspname AS "refSchema", r.relname AS "refTable", ${names('f.confrelid', 'f.confkey')} AS "refColumns"
     FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     WHERE f.contype = 'f' AND f.conparentid = 0 AND n.nspname = $1 AND c.relname = $2 ORDER BY f.conname`, [table.schema, table.name]);
}

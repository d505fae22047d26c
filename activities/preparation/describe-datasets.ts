import type { DatasetDescription } from '../../migration/connector';
import type { Mapping } from '../../migration/mapping';
import type { DatasetPlan, Plan } from '../../migration/plan/schema';
import type { DatasetFinding } from '../../migration/preparation/findings';
import { describe } from '../connectors/postgres/describe';
import { qualified } from '../connectors/postgres/sql';
import { asPostgres } from '../connectors/postgres/system';
import { compileDataset } from '../dataset-mapping';
import type { ActivityDependencies } from '../dependencies';
import { targetTable } from '../run-context';
import { describeSource } from '../schema-requests';

/** Both sides of a dataset and the way between them. */
export interface DescribedDataset { name: string; dataset: DatasetPlan; source: DatasetDescription; target: DatasetDescription; mapping: Mapping; digest: string }

/** Every dataset of the plan as it is now. @throws MigrationError as `describe` and `compileDataset`. */
export async function describeDatasets(deps: ActivityDependencies, plan: Plan): Promise<DescribedDataset[]> {
  const found: DescribedDataset[] = [];
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    const source = await describeSource(deps, name, dataset);
    const { schema, table } = targetTable(name, dataset);
    const target = await asPostgres(deps.systems.open(dataset.target.connection)).use((client) => describe(client, { table: qualified({ schema, name: table }) }, `datasets.${name}.target`));
    const { mapping, digest } = compileDataset(deps, { dataset, name }, source, target);
    found.push({ name, dataset, source, target, mapping, digest });
  }
  return found;
}

/** What the way of one dataset takes, in names. */
export function datasetFinding({ name, dataset, source, target, mapping }: DescribedDataset): DatasetFinding {
  const written = new Set(mapping.write.map((column) => column.name));
  const read = new Set(mapping.read.map((column) => column.name));
  return {
    dataset: name, priority: dataset.priority, rows: Math.max(0, Math.round(source.rowsEstimate)), bytes: source.bytesEstimate, key: source.key, columns: source.columns.length,
    from: `${dataset.source.connection}: ${dataset.source.query === undefined ? (dataset.source.table ?? name) : 'a query'}`, to: `${dataset.target.connection}: ${dataset.target.table ?? name}`,
    changed: changedColumns(dataset, mapping),
    added: target.columns.filter((column) => !written.has(column.name)).map((column) => ({ column: column.name, filled: column.computed ? 'computed' : column.hasDefault ? 'default' : 'null' })),
    left: source.columns.filter((column) => !read.has(column.name)).map((column) => column.name),
  };
}

function changedColumns({ transformations }: DatasetPlan, mapping: Mapping): DatasetFinding['changed'] {
  const transformed = new Set(transformations.filter(({ transform }) => transform !== undefined).flatMap(({ old_field: old, new_field: made, new_fields: several }) => several ?? [made ?? old ?? '']));
  return mapping.fields.flatMap((field): DatasetFinding['changed'] => {
    const { name } = field.column;
    const from = field.inputs.map((input) => mapping.read[input]?.name ?? '');
    if (from.length === 0) return [{ column: name, from, how: 'constant' }];
    if (transformed.has(name) || field.applyMany !== null) return [{ column: name, from, how: 'transformed' }];
    if (field.apply !== null) return [{ column: name, from, how: 'converted' }];
    return from[0] === name ? [] : [{ column: name, from, how: 'renamed' }];
  });
}

import type { Reason } from '../migration/batch';
import type { DatasetDescription } from '../migration/connector';
import { fieldMappings, piiColumns } from '../migration/plan/transformations';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { valuesKernel } from '../migration/values-kernel';
import { findRelation } from './connectors/postgres/catalog';
import { expectedTarget } from './connectors/postgres/create-request';
import { describe } from './connectors/postgres/describe';
import { PostgresSource } from './connectors/postgres/source';
import { qualified } from './connectors/postgres/sql';
import { asPostgres } from './connectors/postgres/system';
import { valueToText } from './connectors/postgres/values-codec';
import { compileDataset } from './dataset-mapping';
import type { ActivityDependencies } from './dependencies';
import { sourceSelection, targetTable } from './run-context';
import { createsTable, requestFor } from './schema-requests';

const BYTES_MAX = 16 * 1024 * 1024;

/** First rows of one dataset before and after its transforms and rules, as text. `after` is null where `reasons` keep the row out. */
export interface DatasetPreview {
  dataset: string;
  sourceColumns: string[];
  targetColumns: string[];
  pii: string[];
  rows: { before: (string | null)[]; after: (string | null)[] | null; reasons: Reason[] }[];
}

/**
 * Reads the first `count` rows and leads them through transforms and rules, in key order where there is a key. Writes nothing; what only the whole
 * dataset shows (unique, references) is not judged. Holds row values: for the person who asked, never for logs or Temporal.
 * @throws MigrationError `MAPPING_INVALID`, `OBJECT_MISSING`, and those of the connections.
 */
export async function previewDataset(deps: ActivityDependencies, plan: Plan, name: string, dataset: DatasetPlan, count: number): Promise<DatasetPreview> {
  const place = `datasets.${name}.source`;
  const source = asPostgres(deps.systems.open(dataset.source.connection));
  const selection = sourceSelection(name, dataset);
  const reader = new PostgresSource(source, place);
  const described = await reader.describe(selection);
  const target = await describeTarget(deps, plan, name, dataset, described);
  const { mapping } = compileDataset(deps, { name, dataset }, described, target);
  const kernel = valuesKernel(mapping);
  const pii = piiColumns(dataset.pii, fieldMappings(dataset, deps.transforms));
  const preview: DatasetPreview = {
    dataset: name, rows: [], pii: [...new Set([...pii.source, ...pii.target])],
    sourceColumns: mapping.read.map((column) => column.name), targetColumns: mapping.write.map((column) => column.name),
  };
  const request = {
    selection, columns: mapping.read, key: described.key, bounds: { after: null, upTo: null }, cursor: null, encoding: 'values' as const,
    limits: { rowsMax: count, bytesMax: BYTES_MAX }, signal: new AbortController().signal,
  };
  for await (const { batch } of reader.read(request)) {
    if (batch.encoding !== 'values') break;
    const transformed = kernel.transform(batch);
    if (transformed.batch.encoding !== 'values') break;
    const validated = kernel.validate(transformed.batch);
    const reasons = new Map([...transformed.rejections, ...validated.rejections].map((rejection) => [rejection.row, rejection.reasons]));
    const kept = validated.batch;
    const after = new Map(kept.encoding === 'values' ? kept.rows.map((row, at) => [kept.origin?.[at] ?? at, row.map((value, column) => valueToText(mapping.write[column]?.kind ?? 'opaque', value))]) : []);
    for (let row = 0; row < batch.rowCount && preview.rows.length < count; row++) {
      preview.rows.push({ before: reader.textOf(batch, row, mapping.read), after: after.get(row) ?? null, reasons: reasons.get(row) ?? [] });
    }
    if (preview.rows.length >= count) break;
  }
  return preview;
}

/** The target as it is, or, with `schema: create`, as it will be. */
async function describeTarget(deps: ActivityDependencies, plan: Plan, name: string, dataset: DatasetPlan, source: DatasetDescription): Promise<DatasetDescription> {
  const { schema, table } = targetTable(name, dataset);
  const target = asPostgres(deps.systems.open(dataset.target.connection));
  if (createsTable(plan, dataset) && !(await target.use((client) => findRelation(client, { schema, name: table })))) {
    return expectedTarget(requestFor(deps, plan, name, dataset, source), source);
  }
  return target.use((client) => describe(client, { table: qualified({ schema, name: table }) }, `datasets.${name}.target`));
}

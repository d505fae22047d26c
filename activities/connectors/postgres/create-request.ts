import type { DatasetDescription } from '../../../migration/connector';
import type { DatasetPlan } from '../../../migration/plan/schema';
import type { FieldMapping } from '../../../migration/plan/transformations';
import type { TransformCatalog } from '../../../migration/transform';
import { builtinTransforms } from '../../../migration/transform';
import type { Column, ValueKind } from '../../../migration/value';
import { createdType, describeCreated, typeOfConstant, type NamedStep } from './created-type';
import { parseTableName, type TableName } from './sql';

/** One table to make in the target from what a dataset reads. */
export interface CreateRequest {
  dataset: string;
  /** A table or view; or a query, of which columns and declared key are known. */
  source: { table: TableName } | { query: string; key?: string[] };
  target: TableName;
  /** Source column -> target column. Source columns named neither here nor in `dropped` keep their names. */
  renames: Record<string, string>;
  /** Source columns that the target does not get. */
  dropped: string[];
  /** Source column -> type it becomes, where a transform changes the kind. */
  typeOverrides: Record<string, string>;
  /** Generated source columns that the plan writes by itself: made as plain ones. */
  plain: string[];
  /** Columns that no source column turns into. */
  added: { name: string; type: string }[];
  /** Target columns that decide a conflict: their unique index is kept during the load. */
  arbiter?: string[];
  /** The target table is given: never created, known only so that foreign keys can refer to it. */
  given?: boolean;
}

/**
 * The table that `schema: create` makes for a dataset. A target column made from one source column alone takes over that column with all that hangs on it;
 * columns made in other ways are added; source columns that only feed others are dropped.
 */
export function createRequest(name: string, dataset: DatasetPlan, source: DatasetDescription, mappings: readonly FieldMapping[], catalog: TransformCatalog): CreateRequest {
  const columns = new Map(source.columns.map((column) => [column.name, column]));
  const heirs = heirsOf(mappings, columns);
  const filled = new Set(mappings.flatMap((mapping) => mapping.outputs));
  const request: CreateRequest = {
    dataset: name,
    source: dataset.source.query === undefined
      ? { table: parseTableName(dataset.source.table ?? name) }
      : { query: dataset.source.query, ...(dataset.source.key && { key: dataset.source.key }) },
    target: parseTableName(dataset.target.table ?? name),
    renames: {}, dropped: [], typeOverrides: {}, plain: [], added: [],
  };
  for (const mapping of mappings) {
    for (const output of mapping.outputs) {
      const heir = heirs.get(output);
      const type = typeOfOutput(mapping, columns, catalog);
      if (heir === undefined) {
        request.added.push({ name: output, type });
        continue;
      }
      if (heir !== output) request.renames[heir] = output;
      if (type !== columns.get(heir)?.type) request.typeOverrides[heir] = type;
      if (columns.get(heir)?.computed) request.plain.push(heir);
    }
  }
  const inherited = new Set(heirs.values());
  const inputs = new Set(mappings.flatMap((mapping) => mapping.inputs));
  for (const column of source.columns) {
    if (!inherited.has(column.name) && (inputs.has(column.name) || filled.has(column.name))) request.dropped.push(column.name);
  }
  const key = dataset.target.key ?? source.key?.map((column) => request.renames[column] ?? column);
  return key ? { ...request, arbiter: key } : request;
}

/** Target column -> the source column it takes over. A column that keeps its name goes before one that is renamed, then the plan's order counts. */
function heirsOf(mappings: readonly FieldMapping[], columns: Map<string, Column>): Map<string, string> {
  const heirs = new Map<string, string>();
  const taken = new Set<string>();
  for (const sameName of [true, false]) {
    for (const { inputs: [input], inputs, outputs: [output], outputs } of mappings) {
      if (inputs.length !== 1 || outputs.length !== 1 || input === undefined || output === undefined) continue;
      if ((input === output) !== sameName || !columns.has(input) || taken.has(input) || heirs.has(output)) continue;
      heirs.set(output, input);
      taken.add(input);
    }
  }
  return heirs;
}

function typeOfOutput(mapping: FieldMapping, columns: Map<string, Column>, catalog: TransformCatalog): string {
  const [first] = mapping.steps;
  const input = columns.get(mapping.inputs[0] ?? '');
  const start = input?.type ?? (first?.transform === 'constant' && 'value' in first.params ? typeOfConstant(first.params['value']) : null);
  const steps = mapping.steps.map(({ transform, params }): NamedStep => {
    const kind = kindOfOwn(transform, params, catalog, mapping, columns);
    return kind === undefined ? transform : { name: transform, kind };
  });
  return createdType(start, steps) ?? 'text';
}

/** What a transform of the user's own gives; the types of built-in ones are known by name. */
function kindOfOwn(name: string, params: Record<string, unknown>, catalog: TransformCatalog, mapping: FieldMapping, columns: Map<string, Column>): ValueKind | undefined {
  const own = Object.hasOwn(builtinTransforms, name) || !Object.hasOwn(catalog, name) ? undefined : catalog[name];
  if (!own) return undefined;
  const text = (column: string): Column => columns.get(column) ?? { name: column, kind: 'text', type: 'text', nullable: true };
  const context = { input: mapping.inputs.map(text), output: mapping.outputs.map(text), last: true, constants: {}, fail: (): never => { throw new Error('not called'); } };
  const step = own.compile(params, context);
  return step.form === 'one' ? step.kind : step.kinds[0];
}

/** The target of a dataset as it will be described once `request` is carried out: for judging a mapping before that. */
export function expectedTarget(request: CreateRequest, source: DatasetDescription): DatasetDescription {
  const columns: Column[] = [];
  for (const column of source.columns) {
    if (request.dropped.includes(column.name)) continue;
    const name = request.renames[column.name] ?? column.name;
    const type = request.typeOverrides[column.name];
    const { computed, ...rest } = column;
    const plain = type !== undefined || request.plain.includes(column.name) || !computed;
    if (type === undefined) columns.push({ ...(plain ? rest : column), name });
    else columns.push({ name, type, ...describeCreated(type), nullable: column.nullable, typeModifier: -1, ...(column.hasDefault && { hasDefault: true }) });
  }
  for (const { name, type } of request.added) columns.push({ name, type, ...describeCreated(type), nullable: true, typeModifier: -1 });
  const key = source.key?.every((name) => !request.dropped.includes(name)) ? source.key.map((name) => request.renames[name] ?? name) : null;
  return { columns, key, rowsEstimate: 0, bytesEstimate: 0 };
}

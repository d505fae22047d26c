import { createHash } from 'node:crypto';
import type { Encoding } from '../migration/batch';
import type { DatasetDescription } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import { compileMapping, type Mapping } from '../migration/mapping';
import { canonicalJson } from '../migration/plan/hash';
import { fieldMappings } from '../migration/plan/transformations';
import type { Column } from '../migration/value';
import { describe } from './connectors/postgres/describe';
import { binaryCodec } from './connectors/postgres/binary-codecs';
import { columnList, parseTableName, qualified } from './connectors/postgres/sql';
import type { ActivityDependencies } from './dependencies';
import type { DatasetContext } from './run-context';

/** Both sides of a dataset as they are now, and the compiled way between them. */
export interface DatasetMapping {
  mapping: Mapping;
  source: DatasetDescription;
  target: DatasetDescription;
  encoding: Encoding;
  /** `mapping.read`, and behind it the key columns that no target column needs. */
  readColumns: Column[];
  /** Changes when columns, transforms or rules change: compared with the ledger's at every slice. */
  digest: string;
}

/** Which systems the calling worker reaches; the other side is known from the control store. */
export type Reach = 'both' | 'source' | 'target' | 'neither';

/**
 * Describes both sides and compiles the mapping.
 * @throws MigrationError `MAPPING_INVALID` with every problem in the message; `OBJECT_MISSING`, `PRIVILEGE_MISSING`, `SQL_INVALID`.
 */
export async function openMapping(deps: ActivityDependencies, context: DatasetContext, reach: Reach = 'both'): Promise<DatasetMapping> {
  const { name, targetTable } = context;
  const stored = reach === 'both' ? null : await loadShape(context);
  const source = stored && reach !== 'source' ? stored.source : await context.source.use((client) => describe(client, context.sourceSelection, `datasets.${name}.source`));
  const target = stored && reach !== 'target' ? stored.target : await context.target.use((client) => describe(client, { table: quotedName(targetTable) }, `datasets.${name}.target`));
  return compileDataset(deps, context, source, target);
}

/** The key by which rows meet in the target: what the plan names, else what the target itself keeps unique. Null unless every column of it is written. */
export function writtenKey({ dataset }: Pick<DatasetContext, 'dataset'>, { mapping, target }: Pick<DatasetMapping, 'mapping' | 'target'>): string[] | null {
  const written = new Set(mapping.write.map((column) => column.name));
  return [dataset.target.key, target.key].find((key) => key && key.length > 0 && key.every((name) => written.has(name))) ?? null;
}

export interface Shape { source: DatasetDescription; target: DatasetDescription }

/** Remembers both sides in the control store. Repeats overwrite. */
export async function storeShape({ control, ref, name }: Pick<DatasetContext, 'control' | 'ref' | 'name'>, { source, target }: Shape): Promise<void> {
  await control.use((client) => client.query(
    `INSERT INTO caravan.dataset_shape (migration, dataset, source, target) VALUES ($1, $2, $3, $4)
     ON CONFLICT (migration, dataset) DO UPDATE SET source = excluded.source, target = excluded.target`,
    [ref.migration, name, JSON.stringify(source), JSON.stringify(target)],
  ));
}

async function loadShape(context: DatasetContext): Promise<Shape> {
  const shape = await findShape(context);
  if (!shape) throw new MigrationError('FENCED', `dataset ${context.name} has not been opened; start the migration again`);
  return shape;
}

/** Both sides as they were last remembered; null when they never were. */
export async function findShape({ control, ref, name }: DatasetContext): Promise<Shape | null> {
  const { rows } = await control.use((client) => client.query<Shape>('SELECT source, target FROM caravan.dataset_shape WHERE migration = $1 AND dataset = $2', [ref.migration, name]));
  return rows[0] ?? null;
}

/** The mapping between descriptions that the caller already has. */
export function compileDataset(deps: ActivityDependencies, context: Pick<DatasetContext, 'dataset' | 'name'>, source: DatasetDescription, target: DatasetDescription): DatasetMapping {
  const { dataset, name } = context;
  const mappings = fieldMappings(dataset, deps.transforms);
  const compiled = compileMapping({
    source: source.columns, target: target.columns, mappings, validation: dataset.validation,
    accept: dataset.accept, catalog: deps.transforms, constants: deps.constants,
  });
  const errors = compiled.problems.filter((problem) => problem.severity === 'error');
  if (!compiled.mapping || errors.length > 0) {
    const lines = errors.map((problem) => `\n- ${problem.place}: ${problem.message}${problem.remedy ? ` ${problem.remedy}` : ''}`);
    throw new MigrationError('MAPPING_INVALID', `dataset ${name} cannot be mapped:${lines.join('')}`);
  }
  const { mapping } = compiled;
  const readColumns = [...mapping.read];
  for (const key of source.key ?? []) {
    const column = source.columns.find((candidate) => candidate.name === key);
    if (column && !readColumns.some((read) => read.name === key)) readColumns.push(column);
  }
  refuseUnreadable(readColumns, name, dataset.source);
  const native = (deps.encodings?.includes('pgcopy') ?? true) && source.undefinedCharacters !== true;
  return { mapping, source, target, readColumns, encoding: native ? encodingFor(mapping, readColumns, source.key) : 'values', digest: digestOf(deps, context, mapping, source.key) };
}

/** A reader may have been granted some columns only: those that the target needs must be among them. */
function refuseUnreadable(columns: readonly Column[], name: string, source: DatasetContext['dataset']['source']): void {
  const closed = columns.filter((column) => column.unreadable).map((column) => column.name);
  if (closed.length === 0) return;
  const table = source.table ?? name;
  throw new MigrationError(
    'PRIVILEGE_MISSING',
    `datasets.${name}.source: the user of connection ${source.connection} may not read column${closed.length > 1 ? 's' : ''} ${closed.join(', ')} of ${table}. `
    + `Let the table's owner run GRANT SELECT (${columnList(closed)}) ON TABLE ${qualified(parseTableName(table))} TO that user, or leave the column behind: { old_field: ${closed[0] ?? ''}, transform: drop }.`,
  );
}

/**
 * `pgcopy` when every column either passes as bytes or has a binary codec on both sides, keys included; else `values`.
 * Bytes pass only between identical built-in types: other pairs load as garbage without an error.
 */
function encodingFor(mapping: Mapping, readColumns: readonly Column[], key: readonly string[] | null): Encoding {
  const hasCodec = (column: Column | undefined): boolean => binaryCodec(column?.wireType) !== undefined;
  const fieldsFit = mapping.fields.every((field) => {
    const output = mapping.write[field.output];
    if (field.passthrough && field.rules.length === 0) return output?.wireType !== undefined;
    return hasCodec(output) && field.inputs.every((input) => hasCodec(mapping.read[input]));
  });
  // Without a key the quarantined content is all there is: it must be text.
  const contentFits = key !== null || readColumns.every(hasCodec);
  const keyFits = (key ?? []).every((name) => hasCodec(readColumns.find((column) => column.name === name)));
  return fieldsFit && contentFits && keyFits ? 'pgcopy' : 'values';
}

function digestOf(deps: ActivityDependencies, { dataset }: Pick<DatasetContext, 'dataset'>, mapping: Mapping, key: string[] | null): string {
  const shape = (columns: readonly Column[]) => columns.map((column) => [column.name, column.type]);
  const userTransforms = dataset.transformations.length > 0 ? deps.transformsDigest : '';
  return createHash('sha256').update(canonicalJson({
    read: shape(mapping.read), write: shape(mapping.write), key, transformations: dataset.transformations, validation: dataset.validation,
    source: dataset.source, target: dataset.target, onInvalid: dataset.on_invalid, accept: dataset.accept, userTransforms,
  })).digest('hex');
}

function quotedName({ schema, table }: { schema: string; table: string }): string {
  return `"${schema.replaceAll('"', '""')}"."${table.replaceAll('"', '""')}"`;
}

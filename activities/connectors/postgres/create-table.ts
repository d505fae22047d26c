import type { CreateRequest } from './create-request';
import type { TableName } from './sql';
import type { ColumnDefinition, ConstraintDefinition, IndexDefinition, LeftOut, Partitioning, SequenceDefinition, StatisticsDefinition, TableDefinition } from './table-definition';

/** A source column on its way: still under its old name. */
export interface PlannedColumn extends ColumnDefinition { overridden: boolean; newName: string }

export interface TablePlan {
  source: TableDefinition;
  target: TableName;
  columns: PlannedColumn[];
  sequences: SequenceDefinition[];
  constraints: ConstraintDefinition[];
  indexes: IndexDefinition[];
  statistics: StatisticsDefinition[];
  added: { name: string; type: string }[];
  partitioning: Partitioning | null;
  partitions: TablePlan[];
  /** The composite type of a typed table; null: columns of its own. */
  ofType: string | null;
  leftOut: LeftOut[];
  /** Columns whose source types the target need not have. */
  unneededTypes: string[];
}

/** A table to make: `plan` speaks the source's names until the columns are renamed. */
export interface TableToMake { request: CreateRequest; plan: TablePlan }

type Wishes = Omit<CreateRequest, 'dataset' | 'source'>;

const INTEGERS = new Set(['smallint', 'integer', 'bigint']);

/** What the target gets of a source table. Pure: the same answer on every run, so that an existing table can be compared with it. */
export function planTable(source: TableDefinition, request: Wishes, targetMajor: number): TablePlan {
  const leftOut: LeftOut[] = [...source.leftOut];
  const gone = new Set(request.dropped);
  const columns: PlannedColumn[] = [];
  for (const column of source.columns) {
    if (gone.has(column.name)) continue;
    const planned = planColumn(column, source, request, gone, targetMajor, leftOut);
    if (planned) columns.push(planned);
    else gone.add(column.name);
  }
  const keep = <T extends { name: string; columns: string[] }>(objects: T[], what: string): T[] => objects.filter((object) => {
    const missing = object.columns.find((name) => gone.has(name));
    if (missing !== undefined) leftOut.push({ what, name: object.name, reason: `it uses column ${missing}, which the plan drops` });
    return missing === undefined;
  });
  const partitioning = planPartitioning(source, request, gone, leftOut);
  const partitions = partitioning === null ? [] : source.partitions.map((partition) => planTable(partition, { ...request, added: [], target: partitionName(partition, source, request.target) }, targetMajor));
  const unchanged = gone.size === 0 && request.added.length === 0 && columns.every((column) => !column.overridden && column.newName === column.name);
  if (source.ofType !== null && !unchanged) leftOut.push({ what: 'typed table', name: source.name, reason: 'the plan changes its columns; it has them on its own' });
  return {
    source, target: request.target, columns, leftOut, added: request.added, partitioning, partitions,
    sequences: source.sequences.filter(({ column, identity }) => columns.some((kept) => kept.name === column && (identity ? kept.identity !== '' : !losesSequence(kept)))),
    constraints: keep(source.constraints, 'constraint').filter((constraint) => fitsVersion(constraint, targetMajor, leftOut)),
    indexes: keep(source.indexes, 'index'),
    statistics: keep(source.statistics, 'extended statistics'),
    ofType: unchanged ? source.ofType : null,
    unneededTypes: [...gone, ...Object.keys(request.typeOverrides)],
  };
}

/** The plan and those of its partitions, parents first. */
export function withPlannedPartitions(plan: TablePlan): TablePlan[] {
  return [plan, ...plan.partitions.flatMap(withPlannedPartitions)];
}

/** What versions before 18 cannot say. */
function fitsVersion({ name, kind, definition, columns }: ConstraintDefinition, targetMajor: number, leftOut: LeftOut[]): boolean {
  if (targetMajor >= 18) return true;
  const what = kind === 'n' ? 'not-null constraints that are not valid' : / WITHOUT OVERLAPS\b/.test(definition) ? 'keys without overlaps' : definition.endsWith(' NOT ENFORCED') ? 'unenforced constraints' : null;
  if (what !== null) leftOut.push({ what: 'constraint', name: kind === 'n' ? `${columns.join()} ${name}` : name, reason: `the target's version ${targetMajor} has no ${what}` });
  return what === null;
}

function losesSequence(column: PlannedColumn): boolean {
  return column.overridden && !INTEGERS.has(column.type);
}

/** `numeric(5,-2)`, `numeric(2,4)`: from version 15 on. */
function isScaledBeyondDigits(type: string): boolean {
  const match = /^numeric\((\d+),(-?\d+)\)/.exec(type);
  return match !== null && (Number(match[2]) < 0 || Number(match[2]) > Number(match[1]));
}

function planPartitioning(source: TableDefinition, request: Wishes, gone: Set<string>, leftOut: LeftOut[]): Partitioning | null {
  if (source.partitioning === null) return null;
  const changed = source.partitioning.columns.find((name) => gone.has(name) || Object.hasOwn(request.typeOverrides, name));
  if (changed === undefined) return source.partitioning;
  leftOut.push({ what: 'partitioning', name: source.name, reason: `it depends on column ${changed}, which the plan ${gone.has(changed) ? 'drops' : 'changes'}; the table is one plain table` });
  return null;
}

/** A partition stands beside its root, wherever that goes; a name that begins with the root's takes the root's new one. */
function partitionName(partition: TableName, parent: TableName, target: TableName): TableName {
  const renamed = parent.name !== target.name && partition.name.startsWith(`${parent.name}_`);
  return {
    schema: partition.schema === parent.schema ? target.schema : partition.schema,
    name: clip(renamed ? `${target.name}${partition.name.slice(parent.name.length)}` : partition.name, 63),
  };
}

/** The server cuts names at 63 bytes: cut here the same way, between characters. */
export function clip(name: string, bytes: number): string {
  let cut = name;
  while (new TextEncoder().encode(cut).length > bytes) cut = [...cut].slice(0, -1).join('');
  return cut;
}

function planColumn(column: ColumnDefinition, source: TableDefinition, request: Wishes, gone: Set<string>, targetMajor: number, leftOut: LeftOut[]): PlannedColumn | null {
  const override = Object.hasOwn(request.typeOverrides, column.name) ? request.typeOverrides[column.name] : undefined;
  const planned: PlannedColumn = {
    ...column,
    // A partition has the identity of its root.
    identity: source.bound === null ? column.identity : '',
    overridden: override !== undefined && override !== column.type,
    newName: (Object.hasOwn(request.renames, column.name) ? request.renames[column.name] : undefined) ?? column.name,
  };
  const note = (what: string, reason: string): void => { if (source.bound === null) leftOut.push({ what, name: column.name, reason }); };
  if (planned.overridden && override !== undefined) {
    Object.assign(planned, { type: override, collation: null, storage: null, compression: null });
    const owns = source.sequences.some((sequence) => sequence.column === column.name);
    if (column.generated !== '' || ((column.identity !== '' || owns) && !INTEGERS.has(override))) {
      note(column.generated === '' ? 'sequence' : 'generated column', `the plan turns the column into ${override}`);
      Object.assign(planned, { generated: '', identity: '', expression: null });
    }
  }
  if (targetMajor < 15 && isScaledBeyondDigits(planned.type)) {
    note('type', `the target's version ${targetMajor} has no ${planned.type}; the column is numeric`);
    planned.type = 'numeric';
  }
  if (planned.generated !== '' && request.plain.includes(column.name)) {
    note('expression of generated column', 'the plan fills the column itself');
    return { ...planned, generated: '', expression: null };
  }
  if (planned.generated === '') return planned;
  const lost = column.computedFrom.find((name) => gone.has(name) || request.dropped.includes(name));
  if (lost !== undefined) {
    note('generated column', `it is computed from ${lost}, which the plan drops`);
    return null;
  }
  const changed = column.computedFrom.find((name) => Object.hasOwn(request.typeOverrides, name));
  if (changed !== undefined) {
    note('expression of generated column', `it is computed from ${changed}, whose type the plan changes; the column is a plain one`);
    return { ...planned, generated: '', expression: null };
  }
  if (planned.generated === 'v' && targetMajor < 18) {
    note('virtual generated column', `the target's version ${targetMajor} has none; it is stored`);
    return { ...planned, generated: 's' };
  }
  return planned;
}

import type { ClientBase } from 'pg';
import { readRows } from './catalog';
import { groupByTable } from './inventory';
import type { TableName } from './sql';
import { CONSTRAINTS, FOREIGN_KEYS, INDEXES, LEFT_OUT, SEQUENCES, STATISTICS, TABLES, TABLE_COLUMNS } from './table-queries';

/** A table as the server's own deparsers spell it. Read under an empty search path, so that all names carry their schema. */
export interface TableDefinition extends TableName {
  oid: number;
  unlogged: boolean;
  /** Storage parameters, `fillfactor=70`; those of its TOAST table as `toast.autovacuum_enabled=false`. */
  options: string[];
  /** Null: the ordinary one (heap). */
  accessMethod: string | null;
  comment: string | null;
  columns: ColumnDefinition[];
  /** Primary key first, then unique, checks, exclusions; not-null constraints that are not part of the columns last. */
  constraints: ConstraintDefinition[];
  indexes: IndexDefinition[];
  foreignKeys: ForeignKeyDefinition[];
  statistics: StatisticsDefinition[];
  /** Sequences that columns own, identities included. */
  sequences: SequenceDefinition[];
  partitioning: Partitioning | null;
  /** FOR VALUES ... of a partition. */
  bound: string | null;
  partitions: TableDefinition[];
  /** Tables it inherits from, in order; a partition names none. */
  parents: (TableName & { oid: number })[];
  /** The composite type of a typed table, quoted and qualified. */
  ofType: string | null;
  replicaIdentity: 'd' | 'n' | 'f' | 'i';
  /** Index of `replicaIdentity: i`. */
  identityIndex: string | null;
  leftOut: LeftOut[];
}

export interface Partitioning { /** `RANGE (at)`. */ key: string; columns: string[] }

export interface ColumnDefinition {
  name: string;
  type: string;
  notNull: boolean;
  /** Version 18 and later: the constraint behind NOT NULL. */
  notNullName: string | null;
  notNullNoInherit: boolean;
  /** That constraint does not come from a parent alone. */
  notNullLocal: boolean;
  /** Quoted and qualified; null for the type's own. */
  collation: string | null;
  /** Default, or the expression of a generated column. */
  expression: string | null;
  generated: '' | 's' | 'v';
  identity: '' | 'a' | 'd';
  /** Columns that a generated column is computed from. */
  computedFrom: string[];
  /** It comes from a parent, and (`local: false`) only from there. */
  inherited: boolean;
  local: boolean;
  statistics: number | null;
  /** `n_distinct=5`. */
  options: string[];
  storage: string | null;
  compression: string | null;
  comment: string | null;
}

export interface SequenceSettings extends TableName { type: string; start: string; increment: string; minimum: string; maximum: string; cache: string; cycle: boolean; comment: string | null }
export interface SequenceDefinition extends SequenceSettings {
  column: string;
  /** The sequence of an identity column; else one that the column owns, whether or not its default uses it. */
  identity: boolean;
  /** As `nextval` names it. */
  spelled: string;
}
export interface ConstraintDefinition {
  name: string; kind: 'p' | 'u' | 'c' | 'x' | 'n'; definition: string; comment: string | null; columns: string[];
  /** Comes from a parent alone. */
  inherited: boolean;
  /** Of the index below it. */
  index: IndexExtras | null;
}
export interface IndexExtras { name: string; options: string[]; comment: string | null; clustered: boolean }
export interface IndexDefinition {
  name: string; definition: string;
  /** From CREATE up to USING, with the old names. */
  prefix: string;
  unique: boolean; comment: string | null; columns: string[]; clustered: boolean; statistics: { position: number; target: number }[] | null;
}
export interface StatisticsDefinition extends TableName {
  definition: string;
  /** What stands before and after kinds and columns, with the old names. */
  prefix: string; suffix: string;
  target: number | null; comment: string | null; columns: string[];
}
export interface ForeignKeyDefinition {
  name: string; columns: string[]; references: TableName; refColumns: string[];
  onUpdate: string; onDelete: string; setColumns: string[]; full: boolean; deferrable: boolean; deferred: boolean; validated: boolean;
  enforced: boolean;
  /** PERIOD on the last column of both sides. */
  period: boolean;
  comment: string | null;
}
/** Something that is not carried, and why. */
export interface LeftOut { what: string; name: string; reason: string }

type Own = Omit<TableDefinition, 'columns' | 'constraints' | 'indexes' | 'foreignKeys' | 'statistics' | 'sequences' | 'partitions' | 'leftOut'>
  & { table: number; parent: number | null };

/** Tables by oid, each with its partitions of all levels. */
export async function readTableDefinitions(client: ClientBase, oids: number[]): Promise<Map<number, TableDefinition>> {
  const own = await readRows<Own>(client, TABLES, [oids]);
  const all = own.map((table) => table.table);
  const read = async <T extends { table: number }>(sql: string): Promise<(oid: number) => T[]> => {
    const groups = groupByTable(await readRows<T>(client, sql, [all]));
    return (oid) => groups.get(oid) ?? [];
  };
  const columns = await read<ColumnDefinition & { table: number }>(TABLE_COLUMNS);
  const constraints = await read<ConstraintDefinition & { table: number }>(CONSTRAINTS);
  const indexes = await read<IndexDefinition & { table: number }>(INDEXES);
  const foreignKeys = await read<ForeignKeyDefinition & { table: number }>(FOREIGN_KEYS);
  const statistics = await read<StatisticsDefinition & { table: number }>(STATISTICS);
  const sequences = await read<SequenceDefinition & { table: number }>(SEQUENCES);
  const leftOut = await read<LeftOut & { table: number }>(LEFT_OUT);
  const tables = new Map<number, TableDefinition>();
  for (const { table: oid, parent: _, ...facts } of own) {
    tables.set(oid, {
      ...facts, columns: columns(oid), constraints: constraints(oid), indexes: indexes(oid), foreignKeys: foreignKeys(oid),
      statistics: statistics(oid), sequences: sequences(oid), partitions: [], leftOut: leftOut(oid),
    });
  }
  for (const { table, parent } of own) {
    const partition = tables.get(table);
    if (parent !== null && partition) tables.get(parent)?.partitions.push(partition);
  }
  return tables;
}

/** The table and its partitions of all levels, parents first. */
export function withPartitions(table: TableDefinition): TableDefinition[] {
  return [table, ...table.partitions.flatMap(withPartitions)];
}

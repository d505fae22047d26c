import type { ClientBase } from 'pg';
import type { Rejection } from '../../migration/batch';
import type { Column, Value } from '../../migration/value';
import type { KeyText } from '../../migration/split';
import { ownRowsOf } from '../connectors/postgres/catalog';
import { textToValue, valueToText } from '../connectors/postgres/values-codec';
import type { DatasetContext } from '../run-context';
import type { DatasetRow } from '../stores/ledger';
import { RowDigester } from './row-digest';

/** Rows after mapping, transforms and rules: row i of `rows` came from row `origin[i]` of those given. */
export interface MappedRows { rows: Value[][]; origin: ArrayLike<number> | null; rejections: Rejection[] }

/** How the two sides of one dataset relate: all that proof, quarantine and repair need to know about a mapping. */
export interface DatasetSides {
  ctx: DatasetContext;
  /** This worker has the source's connection. */
  sourceReached: boolean;
  ledger: DatasetRow;
  /** Columns read from the source. */
  sourceColumns: Column[];
  /** Columns written to the target. */
  targetColumns: Column[];
  /** Mapping, transforms and rules over neutral values: the other path than the copy's. */
  mapRows(rows: Value[][]): MappedRows;
  /** Positions of the source key in `sourceColumns`; null: no key. */
  sourceKey: number[] | null;
  /** Positions in `targetColumns` by which rows of both sides are matched; null: as a multiset of whole rows. */
  targetKey: number[] | null;
  /** Source column that is copied into this target column as it is; null when it is made by a transform or comes from nowhere. */
  plainSource(targetColumn: string): string | null;
}

export function digesterFor(sides: DatasetSides): RowDigester {
  return new RowDigester(sides.targetColumns);
}

/** Decodes one row of text. @throws when a text is not what its column's kind demands. */
export function decodeRow(columns: readonly Column[], content: readonly (string | null)[]): Value[] {
  return columns.map((column, at) => textToValue(column.kind, content[at] ?? null));
}

/** The key as the ledger and quarantine spell it. */
export function keyTextOf(sides: DatasetSides, values: readonly Value[]): KeyText | null {
  return sides.sourceKey?.map((at) => valueToText(sides.sourceColumns[at]?.kind ?? 'opaque', values[at] ?? null) ?? '') ?? null;
}

/** The key columns of a target row, as text. */
export function targetKeyText(sides: DatasetSides, content: readonly (string | null)[]): (string | null)[] | null {
  return sides.targetKey?.map((at) => content[at] ?? null) ?? null;
}

/** The target table as a FROM item: parents of INHERITS trees without their children. */
export async function targetFrom(client: ClientBase, sides: Pick<DatasetSides, 'ctx'>): Promise<string> {
  return ownRowsOf(client, { schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table });
}

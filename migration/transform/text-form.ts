import type { Column, Value, ValueKind } from '../value';
import { cannot } from './definition';

/** Kinds whose values are JavaScript strings. */
export const STRING_KINDS: ReadonlySet<ValueKind> = new Set<ValueKind>([
  'decimal', 'text', 'instant', 'datetime', 'date', 'time', 'json', 'uuid', 'opaque',
]);

type Present = Exclude<Value, null>;

/** Text of any value but bytes. Floats in the shortest form that reads back to the same number. */
export function textOfValue(value: Present): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  return String(value);
}

/** Function that gives a column's values as text. @throws MigrationError `MAPPING_INVALID` for bytes. */
export function textReader(column: Column): (value: Present) => string {
  if (column.kind === 'bytes') cannot(`\`${column.name}\` holds bytes: put \`to_text\` (with its encoding) before.`);
  return STRING_KINDS.has(column.kind) ? (value) => value as string : textOfValue;
}

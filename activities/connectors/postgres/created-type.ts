import type { ValueKind } from '../../../migration/value';

/** A transform by name; `kind` tells what one of the user's own gives. */
export type NamedStep = string | { name: string; kind?: ValueKind };

const TEXTUAL = /^(text|character varying|varchar|character|char|bpchar|name|citext|.*\.citext)(\(|$)/;

const RESULT: Record<string, string> = {
  to_iso_datetime: 'timestamp with time zone',
  to_timestamp: 'timestamp without time zone',
  to_date: 'date',
  to_integer: 'bigint',
  to_decimal: 'numeric',
  to_boolean: 'boolean',
  to_uuid: 'uuid',
  to_json: 'jsonb',
  hash: 'text',
  concat: 'text',
  split: 'text',
  to_text: 'text',
  to_float: 'double precision',
};

const OF_KIND: Record<ValueKind, string> = {
  boolean: 'boolean', integer: 'bigint', decimal: 'numeric', float: 'double precision', text: 'text', bytes: 'bytea', instant: 'timestamp with time zone',
  datetime: 'timestamp without time zone', date: 'date', time: 'time without time zone', json: 'jsonb', uuid: 'uuid', opaque: 'text',
};

/** Kind and oid of the types that this file gives: the same on every server. */
const CREATED: Record<string, { kind: ValueKind; wireType: number }> = {
  boolean: { kind: 'boolean', wireType: 16 }, bigint: { kind: 'integer', wireType: 20 }, numeric: { kind: 'decimal', wireType: 1700 },
  'double precision': { kind: 'float', wireType: 701 }, text: { kind: 'text', wireType: 25 }, bytea: { kind: 'bytes', wireType: 17 },
  'timestamp with time zone': { kind: 'instant', wireType: 1184 }, 'timestamp without time zone': { kind: 'datetime', wireType: 1114 },
  date: { kind: 'date', wireType: 1082 }, 'time without time zone': { kind: 'time', wireType: 1083 }, jsonb: { kind: 'json', wireType: 3802 }, uuid: { kind: 'uuid', wireType: 2950 },
};

/** Keep a textual type as it is (its length limit included) and make text of any other. */
const TEXT_KEEPING = new Set(['lower', 'upper', 'trim', 'map_values', 'mask']);

/**
 * Type of a column that `schema: create` makes for a value of `sourceType` after these steps, in the spelling of format_type.
 * A step that is not known here (a user's own, default, constant) keeps the type. Null: there is no source column and no step tells.
 */
export function createdType(sourceType: string | null, steps: readonly NamedStep[]): string | null {
  let type = sourceType;
  for (const step of steps) {
    const name = typeof step === 'string' ? step : step.name;
    const fixed = Object.hasOwn(RESULT, name) ? RESULT[name] : undefined;
    const kind = typeof step === 'string' ? undefined : step.kind;
    if (fixed !== undefined) type = fixed;
    else if (kind !== undefined) type = OF_KIND[kind];
    else if (TEXT_KEEPING.has(name) && (type === null || !TEXTUAL.test(type))) type = 'text';
  }
  return type;
}

/** How a column of such a type will be described once it is there. */
export function describeCreated(type: string): { kind: ValueKind; wireType?: number } {
  return (Object.hasOwn(CREATED, type) ? CREATED[type] : undefined) ?? { kind: 'opaque' };
}

/** Type for a constant of the plan: the smallest sure one of its JSON kind. */
export function typeOfConstant(value: unknown): string {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isInteger(value) ? 'bigint' : 'numeric';
  return value !== null && typeof value === 'object' ? 'jsonb' : 'text';
}

/**
 * Neutral values: what a field holds on the way between two systems of any kind.
 *
 * | kind       | JavaScript value | form                                                                    |
 * |------------|------------------|-------------------------------------------------------------------------|
 * | `boolean`  | boolean          |                                                                         |
 * | `integer`  | bigint           | any width                                                               |
 * | `decimal`  | string           | plain decimal digits, scale kept: `1.10`; also `NaN`, `Infinity`, `-Infinity` |
 * | `float`    | number           | NaN, infinities and -0 included                                         |
 * | `text`     | string           |                                                                         |
 * | `bytes`    | Uint8Array       |                                                                         |
 * | `instant`  | string           | `2026-01-02T03:04:05.123456Z`: UTC, fraction of 0 to 6 digits without trailing zeros |
 * | `datetime` | string           | `2026-01-02T03:04:05.123456`: no zone                                   |
 * | `date`     | string           | `2026-01-02`                                                            |
 * | `time`     | string           | `03:04:05.123456`                                                       |
 * | `json`     | string           | the JSON text as the system gave it: numbers keep every digit           |
 * | `uuid`     | string           | lower case, with hyphens                                                |
 * | `opaque`   | string           | the system's own text form of any other type (intervals, arrays, ranges, enums, ...) |
 *
 * Years outside 0001..9999 and the infinities of dates keep the source system's own text (`infinity`, `0044-03-15 BC`).
 * `null` stands for an absent value of every kind. 64-bit integers and decimals never pass through a JS number.
 */
export type Value = null | boolean | bigint | number | string | Uint8Array;

export const VALUE_KINDS = [
  'boolean', 'integer', 'decimal', 'float', 'text', 'bytes', 'instant', 'datetime', 'date', 'time', 'json', 'uuid', 'opaque',
] as const;

export type ValueKind = (typeof VALUE_KINDS)[number];

/** One column (or top-level field) of a dataset, as its system describes it. */
export interface Column {
  name: string;
  kind: ValueKind;
  /** The system's own spelling of the type, modifiers included: `numeric(12,2)`. For people and for comparing. */
  type: string;
  nullable: boolean;
  /** The system computes it (generated always as ... stored): never written. */
  computed?: boolean;
  /** The connection's user may not read it. */
  unreadable?: boolean;
  /** The system can fill it by itself (default, identity) when it is not written. */
  hasDefault?: boolean;
  /** `identity` columns declared ALWAYS need an override clause on write. */
  identity?: 'always' | 'by_default';
  /** Names the native wire type: equal in source and target means that bytes may pass undecoded. PostgreSQL: type oid; set only for built-in types. */
  wireType?: number;
  /** PostgreSQL type modifier, -1 when there is none. */
  typeModifier?: number;
  /** The type below a domain, modifiers included, in the same spelling; absent when `type` is no domain. */
  baseType?: string;
  /** What a user's own type is made of, where text of one would be taken by another of the same name: the attributes of a composite, the subtype of a range. */
  structure?: string;
  /** The type's own output leaves something out: rows are read as this type, which leaves out nothing. */
  readAs?: string;
  /** Values are names of other objects (regclass, aclitem): they mean something only where those objects are. */
  namesObjects?: boolean;
  /** A composite type, or a domain over one. */
  composite?: boolean;
}

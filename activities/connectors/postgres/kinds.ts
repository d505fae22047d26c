import type { Column, ValueKind } from '../../../migration/value';

/** What the catalog says about a type: its own oid, and the type below all domains. */
export interface TypeFacts {
  oid: number;
  /** pg_type.typtype: b base, c composite, d domain, e enum, r range, m multirange, p pseudo. */
  category: string;
  baseOid: number;
  baseName: string;
  /** Element type of a true array, 0 for all others. */
  elementOid: number;
  /** The type below all domains is composite. */
  composite: boolean;
  /** The type has a binary form. */
  binary: boolean;
  /** `format_type` of the type below all domains, with the modifier that the domains fix; null for what is no domain. */
  baseType: string | null;
  /** See `Column.structure`. */
  structure: string | null;
  /** Major version of the server. */
  major: number;
}

const KINDS: Record<number, ValueKind> = {
  16: 'boolean',
  20: 'integer', 21: 'integer', 23: 'integer',
  1700: 'decimal',
  700: 'float', 701: 'float',
  25: 'text', 1042: 'text', 1043: 'text', 19: 'text',
  17: 'bytes',
  1184: 'instant', 1114: 'datetime', 1082: 'date', 1083: 'time',
  114: 'json', 3802: 'json',
  2950: 'uuid',
};

/** Oids below this one are written in the server's source: equal on every server. The ones above differ from cluster to cluster. */
const FIRST_UNSTABLE_OID = 10_000;

/** Values are oids of one database's objects; their text is the object's name. With their arrays. */
const OBJECT_NAMES = new Set([24, 2202, 2203, 2204, 2205, 2206, 4191, 3734, 3769, 4089, 4096, 8326, 1033]);
const OBJECT_NAME_ARRAYS = new Set([1008, 2207, 2208, 2209, 2210, 2211, 4192, 3735, 3770, 4090, 4097, 8327, 1034]);

const XML = 142;
const XML_ARRAY = 143;
/** xml is converted on its way in by the encoding that its declaration names, whatever encoding the bytes have. */
const XML_TYPES = new Set([XML, XML_ARRAY]);
/** money counts the smallest unit of a currency that only the locale knows. */
const MONEY_TYPES = new Set([790, 791]);

/** int2vector, oidvector, tsquery and arrays of them: the server sends empty ones in binary, and does not take them. */
const ONE_WAY_TYPES = new Set([22, 30, 1006, 1013, 3615, 3645]);

/** interval and its array. From version 17 on the largest interval means infinity; older servers would take it for a number of years. */
const INTERVAL_TYPES = new Set([1186, 1187]);
const INTERVAL_INFINITY_MAJOR = 17;

/** A domain has the kind of the type below it. What is not listed keeps the system's own text. */
export function kindOf(type: TypeFacts): ValueKind {
  const known = KINDS[type.baseOid];
  if (known) return known;
  return type.baseName === 'citext' ? 'text' : 'opaque';
}

/**
 * The oid, where equal oids on two servers mean equal bytes: built-in base and range types and arrays of them.
 * Domains, enums, composites and types of extensions have none, as their oids mean something else on every server.
 */
export function wireTypeOf(type: TypeFacts): number | undefined {
  const { oid, elementOid } = type;
  if (oid >= FIRST_UNSTABLE_OID || elementOid >= FIRST_UNSTABLE_OID) return undefined;
  if (!['b', 'r', 'm'].includes(type.category) || !type.binary) return undefined;
  if (namesObjects(oid) || OBJECT_NAMES.has(elementOid) || [XML_TYPES, MONEY_TYPES, ONE_WAY_TYPES].some((types) => types.has(oid))) return undefined;
  return INTERVAL_TYPES.has(oid) && type.major < INTERVAL_INFINITY_MAJOR ? -oid : oid;
}

/** `namesObjects` as a list, for SQL. */
export const objectNameOids: readonly number[] = [...OBJECT_NAMES, ...OBJECT_NAME_ARRAYS];

/** Rows cannot be read on from a value of this type: the server takes no literal of a composite beside an operator, and would read the name of an object as a number. */
export function isNoKey(column: Column): boolean {
  return column.composite === true || column.namesObjects === true;
}

function namesObjects(oid: number): boolean {
  return OBJECT_NAMES.has(oid) || OBJECT_NAME_ARRAYS.has(oid);
}

/** What a column's type alone says about it. */
export function typeTraits(type: TypeFacts): Pick<Column, 'kind' | 'wireType' | 'baseType' | 'structure' | 'readAs' | 'namesObjects' | 'composite'> {
  const wireType = wireTypeOf(type);
  return {
    kind: kindOf(type),
    ...(wireType !== undefined && { wireType }),
    ...(type.baseType !== null && { baseType: type.baseType }),
    ...(type.structure !== null && { structure: type.structure }),
    // Its output drops the declaration's encoding, and the declaration itself when nothing else is in it.
    ...(type.baseOid === XML && { readAs: 'text' }),
    ...(type.baseOid === XML_ARRAY && { readAs: 'text[]' }),
    ...(namesObjects(type.baseOid) && { namesObjects: true }),
    ...(type.composite && { composite: true }),
  };
}

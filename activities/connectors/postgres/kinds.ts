import type { ValueKind } from '../../../migration/value';

/** What the catalog says about a type: its own oid, and the type below all domains. */
export interface TypeFacts {
  oid: number;
  /** pg_type.typtype: b base, c composite, d domain, e enum, r range, m multirange, p pseudo. */
  category: string;
  baseOid: number;
  baseName: string;
  /** Element type of a true array, 0 for all others. */
  elementOid: number;
  /** The type has a binary form. */
  binary: boolean;
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

/** Their binary form holds an oid of one database (reg*, oid vectors of them) or depends on a locale (money). */
const NOT_PORTABLE = new Set([24, 2202, 2203, 2204, 2205, 2206, 4191, 3734, 3769, 4089, 4096, 8326, 790]);
/** Arrays of the ones above. */
const NOT_PORTABLE_ARRAYS = new Set([1008, 2207, 2208, 2209, 2210, 2211, 4192, 3735, 3770, 4090, 4097, 8327, 791]);

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
  if (type.oid >= FIRST_UNSTABLE_OID || type.elementOid >= FIRST_UNSTABLE_OID) return undefined;
  if (!['b', 'r', 'm'].includes(type.category) || !type.binary) return undefined;
  if (NOT_PORTABLE.has(type.oid) || NOT_PORTABLE.has(type.elementOid) || NOT_PORTABLE_ARRAYS.has(type.oid)) return undefined;
  return type.oid;
}

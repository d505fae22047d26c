import type { TableName } from '../sql';

/** What tables may lean on, spelled by `object-ddl.ts`: what they do not lean on comes by option. */
const PART_KINDS = ['type', 'domain', 'collation', 'sequence', 'aggregate', 'operator', 'operator_class', 'cast', 'text_search_dictionary', 'text_search_configuration'] as const;
export type PartKind = (typeof PART_KINDS)[number];
const DEFINED_KINDS = [...PART_KINDS, 'function', 'view', 'materialized_view', 'rule', 'trigger', 'policy', 'row_security'] as const;
/** What the catalog defines by itself; grants and owners are of something. */
export type DefinedKind = (typeof DEFINED_KINDS)[number];
/** Kinds that a plan can carry. The order is the one in which they are made. */
export const CARRIED_KINDS = [...DEFINED_KINDS, 'grant', 'owner'] as const;
export type CarriedKind = (typeof CARRIED_KINDS)[number];

/** One object of the source that no row lives in. Holds names and the server's own definitions. */
export interface SchemaObject<Kind extends CarriedKind = CarriedKind> {
  kind: Kind;
  oid: number;
  schema: string;
  /** As people name it: `app.total(integer)`, `app.users.watch`. Unique per kind. */
  name: string;
  /** Its name in the catalog, and what tells functions of one name apart. */
  own: string;
  signature: string;
  /** The server's own definition of a function or view: an equal text is an equal object. */
  definition: string;
  /** Statements that make it; they may run before the rows are there. */
  make: string[];
  /** Statements that have to wait for the rows. */
  afterLoad: string[];
  /** The table or view it belongs to (rule, trigger, policy, row security). */
  on: number | null;
  /** SQL condition that tells whether a server has it; functions and views are looked up by name. */
  present?: string;
  /** Why no option carries it. */
  obstacle: string | null;
  /** Roles that its definition names. */
  roles: string[];
}

/** What an object leans on. `columns` are those of a relation that it names. */
export interface Needs { relations: Map<number, Set<string>>; functions: Set<number> }

/** A relation or function as others refer to it. */
export interface KnownRelation extends TableName { oid: number; kind: string; root: number | null }

/** Something that the target does not get, and why. `what` is a kind in words. */
export interface NotCarried { what: string; name: string; reason: string }

/** `materialized view`, `row security`. */
export function kindInWords(kind: string): string {
  return kind.replaceAll('_', ' ');
}

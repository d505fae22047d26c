import { displayName, sameTable, type TableName } from '../sql';
import type { DefinedObject, SchemaObjects } from './read-objects';
import { kindInWords, type DefinedKind, type KnownRelation, type NotCarried, type SchemaObject } from './schema-object';

/** What a plan asks for, by kind. */
export type CarryOptions = Record<'types' | 'sequences' | 'functions' | 'views' | 'materialized_views' | 'rules' | 'triggers' | 'policies', boolean>;

/** A table of the source that one dataset moves. `changed`: source columns that the target has not, or has under another name or type. */
export interface MovedTable { dataset: string; /** The plan makes it, with all that it leans on. */ created: boolean; source: TableName; target: TableName; changed: ReadonlySet<string> }

/** `datasets`: those whose rows it has to wait for. */
export interface ChosenObject extends SchemaObject { datasets: string[] }
export interface Choice { chosen: ChosenObject[]; left: NotCarried[] }

const OPTION_OF: Record<DefinedKind, keyof CarryOptions> = {
  type: 'types', domain: 'types', collation: 'types', operator: 'types', operator_class: 'types', cast: 'types', text_search_dictionary: 'types', text_search_configuration: 'types',
  sequence: 'sequences', aggregate: 'functions', function: 'functions', view: 'views', materialized_view: 'materialized_views', rule: 'rules', trigger: 'triggers', policy: 'policies', row_security: 'policies',
};

/**
 * Which objects the target gets, and why not the others. Pure: the same catalog and plan give the same answer. An object is carried when the plan asks for
 * its kind, or a chosen one needs it, and all that it names is in the target under the same name: tables that the plan moves unchanged, views and functions
 * that are carried too. What lies outside the schemas of the moved tables and touches none of them is not mentioned.
 */
export function chooseObjects(found: SchemaObjects, moved: readonly MovedTable[], options: CarryOptions): Choice {
  return new Choosing(found, moved, options).choose();
}

class Choosing {
  private readonly verdicts = new Map<DefinedObject, string | null>();
  private readonly byOid = new Map<string, DefinedObject>();
  private readonly schemas: Set<string>;

  constructor(private readonly found: SchemaObjects, private readonly moved: readonly MovedTable[], private readonly options: CarryOptions) {
    for (const object of found.objects) this.byOid.set(`${object.kind.endsWith('view') ? 'view' : object.kind === 'aggregate' ? 'function' : object.kind}/${object.oid}`, object);
    this.schemas = new Set(moved.filter((one) => one.source.schema === one.target.schema).map((one) => one.source.schema));
  }

  choose(): Choice {
    const wanted = this.found.objects.filter((object) => this.options[OPTION_OF[object.kind]] && this.concerns(object));
    const chosen = new Set(wanted.filter((object) => this.reasonAgainst(object) === null));
    for (const object of chosen) for (const needed of this.objectsNeededBy(object)) chosen.add(needed);
    const left: NotCarried[] = [];
    for (const object of this.found.objects) {
      if (chosen.has(object) || this.isTable(object) || !this.concerns(object)) continue;
      const reason = this.reasonAgainst(object) ?? `the plan does not ask for it (schema_objects.${OPTION_OF[object.kind]})`;
      left.push({ what: kindInWords(object.kind), name: object.name, reason });
    }
    return { chosen: this.found.objects.filter((object) => chosen.has(object)).map((object) => ({ ...object, datasets: this.datasetsOf(object) })), left };
  }

  /** A view whose rows a dataset copies is a table in the target. */
  private isTable(object: DefinedObject): boolean {
    const relation = object.kind.endsWith('view') ? this.found.relations.get(object.oid) : undefined;
    return relation !== undefined && this.movedAs(relation) !== undefined;
  }

  private concerns(object: DefinedObject): boolean {
    if (this.isTable(object)) return false;
    // Casts are in no schema: those between types of the users are theirs.
    if (this.schemas.has(object.schema) || object.kind === 'cast') return true;
    return [...this.relationsOf(object)].some(({ relation }) => this.movedAs(relation) !== undefined);
  }

  private *relationsOf(object: DefinedObject): Generator<{ relation: KnownRelation; columns: ReadonlySet<string> }> {
    const own = object.on === null ? undefined : this.found.relations.get(object.on);
    if (own) yield { relation: own, columns: new Set() };
    for (const [oid, columns] of this.found.needs.get(object)?.relations ?? []) {
      const relation = this.found.relations.get(oid);
      if (relation) yield { relation, columns };
    }
  }

  private *objectsNeededBy(object: DefinedObject): Generator<DefinedObject> {
    for (const { relation } of this.relationsOf(object)) {
      const view = this.movedAs(relation) ? undefined : this.byOid.get(`view/${relation.oid}`);
      if (view) yield view;
    }
    for (const oid of this.found.needs.get(object)?.functions ?? []) {
      const needed = this.byOid.get(`function/${oid}`);
      if (needed) yield needed;
    }
  }

  private movedAs(relation: KnownRelation): MovedTable | undefined {
    const table = (relation.root === null ? undefined : this.found.relations.get(relation.root)) ?? relation;
    return this.moved.find((one) => sameTable(one.source, table));
  }

  /** Null: nothing in source or plan stands against it. */
  private reasonAgainst(object: DefinedObject): string | null {
    const known = this.verdicts.get(object);
    if (known !== undefined) return known;
    // What leads back to itself is judged by the rest.
    this.verdicts.set(object, null);
    const reason = object.obstacle ?? this.reasonAgainstRelations(object) ?? this.reasonAgainstNeeded(object);
    this.verdicts.set(object, reason);
    return reason;
  }

  private reasonAgainstRelations(object: DefinedObject): string | null {
    for (const { relation, columns } of this.relationsOf(object)) {
      const name = displayName(relation);
      const moved = this.movedAs(relation);
      if (!moved && this.byOid.has(`view/${relation.oid}`)) continue;
      if (relation.kind === 'f') return `it uses ${name}, a foreign table`;
      if (!moved) return `it uses ${name}, which the plan does not move`;
      if (!sameTable(moved.source, moved.target)) return `it uses ${name}, which the plan renames to ${displayName(moved.target)}`;
      const changed = [...columns].find((column) => moved.changed.has(column));
      if (changed !== undefined) return `it uses column ${changed} of ${name}, which the plan renames, converts or drops`;
    }
    return null;
  }

  private reasonAgainstNeeded(object: DefinedObject): string | null {
    for (const needed of this.objectsNeededBy(object)) {
      const reason = this.reasonAgainst(needed);
      if (reason !== null) return `it uses ${kindInWords(needed.kind)} ${needed.name}, which is not carried: ${reason}`;
    }
    return null;
  }

  /** What a function reads is in its text, which nobody here parses: then all rows have to be there. */
  private datasetsOf(object: DefinedObject): string[] {
    const datasets = new Set<string>();
    const seen = new Set<DefinedObject>();
    const visit = (one: DefinedObject): void => {
      if (seen.has(one)) return;
      seen.add(one);
      for (const { relation } of this.relationsOf(one)) {
        const moved = this.movedAs(relation);
        if (moved) datasets.add(moved.dataset);
      }
      for (const needed of this.objectsNeededBy(one)) {
        if (needed.kind === 'function' && object.kind === 'materialized_view') for (const { dataset } of this.moved) datasets.add(dataset);
        visit(needed);
      }
    };
    visit(object);
    return [...datasets].sort();
  }
}

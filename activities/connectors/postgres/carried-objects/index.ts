import type { ClientBase } from 'pg';
import type { SchemaObjectsPlan } from '../../../../migration/plan/schema';
import { withEmptySearchPath } from '../catalog';
import type { InventoryTable } from '../inventory';
import { sameTable } from '../sql';
import { chooseObjects, type Choice, type MovedTable } from './choose-objects';
import { CATALOG_OF, readSchemaObjects, type SchemaObjects } from './read-objects';
import { readLeanedOn } from './read-parts';
import { readPrivileges } from './read-privileges';
import { readUnsupported } from './read-unsupported';
import type { NotCarried } from './schema-object';

export type { Choice, ChosenObject, MovedTable } from './choose-objects';
export type { NotCarried } from './schema-object';

/** Roles often differ between systems: a person decides about owners and grants. */
const ALL_BUT_ROLES: SchemaObjectsPlan = { types: true, sequences: true, functions: true, views: true, materialized_views: true, rules: true, triggers: true, policies: true, owners: false, grants: false };

/** What the target gets beside its tables, as far as source and plan tell, and what it does not. */
export function planObjects(client: ClientBase, moved: readonly MovedTable[], options: SchemaObjectsPlan): Promise<Choice> {
  return withEmptySearchPath(client, async () => {
    const found = await readSchemaObjects(client);
    const { chosen, left } = chooseObjects(await withoutLeanedOn(client, found, moved, options), moved, options);
    const privileges = await readPrivileges(client, moved, chosen, options);
    return { chosen: [...chosen, ...privileges.chosen], left: [...left, ...privileges.left, ...(await readUnsupported(client))] };
  });
}

/** What the plan does not ask for comes all the same where tables that it makes lean on it: that is not missing. */
async function withoutLeanedOn(client: ClientBase, found: SchemaObjects, moved: readonly MovedTable[], options: SchemaObjectsPlan): Promise<SchemaObjects> {
  if (options.types && options.sequences && options.functions) return found;
  const created = moved.filter((one) => one.created);
  const tables = [...found.relations.values()].filter((relation) => created.some(({ source }) => sameTable(source, relation))).map(({ oid }) => oid);
  const leanedOn = await readLeanedOn(client, tables);
  return { ...found, objects: found.objects.filter((object) => !leanedOn.has(`${CATALOG_OF[object.kind]} ${object.oid}`)) };
}

/** For a plan that moves every table under its own name. */
export async function carriableObjects(client: ClientBase, tables: readonly InventoryTable[]): Promise<{ carried: Partial<Record<keyof SchemaObjectsPlan, number>>; left: NotCarried[] }> {
  const stored = tables.filter(({ kind, obstacle }) => (kind === 'table' || kind === 'partitioned') && obstacle === null);
  const moved = stored.map(({ schema, name }): MovedTable => ({ dataset: name, created: true, source: { schema, name }, target: { schema, name }, changed: new Set() }));
  const { chosen, left } = await planObjects(client, moved, ALL_BUT_ROLES);
  const counts = (kinds: string[]): number => chosen.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    left,
    carried: {
      types: counts(['type', 'domain', 'collation', 'operator', 'operator_class', 'cast', 'text_search_dictionary', 'text_search_configuration']), sequences: counts(['sequence']),
      functions: counts(['function', 'aggregate']), views: counts(['view']), materialized_views: counts(['materialized_view']), rules: counts(['rule']),
      triggers: counts(['trigger']), policies: counts(['policy', 'row_security']),
    },
  };
}

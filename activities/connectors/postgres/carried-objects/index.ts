import type { ClientBase } from 'pg';
import type { SchemaObjectsPlan } from '../../../../migration/plan/schema';
import { withEmptySearchPath } from '../catalog';
import type { InventoryTable } from '../inventory';
import { chooseObjects, type Choice, type MovedTable } from './choose-objects';
import { readSchemaObjects } from './read-objects';
import { readPrivileges } from './read-privileges';
import { readUnsupported } from './read-unsupported';
import type { NotCarried } from './schema-object';

export type { ChosenObject, MovedTable } from './choose-objects';
export type { NotCarried } from './schema-object';

/** Roles often differ between systems: a person decides about owners and grants. */
const ALL_BUT_ROLES: SchemaObjectsPlan = { functions: true, views: true, materialized_views: true, rules: true, triggers: true, policies: true, owners: false, grants: false };

/** What the target gets beside its tables, as far as source and plan tell, and what it does not. */
export function planObjects(client: ClientBase, moved: readonly MovedTable[], options: SchemaObjectsPlan): Promise<Choice> {
  return withEmptySearchPath(client, async () => {
    const { chosen, left } = chooseObjects(await readSchemaObjects(client), moved, options);
    const privileges = await readPrivileges(client, moved, chosen, options);
    return { chosen: [...chosen, ...privileges.chosen], left: [...left, ...privileges.left, ...(await readUnsupported(client))] };
  });
}

/** For a plan that moves every table under its own name. */
export async function carriableObjects(client: ClientBase, tables: readonly InventoryTable[]): Promise<{ carried: Partial<Record<keyof SchemaObjectsPlan, number>>; left: NotCarried[] }> {
  const stored = tables.filter(({ kind, obstacle }) => (kind === 'table' || kind === 'partitioned') && obstacle === null);
  const moved = stored.map(({ schema, name }): MovedTable => ({ dataset: name, source: { schema, name }, target: { schema, name }, changed: new Set() }));
  const { chosen, left } = await planObjects(client, moved, ALL_BUT_ROLES);
  const counts = (kinds: string[]): number => chosen.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    left,
    carried: {
      functions: counts(['function']), views: counts(['view']), materialized_views: counts(['materialized_view']), rules: counts(['rule']),
      triggers: counts(['trigger']), policies: counts(['policy', 'row_security']),
    },
  };
}

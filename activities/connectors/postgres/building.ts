import type { ClientBase } from 'pg';
import { attempt } from './attempt';
import { readRows } from './catalog';
import { clip, type TablePlan } from './create-table';
import type { CreatedSchemas } from './created-schemas';
import type { TableName } from './sql';
import type { LeftOut } from './table-definition';

/** What building tables of one target shares. */
export interface Building {
  client: ClientBase;
  major: number;
  schemas: CreatedSchemas;
  /** Owned sequences that were made: the source's spelling -> the new name. */
  sequences: Map<string, TableName>;
  /** `"schema"."table" old index name` -> what it is called in the target. */
  indexNames: Map<string, string>;
}

/** Notes what fails though the table can do without it; a reason that is known beforehand goes before the server's. */
export type Optional = (what: string, name: string, sql: string) => Promise<boolean>;

export function optionally(building: Building, leftOut: LeftOut[]): Optional {
  return async (what, name, sql) => {
    const made = await attempt(building.client, sql);
    if (made !== true) leftOut.push({ what, name, reason: made });
    return made === true;
  };
}

/**
 * A name that is free in the target's schema: the old one, with the old table's name at its front replaced by the new one
 * (`users_pkey` of a table that becomes `people` is `people_pkey`), numbered when it is taken.
 */
export async function freeName(client: ClientBase, plan: TablePlan, old: string): Promise<string> {
  const from = plan.source.name;
  const wanted = from !== '' && from !== plan.target.name && old.startsWith(`${from}_`) ? `${plan.target.name}${old.slice(from.length)}` : old;
  for (let number = 0; ; number++) {
    const suffix = number === 0 ? '' : `_${number}`;
    const name = `${clip(wanted, 63 - suffix.length)}${suffix}`;
    const taken = await readRows(
      client, `SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
      [plan.target.schema, name]);
    if (taken.length === 0) return name;
  }
}

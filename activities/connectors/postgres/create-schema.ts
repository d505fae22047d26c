import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { findRelation, requireRelation, serverMajor, withEmptySearchPath, type Relation } from './catalog';
import { attempt, createDependencies, createSchemaIfMissing } from './create-dependencies';
import { createForeignKeys } from './create-foreign-keys';
import type { CreateRequest } from './create-request';
import { buildTable, planTable, type TablePlan } from './create-table';
import { describe } from './describe';
import type { DroppedObject } from './dropped-object';
import { compareWithExisting } from './schema-difference';
import { columnList, displayName, sameTable, type TableName } from './sql';
import { readTableDefinition, type LeftOut, type TableDefinition } from './table-definition';
import { dropForLoad } from './target-objects';

export type { CreateRequest } from './create-request';

export interface CreatedTables {
  created: { dataset: string; table: TableName }[];
  /** Were there already, and equal. */
  existing: TableName[];
  /** Secondary indexes, unique constraints and foreign keys, in the target's names: store them in the same transaction and build them after the load. */
  deferred: { dataset: string; object: DroppedObject }[];
  /** What the target does not get, by name, with the reason. */
  leftOut: (LeftOut & { dataset: string })[];
}

/**
 * Makes target tables as their sources are: columns, exact types, defaults, generated columns, identities and owned sequences, keys, checks, comments;
 * with the enums, domains, functions and extensions that they need. A table is first built with the source's names and then renamed,
 * so that the server rewrites every expression itself. Repeatable: equal tables are left alone.
 * Run it in one transaction of the target (`source` may be in any state) and record `created` and `deferred` in it.
 * @throws MigrationError `OBJECT_MISSING` (source), `MAPPING_INVALID` (another table has the name; the message lists the differences), `PRIVILEGE_MISSING`.
 */
export async function createTables(source: ClientBase, target: ClientBase, requests: CreateRequest[]): Promise<CreatedTables> {
  return withEmptySearchPath(target, async () => {
    const result: CreatedTables = { created: [], existing: [], deferred: [], leftOut: [] };
    const built: { request: CreateRequest; definition: TableDefinition }[] = [];
    const major = await serverMajor(target);
    for (const request of requests) {
      if (request.given) continue;
      const place = `dataset ${request.dataset}`;
      const definition = await definitionOf(source, request, place);
      const plan = planTable(definition, request, major);
      const existing = await findRelation(target, request.target);
      if (existing) {
        await refuseDifferent(target, existing, plan, place);
        result.existing.push(request.target);
        continue;
      }
      const note = (items: LeftOut[]): void => { for (const item of items) result.leftOut.push({ ...item, dataset: request.dataset }); };
      await createSchemaIfMissing(target, request.target.schema);
      if (definition.oid !== 0) note(await withEmptySearchPath(source, () => createDependencies(source, target, definition.oid, plan.unneededTypes)));
      note(definition.leftOut);
      note(await buildTable(target, plan, (sql) => attempt(target, sql)));
      result.created.push({ dataset: request.dataset, table: request.target });
      built.push({ request, definition });
    }
    for (const { request, definition } of built) {
      for (const item of await createForeignKeys(target, request, definition, requests)) result.leftOut.push({ ...item, dataset: request.dataset });
    }
    const loading = requests.map((request) => request.target);
    for (const { request } of built) {
      const options = { loading, ...(request.arbiter && { arbiter: request.arbiter }) };
      for (const object of await dropForLoad(target, request.target, options)) {
        // A foreign key is dropped with whichever of its tables comes first, but belongs to the one that holds it.
        const holder = requests.find((other) => sameTable(other.target, { schema: object.schema, name: object.table })) ?? request;
        result.deferred.push({ dataset: holder.dataset, object });
      }
    }
    return result;
  });
}

async function definitionOf(source: ClientBase, request: CreateRequest, place: string): Promise<TableDefinition> {
  if ('query' in request.source) return definitionOfQuery(source, request.source, place);
  const relation = await requireRelation(source, request.source.table, place);
  if (relation.kind === 'foreign') throw new MigrationError('MAPPING_INVALID', `${place}: ${displayName(relation)} is a foreign table; use a connection to the server that holds it`);
  const definition = await withEmptySearchPath(source, () => readTableDefinition(source, relation));
  return isView(relation) ? { ...definition, leftOut: [] } : definition;
}

function isView(relation: Relation): boolean {
  return relation.kind === 'view' || relation.kind === 'materialized_view';
}

/** A query gives columns and types, and its declared key becomes the primary key. */
async function definitionOfQuery(source: ClientBase, from: { query: string; key?: string[] }, place: string): Promise<TableDefinition> {
  const { columns, key } = await describe(source, from, place);
  return {
    oid: 0, schema: '', name: '', unlogged: false, options: [], comment: null, indexes: [], foreignKeys: [], leftOut: [],
    columns: columns.map((column) => ({
      name: column.name, type: column.type, notNull: !column.nullable, collation: null, expression: null, generated: '', identity: '', sequence: null,
      computedFrom: [], statistics: null, storage: null, comment: null,
    })),
    constraints: key === null ? [] : [{ name: '', kind: 'p', definition: `PRIMARY KEY (${columnList(key)})`, comment: null, columns: key }],
  };
}

async function refuseDifferent(target: ClientBase, existing: Relation, plan: TablePlan, place: string): Promise<void> {
  const differences = await compareWithExisting(target, existing, plan);
  if (differences.length === 0) return;
  throw new MigrationError(
    'MAPPING_INVALID',
    `${place}: the target has another table ${displayName(existing)}: ${differences.join('; ')}. Rename or drop it, or set schema: given for this dataset to use it as it is.`,
  );
}

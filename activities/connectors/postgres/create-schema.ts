import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { addUnprovedChecks, createTable, finishTable, renameColumns } from './build-table';
import type { Building } from './building';
import { findRelation, requireRelation, serverMajor, withEmptySearchPath, type Relation } from './catalog';
import { NeededObjects } from './create-dependencies';
import { createForeignKeys, type Place } from './create-foreign-keys';
import type { CreateRequest } from './create-request';
import { planTable, withPlannedPartitions, type TablePlan, type TableToMake } from './create-table';
import { replaceMissingTypes } from './created-columns';
import { CreatedSchemas } from './created-schemas';
import { readClosure } from './dependency-closure';
import { describe } from './describe';
import type { DroppedObject } from './dropped-object';
import { parentsInTarget } from './inherited-tables';
import { compareWithExisting } from './schema-difference';
import { columnList, displayName, qualified, sameTable, type TableName } from './sql';
import { readTableDefinitions, type LeftOut, type TableDefinition } from './table-definition';
import { dropForLoad, dropUnprovedChecks } from './target-objects';

export type { CreateRequest } from './create-request';

export interface CreatedTables {
  created: { dataset: string; table: TableName }[];
  /** Were there already, and equal. */
  existing: TableName[];
  /** Secondary indexes, unique constraints, foreign keys and checks that are not valid, in the target's names: store them in the same transaction and build them after the load. */
  deferred: { dataset: string; object: DroppedObject }[];
  /** What the target does not get, by name, with the reason. */
  leftOut: (LeftOut & { dataset: string })[];
}

/**
 * Makes target tables as their sources are: columns, exact types, defaults, generated columns, identities and owned sequences, keys, checks, indexes,
 * partitions, inheritance, comments; with the types, functions, operators and extensions that they need. A table is first built with the source's names
 * and then renamed, so that the server rewrites every expression itself. Repeatable: equal tables are left alone.
 * Run it in one transaction of the target (`source` may be in any state) and record `created` and `deferred` in it.
 * @throws MigrationError `OBJECT_MISSING` (source), `MAPPING_INVALID` (another table or type has the name; the message lists the differences), `PRIVILEGE_MISSING`.
 */
export function createTables(source: ClientBase, target: ClientBase, requests: CreateRequest[]): Promise<CreatedTables> {
  return withEmptySearchPath(target, () => withEmptySearchPath(source, () => new SchemaCreation(source, target, requests).run()));
}

/**
 * `createTables` as a trial, for a transaction that is rolled back: it shows what would be left out. Tables that are there are only looked at: foreign keys to them, which
 * would lock out writers, are not tried.
 */
export function tryTables(source: ClientBase, target: ClientBase, requests: CreateRequest[]): Promise<CreatedTables> {
  return withEmptySearchPath(target, () => withEmptySearchPath(source, () => new SchemaCreation(source, target, requests, true).run()));
}

class SchemaCreation {
  private readonly result: CreatedTables = { created: [], existing: [], deferred: [], leftOut: [] };
  private readonly places = new Map<string, Place>();

  constructor(private readonly source: ClientBase, private readonly target: ClientBase, private readonly requests: CreateRequest[], private readonly trial = false) {}

  async run(): Promise<CreatedTables> {
    const { source, target } = this;
    const major = await serverMajor(target);
    const planned = await this.plan(major);
    const schemas = await CreatedSchemas.over(source, target);
    const building: Building = { client: target, major, schemas, sequences: new Map(), indexNames: new Map() };
    const made = await this.createAll(building, await this.withoutExisting(planned));
    for (const { request, plan, parents } of made) this.note(request.dataset, await finishTable(building, plan, parents.length > 0));
    // A parent's goes down to its children: their own must be there before.
    for (const { request, plan, parents } of made) this.note(request.dataset, await addUnprovedChecks(building, plan, parents.length > 0));
    for (const { plan } of made) await renameColumns(building, plan);
    for (const { request, plan } of made) {
      for (const one of withPlannedPartitions(plan)) {
        const place = { source: one.source, target: one.target, request };
        const keys = this.trial ? one.source.foreignKeys.filter((key) => !this.isThere(key.references)) : one.source.foreignKeys;
        this.note(request.dataset, await createForeignKeys(target, place, keys, (table) => this.places.get(qualified(table)), major));
      }
      this.result.created.push({ dataset: request.dataset, table: request.target });
    }
    if (!this.trial) await this.clearForLoad(made);
    const order = this.requests.map(({ dataset }) => dataset);
    this.result.created.sort((a, b) => order.indexOf(a.dataset) - order.indexOf(b.dataset));
    return this.result;
  }

  /** All tables of the requests but the given ones; places of all. */
  private async plan(major: number): Promise<TableToMake[]> {
    const relations = new Map<CreateRequest, Relation>();
    for (const request of this.requests) {
      if ('query' in request.source) continue;
      if (request.given) this.places.set(qualified(request.source.table), { source: request.source.table, target: request.target, request });
      else relations.set(request, await sourceRelation(this.source, request.source.table, `dataset ${request.dataset}`));
    }
    const definitions = await readTableDefinitions(this.source, [...relations.values()].map(({ oid }) => oid));
    const planned: TableToMake[] = [];
    for (const request of this.requests) {
      if (request.given) continue;
      const relation = relations.get(request);
      const definition = relation ? definitions.get(relation.oid) : await definitionOfQuery(this.source, request);
      if (!definition) throw new MigrationError('INTERNAL', `dataset ${request.dataset}: its table was not found again`);
      const plan = planTable(relation && isView(relation) ? { ...definition, leftOut: [] } : definition, request, major);
      planned.push({ request, plan });
      if (relation) for (const one of withPlannedPartitions(plan)) this.places.set(qualified(one.source), { source: one.source, target: one.target, request });
    }
    return planned;
  }

  private async withoutExisting(planned: TableToMake[]): Promise<TableToMake[]> {
    const missing: TableToMake[] = [];
    for (const one of planned) {
      const existing = await findRelation(this.target, one.request.target);
      if (!existing) {
        missing.push(one);
        continue;
      }
      await replaceMissingTypes(this.target, one.plan);
      await refuseDifferent(this.target, existing, one.plan, `dataset ${one.request.dataset}`);
      this.result.existing.push(one.request.target);
    }
    return missing;
  }

  /** Tables with their columns, in an order in which each finds what it needs. */
  private async createAll(building: Building, missing: TableToMake[]): Promise<(TableToMake & { parents: TableName[] })[]> {
    if (missing.length === 0) return [];
    const { source, target } = this;
    const roots = missing.flatMap(({ plan }) => withPlannedPartitions(plan).map((one) => ({ oid: one.source.oid, unneeded: one.unneededTypes })));
    const typesOfQueries = missing.filter(({ plan }) => plan.source.oid === 0).flatMap(({ plan }) => plan.columns.map(({ type }) => type));
    const closure = await readClosure(source, roots.filter(({ oid }) => oid !== 0), typesOfQueries);
    const needed = await NeededObjects.prepare(source, target, building.schemas, closure, building.major);
    await needed.settle();
    const ordered = [...missing].sort((a, b) => closure.tables.indexOf(a.plan.source.oid) - closure.tables.indexOf(b.plan.source.oid));
    const made: (TableToMake & { parents: TableName[] })[] = [];
    for (const one of ordered) {
      const { dataset } = one.request;
      for (const plan of withPlannedPartitions(one.plan)) this.note(dataset, await replaceMissingTypes(target, plan, { source, missingExtensions: needed.missingExtensions, place: `dataset ${dataset}` }));
      const { parents, leftOut } = parentsInTarget(one, made, (table) => this.places.get(qualified(table)));
      this.note(dataset, leftOut);
      this.note(dataset, await createTable(building, one.plan, parents));
      made.push({ ...one, parents });
      await needed.settle();
    }
    await needed.finish();
    if (made[0]) this.note(made[0].request.dataset, needed.leftOut);
    return made;
  }

  private async clearForLoad(made: TableToMake[]): Promise<void> {
    const loaded = new Set(this.requests.map((request) => qualified(request.target)));
    const holders = new Map([...this.places.values()].map(({ target, request }) => [qualified(target), request]));
    const order = new Map(this.requests.map((request, at) => [request, at]));
    const isLoading = (table: TableName): boolean => loaded.has(qualified(table));
    for (const { request } of [...made].sort((a, b) => (order.get(a.request) ?? 0) - (order.get(b.request) ?? 0))) {
      const options = { isLoading, ...(request.arbiter && { arbiter: request.arbiter }) };
      for (const object of [...(await dropUnprovedChecks(this.target, request.target)), ...(await dropForLoad(this.target, request.target, options))]) {
        // A foreign key is dropped with whichever of its tables comes first, but belongs to the one that holds it.
        const holder = holders.get(qualified({ schema: object.schema, name: object.table })) ?? request;
        this.result.deferred.push({ dataset: holder.dataset, object });
      }
    }
  }

  private isThere(source: TableName): boolean {
    const place = this.places.get(qualified(source));
    return place !== undefined && (place.request.given === true || this.result.existing.some((table) => sameTable(table, place.request.target)));
  }

  private note(dataset: string, items: LeftOut[]): void {
    for (const item of items) this.result.leftOut.push({ ...item, dataset });
  }
}

async function sourceRelation(source: ClientBase, table: TableName, place: string): Promise<Relation> {
  const relation = await requireRelation(source, table, place);
  if (relation.kind === 'foreign') throw new MigrationError('MAPPING_INVALID', `${place}: ${displayName(relation)} is a foreign table; use a connection to the server that holds it`);
  return relation;
}

function isView(relation: Relation): boolean {
  return relation.kind === 'view' || relation.kind === 'materialized_view';
}

/** A query gives columns and types, and its declared key becomes the primary key. */
async function definitionOfQuery(source: ClientBase, request: CreateRequest): Promise<TableDefinition | undefined> {
  if ('table' in request.source) return undefined;
  const { columns, key } = await describe(source, request.source, `dataset ${request.dataset}`);
  return {
    oid: 0, schema: '', name: '', unlogged: false, options: [], accessMethod: null, comment: null, indexes: [], foreignKeys: [], statistics: [], sequences: [],
    partitioning: null, bound: null, partitions: [], parents: [], ofType: null, replicaIdentity: 'd', identityIndex: null, leftOut: [],
    columns: columns.map((column) => ({
      name: column.name, type: column.type, notNull: !column.nullable, notNullName: null, notNullNoInherit: false, notNullLocal: true, collation: null, expression: null,
      generated: '', identity: '', computedFrom: [], inherited: false, local: true, statistics: null, options: [], storage: null, compression: null, comment: null,
    })),
    constraints: key === null ? [] : [{ name: '', kind: 'p', definition: `PRIMARY KEY (${columnList(key)})`, comment: null, columns: key, inherited: false, index: null }],
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

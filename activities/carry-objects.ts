import { firstNames } from '../migration/name-list';
import type { Plan, SchemaObjectsPlan } from '../migration/plan/schema';
import type { Problem, RunRef } from '../migration/protocol';
import { planObjects, type Choice, type MovedTable, type NotCarried } from './connectors/postgres/carried-objects';
import { finishObject, makeObjects, reasonOf } from './connectors/postgres/carried-objects/make-objects';
import { withEmptySearchPath } from './connectors/postgres/catalog';
import { toMigrationError } from './connectors/postgres/errors';
import { followSequence, readSequence } from './connectors/postgres/sequences';
import { parseTableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { underFence, type DatasetFence } from './reconciliation/dataset-fence';
import { createsTable, describeSource, requestFor } from './schema-requests';
import { lockWaiting, readObjects, settleObject, storeObjects, type StoredObject } from './stores/schema-object-store';

type PlanDependencies = Pick<ActivityDependencies, 'systems' | 'transforms'>;

const NOTHING: SchemaObjectsPlan = { types: false, sequences: false, functions: false, views: false, materialized_views: false, rules: false, triggers: false, policies: false, owners: false, grants: false };

/** A plan that an earlier version admitted does not have the key. */
function optionsOf(plan: Plan): SchemaObjectsPlan {
  return { ...NOTHING, ...(plan as Partial<Plan>).schema_objects };
}

/**
 * What the target does not get beside the tables, from the catalog of each source and the plan alone: one warning for each reason.
 * `namesMax`: names in one message; results of activities are limited in size.
 */
export async function objectProblems(deps: PlanDependencies, plan: Plan, namesMax = Infinity): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [sourceName, targetName] of pairsOf(plan)) {
    const { left } = await objectsOf(deps, plan, sourceName, targetName);
    problems.push(...leftProblems(left, sourceName, namesMax));
  }
  return problems;
}

/** What the target gets beside the tables, as far as source and plan tell, and what it does not. */
export async function objectsOf(deps: PlanDependencies, plan: Plan, sourceName: string, targetName: string): Promise<Choice> {
  const moved = await movedTables(deps, plan, sourceName, targetName);
  return asPostgres(deps.systems.open(sourceName)).use((client) => planObjects(client, moved, optionsOf(plan)));
}

export function leftProblems(left: readonly NotCarried[], source: string, namesMax = Infinity): Problem[] {
  const groups = new Map<string, NotCarried[]>();
  for (const item of left) {
    const key = `${item.what}\n${item.reason}`;
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()].map((items): Problem => {
    const [{ what, reason } = { what: '', reason: '' }] = items;
    const names = firstNames(items.map(({ name }) => name), namesMax);
    return { severity: 'warning', place: 'schema_objects', message: `not carried from ${source}: ${what}${items.length > 1 ? ` (${items.length})` : ''} ${names}: ${reason}` };
  });
}

/** Pairs of connections that tables move between. */
export function pairsOf(plan: Plan): [source: string, target: string][] {
  const pairs = new Map<string, [string, string]>();
  for (const { source, target } of Object.values(plan.datasets)) pairs.set(JSON.stringify([source.connection, target.connection]), [source.connection, target.connection]);
  return [...pairs.values()];
}

async function movedTables(deps: PlanDependencies, plan: Plan, sourceName: string, targetName: string): Promise<MovedTable[]> {
  const moved: MovedTable[] = [];
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    if (dataset.source.connection !== sourceName || dataset.target.connection !== targetName || dataset.source.query !== undefined) continue;
    const source = parseTableName(dataset.source.table ?? name);
    const target = parseTableName(dataset.target.table ?? name);
    moved.push({ dataset: name, created: createsTable(plan, dataset), source, target, changed: dataset.transformations.length === 0 ? new Set() : await changedColumns(deps, plan, name) });
  }
  return moved;
}

/** Columns that the target lacks, or has under another name or type. */
async function changedColumns(deps: PlanDependencies, plan: Plan, name: string): Promise<Set<string>> {
  const dataset = plan.datasets[name];
  if (!dataset) return new Set();
  const { renames, dropped, typeOverrides } = requestFor(deps, plan, name, dataset, await describeSource(deps, name, dataset));
  return new Set([...Object.keys(renames), ...dropped, ...Object.keys(typeOverrides)]);
}

/**
 * Makes what the plan wants carried and may stand before the rows, tries out the rest, and keeps in the target's ledger what has to wait and what failed.
 * One transaction per pair of connections. Repeatable: what is there is not made again. Answers what is not carried.
 */
export async function prepareObjects(deps: ActivityDependencies, ref: RunRef, plan: Plan, sourceName: string, targetName: string): Promise<NotCarried[]> {
  const target = asPostgres(deps.systems.open(targetName));
  const choice = await objectsOf(deps, plan, sourceName, targetName);
  return target.transaction((client) => withEmptySearchPath(client, async () => {
    const done = new Set((await readObjects(client, ref.migration)).filter((one) => one.source === sourceName && one.state === 'made').map(keyOf));
    const finished = choice.chosen.filter((object) => object.afterLoad.length > 0 && done.has(keyOf({ source: sourceName, ...object })));
    const { made, waiting, failed } = await makeObjects(client, choice.chosen.filter((object) => !finished.includes(object)));
    const left = [...failed, ...choice.left];
    await storeObjects(client, ref.migration, sourceName, [
      ...[...finished, ...made].map((object) => ({ object, state: 'made' as const })), ...waiting.map((object) => ({ object, state: 'waiting' as const })),
    ], left);
    return left;
  }));
}

const keyOf = ({ source, kind, name }: Pick<StoredObject, 'source' | 'kind' | 'name'>): string => JSON.stringify([source, kind, name]);

/**
 * Makes what waited for the rows, where all its datasets are closed; one fenced transaction per object, so a repeat goes on where the last attempt ended.
 * What fails for good is kept as not carried; the answer names it. @throws MigrationError `FENCED`, and transient ones.
 */
export async function finishObjects(system: PostgresSystem, held: DatasetFence, closed: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
  const failed: string[] = [];
  for (const stored of await system.use((client) => readObjects(client, held.migration))) {
    signal.throwIfAborted();
    if (stored.state !== 'waiting' || !stored.datasets.every((name) => closed.has(name))) continue;
    try {
      await underFence(system, held, async (client) => {
        if (!(await lockWaiting(client, held.migration, stored))) return;
        await client.query('SET LOCAL statement_timeout = 0');
        await withEmptySearchPath(client, () => finishObject(client, { kind: stored.kind, name: stored.name, afterLoad: stored.statements }));
        await settleObject(client, held.migration, stored, 'made');
      });
    } catch (error) {
      const reason = reasonOf(error);
      await underFence(system, held, (client) => settleObject(client, held.migration, stored, 'left', reason));
      failed.push(`${stored.kind.replaceAll('_', ' ')} ${stored.name}: ${reason}`);
    }
  }
  return failed;
}

/**
 * Brings sequences that came by option to the source's state of now. A source that this worker does not reach, or may not read, does not count.
 * Fenced, repeatable. @throws MigrationError `FENCED`, and transient ones.
 */
export async function followSequences(deps: Pick<ActivityDependencies, 'systems'>, system: PostgresSystem, held: DatasetFence): Promise<void> {
  const carried = (await system.use((client) => readObjects(client, held.migration))).filter(({ kind, state }) => kind === 'sequence' && state === 'made');
  for (const { source, name } of carried) {
    const state = await stateInSource(deps, source, name);
    if (state) await underFence(system, held, (client) => followSequence(client, name, state));
  }
}

async function stateInSource(deps: Pick<ActivityDependencies, 'systems'>, source: string, sequence: string): Promise<Awaited<ReturnType<typeof readSequence>>> {
  try {
    return await asPostgres(deps.systems.open(source)).use((client) => readSequence(client, sequence));
  } catch (error) {
    const known = toMigrationError(error, `connection ${source}`);
    if (known.code === 'CONNECTION_UNKNOWN' || known.code === 'PRIVILEGE_MISSING') return null;
    throw known;
  }
}

import type { Selection } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import type { DatasetRef, RunRef } from '../migration/protocol';
import { parseTableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { assertLease, readIdentities } from './stores/control-store';
import { planOfRun } from './run-plan';
import { readPlan } from './stores/plan-store';
import { sameIdentity } from './stores/identity';

/** How long a checked run is believed: slices start often, and every commit is fenced in the ledger anyway. */
const TRUST_MS = 10_000;

/** What every activity of an admitted run stands on. */
export interface RunContext {
  ref: RunRef;
  plan: Plan;
  /** The database of the control store. */
  control: PostgresSystem;
}

/** One dataset of an admitted run. `source` and `target` open at first use: a worker of one side needs only its own connection. */
export interface DatasetContext extends RunContext {
  name: string;
  dataset: DatasetPlan;
  source: PostgresSystem;
  target: PostgresSystem;
  /** The table defaults to the dataset's name unless a query is given. */
  sourceSelection: Selection;
  targetTable: { schema: string; table: string };
}

const contexts = new WeakMap<ActivityDependencies, Map<string, { until: number; context: Promise<RunContext> }>>();

/**
 * The run that `ref` names: plan as admitted, lease still ours, every connection of the plan that this worker has still the server that admission saw.
 * Believed for 10 s per run.
 * @throws MigrationError `LEASE_LOST` (fenced), `SYSTEM_CHANGED`, `PLAN_NOT_FOUND`, `CONNECTION_UNKNOWN`, `SYSTEM_UNREACHABLE` (transient).
 */
export async function loadRun(deps: ActivityDependencies, ref: RunRef): Promise<RunContext> {
  const known = contexts.get(deps) ?? new Map<string, { until: number; context: Promise<RunContext> }>();
  contexts.set(deps, known);
  const key = JSON.stringify([ref.control, ref.migration, ref.lease, ref.planHash, ref.settled]);
  const now = Date.now();
  for (const [other, entry] of known) if (entry.until <= now) known.delete(other);
  const found = known.get(key);
  if (found) return found.context;
  const context = checkRun(deps, ref);
  known.set(key, { until: now + TRUST_MS, context });
  context.catch(() => known.delete(key));
  return context;
}

/** Makes the next `loadRun` look again. */
export function forgetRuns(deps: ActivityDependencies): void {
  contexts.delete(deps);
}

/**
 * The control store alone, for what must be recorded even while a source or target is away: lease checked, identities of other connections not.
 * @throws MigrationError as `loadRun`.
 */
export async function loadControl(deps: ActivityDependencies, ref: RunRef): Promise<RunContext> {
  const control = asPostgres(deps.systems.open(ref.control));
  await assertLease(control, ref);
  return { ref, plan: await planOfRun(control, ref, await readPlan(control, ref.planHash)), control };
}

/** One dataset of the run. @throws MigrationError as `loadRun`; `PLAN_CHANGED` when the admitted plan has no such dataset. */
export async function loadDataset(deps: ActivityDependencies, input: DatasetRef): Promise<DatasetContext> {
  const run = await loadRun(deps, input.ref);
  const dataset = Object.hasOwn(run.plan.datasets, input.dataset) ? run.plan.datasets[input.dataset] : undefined;
  if (!dataset) throw new MigrationError('PLAN_CHANGED', `migration ${input.ref.migration}: the admitted plan has no dataset ${input.dataset}; start the migration again`);
  return {
    ...run,
    name: input.dataset,
    dataset,
    get source() { return asPostgres(deps.systems.open(dataset.source.connection)); },
    get target() { return asPostgres(deps.systems.open(dataset.target.connection)); },
    sourceSelection: sourceSelection(input.dataset, dataset),
    targetTable: targetTable(input.dataset, dataset),
  };
}

/** What a dataset reads: its query, or its table (`schema.table`), which defaults to the dataset's name in `public`. */
export function sourceSelection(name: string, dataset: DatasetPlan): Selection {
  const { table, query, key, where } = dataset.source;
  return {
    ...(query === undefined ? { table: table ?? name } : { query }),
    ...(key ? { key } : {}),
    ...(where === undefined ? {} : { where }),
  };
}

/** Where a dataset writes; schema `public` unless the plan names one. */
export function targetTable(name: string, dataset: DatasetPlan): { schema: string; table: string } {
  const { schema, name: table } = parseTableName(dataset.target.table ?? name);
  return { schema, table };
}

/** Every connection a plan names, in first-use order, without repeats. */
export function planConnections(plan: Plan): string[] {
  const names = new Set<string>();
  for (const dataset of Object.values(plan.datasets)) names.add(dataset.source.connection).add(dataset.target.connection);
  for (const check of [...Object.values(plan.checks.integrity), ...Object.values(plan.checks.business_rules)]) {
    if (check.source_connection) names.add(check.source_connection);
    if (check.target_connection) names.add(check.target_connection);
  }
  for (const probe of Object.values(plan.probes)) {
    if (probe.source_connection) names.add(probe.source_connection);
    if (probe.target_connection) names.add(probe.target_connection);
  }
  for (const { sql } of plan.cutover?.switch ?? []) if (sql) names.add(sql.connection);
  if (plan.control) names.add(plan.control);
  return [...names];
}

async function checkRun(deps: ActivityDependencies, ref: RunRef): Promise<RunContext> {
  const run = await loadControl(deps, ref);
  await checkIdentities(deps, run, planConnections(run.plan));
  return run;
}

/**
 * The control store and the targets, by connection, for work on ledgers when the sources may be gone for good: lease and identities of these checked.
 * @throws MigrationError as `loadRun`.
 */
export async function loadTargets(deps: ActivityDependencies, ref: RunRef): Promise<RunContext & { targets: Map<string, PostgresSystem> }> {
  const run = await loadControl(deps, ref);
  const names = [...new Set(Object.values(run.plan.datasets).map(({ target }) => target.connection))];
  await checkIdentities(deps, run, names);
  return { ...run, targets: new Map(names.map((name) => [name, asPostgres(deps.systems.open(name))])) };
}

/** @throws MigrationError `SYSTEM_CHANGED`. */
async function checkIdentities(deps: ActivityDependencies, { ref, control }: RunContext, connections: readonly string[]): Promise<void> {
  const recorded = await readIdentities(control, ref.migration);
  const used = new Set([...connections, ref.control]);
  await Promise.all(Object.entries(recorded).filter(([connection]) => used.has(connection)).map(async ([connection, admitted]) => {
    const system = openIfKnown(deps, connection);
    if (!system || sameIdentity(admitted, await system.identity())) return;
    throw new MigrationError('SYSTEM_CHANGED', `connection ${connection} leads to another database than the one this migration was admitted with. Point it back, or use a new migration name for the other database.`, { connection });
  }));
}

/** A worker of one side does not have the other side's connections: whoever needs one it lacks is told when it is used. */
function openIfKnown(deps: ActivityDependencies, connection: string) {
  try {
    return deps.systems.open(connection);
  } catch (error) {
    if (error instanceof MigrationError && error.code === 'CONNECTION_UNKNOWN') return null;
    throw error;
  }
}

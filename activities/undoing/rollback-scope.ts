import { MigrationError } from '../../migration/errors';
import { orderDatasets } from '../../migration/plan/order';
import { datasetsNamed } from '../../migration/plan/restrict';
import type { Plan } from '../../migration/plan/schema';
import type { RollbackStart } from '../../migration/protocol';
import { readRows } from '../connectors/postgres/catalog';
import type { TableName } from '../connectors/postgres/sql';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { PlannedTables } from '../planned-tables';

/** `datasets`: children before their parents. */
export interface RollbackScope { datasets: string[]; others: string[] }

/**
 * The datasets that a rollback takes back. A partial one names datasets or groups; what leans on them has to come along.
 * @throws MigrationError `ROLLBACK_REFUSED` that names what leans on them, or what the plan does not know.
 */
export async function rollbackScope(deps: ActivityDependencies, plan: Plan, start: Pick<RollbackStart, 'tier' | 'datasets' | 'dependents'>): Promise<RollbackScope> {
  const all = orderDatasets(plan).reverse();
  if (start.tier !== 'partial') return { datasets: all, others: [] };
  const named = namedDatasets(plan, start.datasets ?? []);
  const leaning = await leaningOn(deps, plan, named);
  if (leaning.size > 0 && !start.dependents) {
    const first = [...leaning].slice(0, 5).map(([dataset, why]) => `${dataset} (${why})`).join(', ');
    throw new MigrationError('ROLLBACK_REFUSED', `these datasets lean on what would be taken back: ${first}${leaning.size > 5 ? ` and ${leaning.size - 5} more` : ''}. Nothing was changed. Take them back as well ("dependents": true, or --dependents), or choose others.`);
  }
  const chosen = new Set([...named, ...leaning.keys()]);
  return { datasets: all.filter((name) => chosen.has(name)), others: all.filter((name) => !chosen.has(name)) };
}

function namedDatasets(plan: Plan, names: readonly string[]): Set<string> {
  if (names.length === 0) throw new MigrationError('ROLLBACK_REFUSED', 'a partial rollback has to say what it takes back: name datasets or groups under "datasets" (--dataset). Nothing was changed.');
  const chosen = new Set<string>();
  for (const name of names) {
    const members = Object.hasOwn(plan.datasets, name) ? [name] : Object.entries(plan.datasets).filter(([, dataset]) => dataset.group === name).map(([member]) => member);
    if (members.length === 0) throw new MigrationError('ROLLBACK_REFUSED', `the plan has neither a dataset nor a group ${name}. Nothing was changed. It has: ${Object.keys(plan.datasets).slice(0, 20).join(', ')}.`);
    for (const member of members) chosen.add(member);
  }
  return chosen;
}

/** Everything that leans on the named ones, directly or by way of others, with the reason. */
async function leaningOn(deps: ActivityDependencies, plan: Plan, named: ReadonlySet<string>): Promise<Map<string, string>> {
  const edges = [...afterEdges(plan), ...checkEdges(plan), ...await foreignKeyEdges(deps, plan)];
  const found = new Map<string, string>();
  for (let grown = true; grown;) {
    grown = false;
    for (const { from, to, why } of edges) {
      if ((!named.has(to) && !found.has(to)) || named.has(from) || found.has(from)) continue;
      found.set(from, why);
      grown = true;
    }
  }
  return found;
}

/** `from` leans on `to`. */
interface Edge { from: string; to: string; why: string }

function afterEdges(plan: Plan): Edge[] {
  return Object.entries(plan.datasets).flatMap(([from, dataset]) => [
    ...dataset.after.map((to) => ({ from, to, why: `after ${to}` })),
    ...Object.values(dataset.validation.references).map((target) => ({ from, to: target.slice(0, target.indexOf('.')), why: `refers to ${target}` })),
  ]);
}

/** A check that reads several tables of the target binds their datasets together. */
function checkEdges(plan: Plan): Edge[] {
  const edges: Edge[] = [];
  for (const [check, { target }] of [...Object.entries(plan.checks.integrity), ...Object.entries(plan.checks.business_rules)]) {
    if (target === undefined) continue;
    const read = datasetsNamed(plan, target);
    for (const from of read) for (const to of read) if (from !== to) edges.push({ from, to, why: `check ${check} reads both` });
  }
  return edges;
}

async function foreignKeyEdges(deps: ActivityDependencies, plan: Plan): Promise<Edge[]> {
  const tables = PlannedTables.of(plan);
  const edges: Edge[] = [];
  for (const connection of tables.connections) {
    const keys = await asPostgres(deps.systems.open(connection)).use((client) => readRows<{ child: TableName; parent: TableName; name: string }>(
      client,
      `SELECT k.conname AS name, json_build_object('schema', n.nspname, 'name', c.relname) AS child, json_build_object('schema', rn.nspname, 'name', r.relname) AS parent
       FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_class r ON r.oid = k.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace WHERE k.contype = 'f' AND k.conparentid = 0`));
    for (const { child, parent, name } of keys) {
      const [from, to] = [tables.owner(connection, child), tables.owner(connection, parent)];
      if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, why: `foreign key ${name}` });
    }
  }
  return edges;
}

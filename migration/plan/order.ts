/** The order of the work, and the orchestration view that workflows get. Loads in the workflow sandbox: types only from the plan. */
import { MigrationError } from '../errors';
import type { DatasetView, GroupView, RunRef, RunSettings, RunView } from '../protocol';
import { lifeView } from './life-view';
import type { DatasetPlan, Plan } from './schema';

/** Milliseconds of the first slice, of the longest one, and slices without a committed row before a dataset blocks. */
const SLICE_MS = 10_000;
const SLICE_MAX_MS = 120_000;
const IDLE_SLICES_MAX = 5;

const PRIORITY = { high: 0, normal: 1, low: 2 } as const;

/** Name of the group that holds datasets of no group of the plan. */
export const UNGROUPED = 'ungrouped';

/**
 * Names so that each comes after what it waits for, otherwise in the given order; or the first circle found, its first name repeated at its end.
 * What `waitsFor` names but `names` lacks is ignored.
 */
export function topological(names: readonly string[], waitsFor: (name: string) => readonly string[]): { order: string[]; cycle: string[] | null } {
  const rank = new Map(names.map((name, index) => [name, index]));
  const state = new Map<string, 'open' | 'done'>();
  const order: string[] = [];
  const open = (name: string): { name: string; next: string[] } => {
    state.set(name, 'open');
    const next = waitsFor(name).filter((other) => rank.has(other));
    return { name, next: next.sort((a, b) => (rank.get(b) ?? 0) - (rank.get(a) ?? 0)) };
  };
  for (const root of names) {
    if (state.has(root)) continue;
    const stack = [open(root)];
    for (let top = stack[0]; top; top = stack[stack.length - 1]) {
      const next = top.next.pop();
      if (next === undefined) {
        state.set(top.name, 'done');
        order.push(top.name);
        stack.pop();
      } else if (state.get(next) === 'open') {
        const path = stack.map((entry) => entry.name);
        return { order, cycle: [...path.slice(path.indexOf(next)), next] };
      } else if (!state.has(next)) {
        stack.push(open(next));
      }
    }
  }
  return { order, cycle: null };
}

type Ordered = Pick<Plan, 'datasets' | 'groups' | 'approach'>;

function byPriority(plan: Ordered): string[] {
  const rank = (name: string): number => PRIORITY[plan.datasets[name]?.priority ?? 'normal'];
  return Object.keys(plan.datasets).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}

/** A group's node in the graph of units; a dataset without a group is a unit of its own. */
const groupUnit = (name: string): string => `group ${name}`;

function unitOf(plan: Ordered, dataset: string): string {
  const group = plan.datasets[dataset]?.group;
  return group === undefined ? dataset : groupUnit(group);
}

/** Units in order, and the circle among them (written as in the plan) when there is one. */
function orderUnits(plan: Ordered): { order: string[]; cycle: string[] | null; members: Map<string, string[]> } {
  const members = new Map<string, string[]>();
  const waits = new Map<string, Set<string>>();
  const datasets = topological(byPriority(plan), (name) => plan.datasets[name]?.after ?? []).order;
  for (const name of datasets) {
    const unit = unitOf(plan, name);
    members.set(unit, [...(members.get(unit) ?? []), name]);
    const set = waits.get(unit) ?? new Set();
    waits.set(unit, set);
    for (const other of plan.datasets[name]?.after ?? []) if (unitOf(plan, other) !== unit) set.add(unitOf(plan, other));
  }
  for (const [name, group] of Object.entries(plan.groups)) {
    const unit = groupUnit(name);
    if (!members.has(unit)) members.set(unit, []);
    waits.set(unit, new Set([...(waits.get(unit) ?? []), ...group.after.map(groupUnit)]));
  }
  // Datasets of no group first: what waits for nothing need not stand behind a gate.
  const units = [...members.keys()].sort((a, b) => Number(a.startsWith('group ')) - Number(b.startsWith('group ')));
  return { ...topological(units, (unit) => [...(waits.get(unit) ?? [])]), members };
}

/** First circle among datasets (`after`) or among groups, as names with the first repeated at the end; null when there is none. */
export function findCycle(plan: Ordered): { kind: 'datasets' | 'groups'; names: string[] } | null {
  const datasets = topological(Object.keys(plan.datasets), (name) => plan.datasets[name]?.after ?? []).cycle;
  if (datasets) return { kind: 'datasets', names: datasets };
  const groups = plan.approach === 'phased' ? orderUnits(plan).cycle : null;
  return groups && { kind: 'groups', names: groups };
}

/**
 * Groups in the order they run, one after the other; every dataset is in exactly one, in the order it should start.
 * `big_bang` has one group. In `phased`, datasets of no group gather in groups named `ungrouped`, `ungrouped_2`, ...
 */
export function orderGroups(plan: Ordered): GroupView[] {
  if (plan.approach !== 'phased') {
    return [{ name: UNGROUPED, datasets: topological(byPriority(plan), (name) => plan.datasets[name]?.after ?? []).order, gate: null }];
  }
  const { order, members } = orderUnits(plan);
  const groups: GroupView[] = [];
  const loose: GroupView[] = [];
  for (const unit of order) {
    const datasets = members.get(unit) ?? [];
    if (unit.startsWith('group ')) {
      const name = unit.slice('group '.length);
      if (datasets.length > 0) groups.push({ name, datasets, gate: plan.groups[name]?.gate ?? null });
      continue;
    }
    const last = groups[groups.length - 1];
    if (last && loose.includes(last)) {
      last.datasets.push(...datasets);
      continue;
    }
    const group: GroupView = { name: looseName(plan, loose.length), datasets, gate: null };
    loose.push(group);
    groups.push(group);
  }
  return groups;
}

function looseName(plan: Ordered, taken: number): string {
  let name = taken === 0 ? UNGROUPED : `${UNGROUPED}_${taken + 1}`;
  while (Object.hasOwn(plan.groups, name)) name += '_';
  return name;
}

/** Dataset names in the order they should run: groups first, then dependencies, priority, name. */
export function orderDatasets(plan: Ordered): string[] {
  return orderGroups(plan).flatMap((group) => group.datasets);
}

export function runSettings(plan: Plan): RunSettings {
  return {
    parallelWorkers: plan.batch.parallel_workers,
    parallelDatasets: plan.batch.parallel_datasets,
    onAbort: plan.on_abort,
    sliceMs: SLICE_MS,
    sliceMaxMs: SLICE_MAX_MS,
    idleSlicesMax: IDLE_SLICES_MAX,
    validate: true,
    repair: plan.checks.repair,
  };
}

/**
 * What the workflows need of an admitted plan: names, order and settings. Admission adds what it alone knows (search attributes, approvals).
 * @throws MigrationError `APPROACH_NOT_BUILT`.
 */
export function planView(plan: Plan, ref: RunRef, complete: boolean): RunView {
  const approach = plan.approach;
  if (approach !== 'big_bang' && approach !== 'phased') throw new MigrationError('APPROACH_NOT_BUILT', approachNotBuilt(approach));
  const groups = orderGroups(plan);
  const datasets: DatasetView[] = [];
  for (const group of groups) {
    for (const name of group.datasets) {
      const dataset = plan.datasets[name];
      if (dataset) datasets.push(datasetView(name, dataset, approach === 'phased' ? group.name : null));
    }
  }
  const gates = plan.gates.filter(({ before }) => before === 'production').map(({ gate }) => gate);
  const life = lifeView(plan);
  return { ref, approach, datasets, groups, gates, settings: runSettings(plan), complete, searchAttributes: false, ...(life ? { life } : {}) };
}

/** What the workflows know of one dataset. */
export function datasetView(name: string, dataset: DatasetPlan, group: string | null): DatasetView {
  return { name, after: dataset.after, group, mode: dataset.mode, sourceSide: dataset.source.connection, targetSide: dataset.target.connection };
}

/** The words for an approach that has a name but no code yet. */
export function approachNotBuilt(approach: string): string {
  return `\`${approach}\` is not built yet; use phased or big_bang`;
}

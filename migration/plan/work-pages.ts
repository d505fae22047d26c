/** The work of a plan with very many datasets, in pages of units that a workflow can hold. Pure; loads in the workflow sandbox. */
import type { DatasetView, RunView, WorkUnit } from '../protocol';
import { datasetView, orderGroups } from './order';
import type { Plan } from './schema';

/** Plans with more datasets hand their work out page by page, tiny datasets bundled. Smaller ones show each dataset as a workflow of its own. */
const PAGED_FROM = 200;
/** Units of one page. Each costs its workflow up to 25 events, of the 51,200 that one history holds. */
const PAGE_UNITS = 400;
/** Tiny: so little that opening and closing cost more than the copying. */
const TINY_ROWS = 20_000;
const TINY_BYTES = 8 * 1024 * 1024;
/** A bundle is a fair share of work for one lane, and its names a small payload. */
const BUNDLE_DATASETS = 50;
const BUNDLE_BYTES = 64 * 1024 * 1024;

export interface DatasetSize { rows: number; bytes: number }

/** Size as the inventory found it; null where it is not known (a query). */
export type SizeOf = (dataset: string) => DatasetSize | null;

/** The view as workflows get it: of very many datasets the names stay behind, and `planWork` hands them out. */
export function boundedView(view: RunView): RunView {
  if (view.datasets.length <= PAGED_FROM) return view;
  return { ...view, paged: true, datasets: [], routes: routesOf(view.datasets), groups: view.groups.map((group) => ({ ...group, datasets: [], size: group.datasets.length })) };
}

/**
 * The units of `group`, or of all groups, in the order they should start, cut into pages; at least one page. Each dataset is in exactly one unit, and
 * the same sizes give the same pages. What others wait for, or waits itself, stands alone, and so does what is staged.
 */
export function workPages(plan: Plan, sizeOf: SizeOf, group?: string, leaveOut: ReadonlySet<string> = new Set()): WorkUnit[][] {
  const units = orderGroups(plan)
    .filter(({ name }) => group === undefined || name === group)
    .flatMap(({ name, datasets }) => unitsOf(plan, datasets.filter((dataset) => !leaveOut.has(dataset)), plan.approach === 'phased' ? name : null, sizeOf));
  const pages: WorkUnit[][] = [];
  for (let from = 0; from < units.length; from += PAGE_UNITS) pages.push(units.slice(from, from + PAGE_UNITS));
  return pages.length > 0 ? pages : [[]];
}

/** One dataset for each mode and target, the first in the order of the plan. */
function routesOf(datasets: readonly DatasetView[]): DatasetView[] {
  const routes = new Map<string, DatasetView>();
  for (const view of datasets) {
    const way = JSON.stringify([view.mode, view.targetSide]);
    if (!routes.has(way)) routes.set(way, view);
  }
  return [...routes.values()];
}

interface OpenBundle { first: DatasetView; names: string[]; bytes: number }

function unitsOf(plan: Plan, names: readonly string[], group: string | null, sizeOf: SizeOf): WorkUnit[] {
  const awaited = new Set(names.flatMap((name) => plan.datasets[name]?.after ?? []));
  const bundles = new Map<string, OpenBundle>();
  const units: WorkUnit[] = [];
  const close = ({ first, names: members }: OpenBundle): void => {
    units.push(members.length === 1 ? first : { ...first, name: `2-bundle-${first.name}`, bundle: members });
  };
  for (const name of names) {
    const dataset = plan.datasets[name];
    if (!dataset) continue;
    const view = datasetView(name, dataset, group);
    const size = sizeOf(name);
    if (awaited.has(name) || view.after.length > 0 || view.mode !== 'fused' || !size || size.rows > TINY_ROWS || size.bytes > TINY_BYTES) {
      units.push(view);
      continue;
    }
    const way = JSON.stringify([view.sourceSide, view.targetSide]);
    const open = bundles.get(way) ?? { first: view, names: [], bytes: 0 };
    bundles.set(way, open);
    open.names.push(name);
    open.bytes += size.bytes;
    if (open.names.length < BUNDLE_DATASETS && open.bytes < BUNDLE_BYTES) continue;
    close(open);
    bundles.delete(way);
  }
  for (const open of bundles.values()) close(open);
  return units;
}

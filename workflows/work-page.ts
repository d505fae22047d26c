import type { RunInput, WorkPage } from '../migration/protocol';
import { controlActivities, controlQueue } from './activity-proxies';

/** One page of the work: all of the view's datasets that are `chosen`, or, where the view is paged, what the control store hands out. */
export async function workPage(input: RunInput, page: number, chosen: { group?: string; datasets?: string[]; leaveOut?: string[] }): Promise<WorkPage> {
  const { view, ref } = input;
  if (view.paged) {
    return controlActivities(controlQueue(input.activityQueue), `work, page ${page + 1}`).planWork({ ref, group: chosen.group, page, leaveOut: chosen.leaveOut });
  }
  const names = new Set(chosen.datasets ?? view.datasets.map((dataset) => dataset.name));
  const leftOut = new Set(chosen.leaveOut);
  return { units: view.datasets.filter(({ name }) => names.has(name) && !leftOut.has(name)), last: true };
}

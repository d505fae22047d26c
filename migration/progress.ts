/** A look at the ledger in the size that Temporal's payloads and people's screens can take. Pure; loads in the workflow sandbox. */
import type { DatasetProgress, Progress } from './protocol';

/** Datasets that a look through Temporal names. */
const NAMED_MAX = 50;
const RANK: Record<DatasetProgress['state'], number> = { copying: 0, finishing: 0, waiting: 1, done: 2 };

export function countStates(datasets: readonly DatasetProgress[]): Record<DatasetProgress['state'], number> {
  const states = { waiting: 0, copying: 0, finishing: 0, done: 0 };
  for (const { state } of datasets) states[state] += 1;
  return states;
}

/** What moves first, then what waits, then what is done; otherwise in the given order. */
export function activeFirst(datasets: readonly DatasetProgress[]): DatasetProgress[] {
  return datasets.map((dataset, at) => ({ dataset, at })).sort((a, b) => RANK[a.dataset.state] - RANK[b.dataset.state] || a.at - b.at).map(({ dataset }) => dataset);
}

/** Names the first datasets of very many, and counts all. */
export function boundedProgress(progress: Progress): Progress {
  if (progress.datasets.length <= NAMED_MAX) return progress;
  return { ...progress, datasets: activeFirst(progress.datasets).slice(0, NAMED_MAX), states: countStates(progress.datasets) };
}

/** How many datasets there are, also those that the look does not name. */
export function datasetCount(progress: Progress): number {
  return progress.states ? Object.values(progress.states).reduce((sum, count) => sum + count, 0) : progress.datasets.length;
}

/** So many that single ones are no news. */
export const isMany = (progress: Progress): boolean => datasetCount(progress) > NAMED_MAX;

export function doneCount({ datasets, states }: Progress): number {
  return states?.done ?? datasets.filter(({ state }) => state === 'done').length;
}

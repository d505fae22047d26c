import type { Plan } from './schema';

/** Connections beside those of the copy lanes: control, watching, checks. */
const SPARE_CONNECTIONS = 4;

/** Connections that a run may hold to each of its systems at once, at most. */
export function connectionsNeeded({ parallel_datasets: datasets, parallel_workers: workers }: Pick<Plan['batch'], 'parallel_datasets' | 'parallel_workers'>): number {
  return datasets * workers + SPARE_CONNECTIONS;
}

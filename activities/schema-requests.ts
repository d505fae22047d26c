import type { DatasetDescription } from '../migration/connector';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { fieldMappings } from '../migration/plan/transformations';
import { createRequest, type CreateRequest } from './connectors/postgres/create-request';
import { describe } from './connectors/postgres/describe';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { sourceSelection } from './run-context';

/** Key of the advisory lock under which one worker at a time makes tables in a target. */
export const CREATE_LOCK = 7_202_612;

/** Whether the plan makes this dataset's table. */
export function createsTable(plan: Plan, dataset: DatasetPlan): boolean {
  return (dataset.schema ?? plan.schema) === 'create';
}

/** The source as it is now. @throws MigrationError as `describe`. */
export function describeSource(deps: Pick<ActivityDependencies, 'systems'>, name: string, dataset: DatasetPlan): Promise<DatasetDescription> {
  const system = asPostgres(deps.systems.open(dataset.source.connection));
  return system.use((client) => describe(client, sourceSelection(name, dataset), `datasets.${name}.source`));
}

/** The table that a dataset's plan asks for; `given` when the plan takes what is there. */
export function requestFor(deps: Pick<ActivityDependencies, 'transforms'>, plan: Plan, name: string, dataset: DatasetPlan, source: DatasetDescription): CreateRequest {
  const request = createRequest(name, dataset, source, fieldMappings(dataset, deps.transforms), deps.transforms);
  return createsTable(plan, dataset) ? request : { ...request, given: true };
}

export interface Pair { sourceName: string; targetName: string; requests: CreateRequest[] }

/** Tables that the plan makes, per pair of connections: those between the same two are made together, as their foreign keys need each other. */
export async function requestsByPair(deps: Pick<ActivityDependencies, 'systems' | 'transforms'>, plan: Plan, described: typeof describeSource = describeSource): Promise<Pair[]> {
  const pairs = new Map<string, Pair>();
  const pairOf = ({ source, target }: DatasetPlan): string => JSON.stringify([source.connection, target.connection]);
  const creating = new Set(Object.values(plan.datasets).filter((dataset) => createsTable(plan, dataset)).map(pairOf));
  for (const [name, dataset] of Object.entries(plan.datasets)) {
    const key = pairOf(dataset);
    if (!creating.has(key)) continue;
    const pair = pairs.get(key) ?? { sourceName: dataset.source.connection, targetName: dataset.target.connection, requests: [] };
    pairs.set(key, pair);
    pair.requests.push(requestFor(deps, plan, name, dataset, await described(deps, name, dataset)));
  }
  return [...pairs.values()];
}

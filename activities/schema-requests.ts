import type { DatasetDescription } from '../migration/connector';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { fieldMappings } from '../migration/plan/transformations';
import { createRequest, type CreateRequest } from './connectors/postgres/create-request';
import { describe } from './connectors/postgres/describe';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { sourceSelection } from './run-context';

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

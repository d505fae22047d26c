import type { DatasetDescription } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import { findShape, type DatasetMapping } from './dataset-mapping';
import type { DatasetContext } from './run-context';
import { createsTable } from './schema-requests';

/**
 * Before the first row of a dataset: its columns must be those that the preparation judged. Else a column that was renamed since would be left behind,
 * and nobody told. A table that the plan creates is not compared; neither is a dataset that no preparation has seen.
 * @throws MigrationError `SCHEMA_CHANGED` naming what came, went or changed its type.
 */
export async function assertAsPrepared(context: DatasetContext, { source, target }: DatasetMapping): Promise<void> {
  const shape = await findShape(context);
  if (!shape) return;
  const { name, dataset, plan } = context;
  const changes = [...columnChanges(shape.source, source, 'source'), ...(createsTable(plan, dataset) ? [] : columnChanges(shape.target, target, 'target'))];
  if (changes.length === 0) return;
  throw new MigrationError('SCHEMA_CHANGED', `dataset ${name}: its columns are no longer those that the preparation judged (${changes.join('; ')}). Put the table back as it was, then retry; or end this run (\`npx caravan resume ID --abort\`) and start it again, so that the change is judged.`);
}

function columnChanges(before: DatasetDescription, now: DatasetDescription, side: string): string[] {
  const types = (description: DatasetDescription) => new Map(description.columns.map(({ name, type }) => [name, type]));
  const [former, current] = [types(before), types(now)];
  const gone = [...former.keys()].filter((name) => !current.has(name)).map((name) => `${side} column ${name} is gone`);
  const changed = [...current].flatMap(([name, type]) => {
    const was = former.get(name);
    if (was === undefined) return [`${side} column ${name} is new`];
    return was === type ? [] : [`${side} column ${name} was ${was} and is ${type}`];
  });
  return [...gone, ...changed];
}

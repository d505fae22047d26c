import { rehearsalName } from '../../migration/preparation/rehearsal-plan';
import type { Plan } from '../../migration/plan/schema';
import { digestTable } from '../backup/table-digest';
import { ownRowsOf } from '../connectors/postgres/catalog';
import { describe } from '../connectors/postgres/describe';
import { qualified, type TableName } from '../connectors/postgres/sql';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';

/** The scratch table of a dataset: names of datasets are unique, those of tables need not be. */
export function scratchOf(plan: Plan, dataset: string): TableName {
  return { schema: scratchSchema(plan), name: dataset };
}

export function scratchSchema(plan: Plan): string {
  return plan.rehearsal?.schema ?? 'caravan_rehearsal';
}

/** Every row of the scratch tables, counted and digested. */
export async function scratchDigests(deps: ActivityDependencies, plan: Plan): Promise<{ dataset: string; rows: number; digest: string }[]> {
  const digests: { dataset: string; rows: number; digest: string }[] = [];
  for (const [dataset, { target }] of Object.entries(plan.datasets)) {
    const scratch = scratchOf(plan, dataset);
    const found = await asPostgres(deps.systems.open(target.connection)).use(async (client) => {
      const { columns } = await describe(client, { table: qualified(scratch) }, `${rehearsalName(plan.migration)}: ${dataset}`);
      return digestTable(client, await ownRowsOf(client, scratch), columns.map(({ name }) => name));
    });
    digests.push({ dataset, ...found });
  }
  return digests;
}

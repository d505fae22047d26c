import type { Plan } from '../migration/plan/schema';
import type { TableName } from './connectors/postgres/sql';
import { targetTable } from './run-context';

/** A dataset by name, the connection of its target, and the table there. */
export interface PlannedTable { dataset: string; connection: string; table: TableName }

/** The target tables of a plan, found by name either way: plans hold thousands of them. */
export class PlannedTables {
  private static readonly known = new WeakMap<Plan, PlannedTables>();
  private readonly byTable = new Map<string, PlannedTable>();
  private readonly byDataset = new Map<string, PlannedTable>();

  private constructor(plan: Plan) {
    for (const [dataset, planned] of Object.entries(plan.datasets)) {
      const { schema, table } = targetTable(dataset, planned);
      const one: PlannedTable = { dataset, connection: planned.target.connection, table: { schema, name: table } };
      this.byDataset.set(dataset, one);
      this.byTable.set(keyOf(one.connection, one.table), one);
    }
  }

  /** Made once for each plan object; plans never change. */
  static of(plan: Plan): PlannedTables {
    const known = PlannedTables.known.get(plan) ?? new PlannedTables(plan);
    PlannedTables.known.set(plan, known);
    return known;
  }

  get connections(): string[] {
    return [...new Set([...this.byDataset.values()].map((one) => one.connection))];
  }

  place(dataset: string): PlannedTable | undefined {
    return this.byDataset.get(dataset);
  }

  /** The dataset that loads this table. */
  owner(connection: string, table: TableName): string | undefined {
    return this.byTable.get(keyOf(connection, table))?.dataset;
  }
}

const keyOf = (connection: string, { schema, name }: TableName): string => JSON.stringify([connection, schema, name]);

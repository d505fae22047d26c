import { MigrationError, isMigrationError } from '../../migration/errors';
import { orderGroups } from '../../migration/plan/order';
import type { RunRef } from '../../migration/protocol';
import type { TableName } from '../connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { PlannedTables, type PlannedTable } from '../planned-tables';
import { loadDataset, type RunContext } from '../run-context';
import { hasTable } from '../stores/control-store';
import { takeDatasetFence, type DatasetFence } from './dataset-fence';
import type { DatasetSides } from './dataset-sides';
import { readDropped, type StoredObject } from './dropped-objects';
import { openSides } from './open-sides';

/** An object that was taken away, and the connection of the target it belongs to. */
export interface TakenObject extends StoredObject { connection: string }

/**
 * What settling references knows of the plan and the ledgers. Lists are read once per target; the two sides of a dataset are opened, and its fence is
 * taken, only when something is to be done there: plans hold thousands of datasets, and most of them lean on nothing.
 */
export class Settling {
  /** Datasets that are closed in a target that this worker reaches. */
  readonly closed = new Set<string>();
  /** Those that have a ledger, by connection. */
  readonly targets = new Map<string, PostgresSystem>();
  private readonly tables: PlannedTables;
  private readonly sides = new Map<string, DatasetSides>();
  private readonly fences = new Map<string, DatasetFence>();

  private constructor(private readonly deps: ActivityDependencies, readonly run: RunContext) {
    this.tables = PlannedTables.of(run.plan);
  }

  static async of(deps: ActivityDependencies, run: RunContext): Promise<Settling> {
    const settling = new Settling(deps, run);
    for (const connection of settling.tables.connections) await settling.reach(connection);
    return settling;
  }

  get ref(): RunRef {
    return this.run.ref;
  }

  /** The named ones, else those of the group (or all) that are closed. @throws MigrationError `INTERNAL` when a named one is not closed. */
  choose({ datasets, group }: { datasets?: string[]; group?: string }): Set<string> {
    const open = (datasets ?? []).find((name) => !this.closed.has(name));
    if (open !== undefined) throw new MigrationError('INTERNAL', `dataset ${open} is not closed yet, so its references cannot be settled`);
    if (datasets) return new Set(datasets);
    const groups = orderGroups(this.run.plan).filter(({ name }) => group === undefined || name === group);
    return new Set(groups.flatMap((one) => one.datasets).filter((name) => this.closed.has(name)));
  }

  /** The dataset that the plan loads this table with. */
  owner(connection: string, table: TableName): string | undefined {
    return this.tables.owner(connection, table);
  }

  place(dataset: string): PlannedTable {
    const place = this.tables.place(dataset);
    if (!place) throw new MigrationError('INTERNAL', `dataset ${dataset} is not in the plan`);
    return place;
  }

  /** All objects of a kind that were taken away in any target, in the order they were taken. */
  async taken(kind: StoredObject['object']['kind']): Promise<TakenObject[]> {
    const found: TakenObject[] = [];
    for (const [connection, target] of this.targets) {
      const stored = await target.use((client) => readDropped(client, this.ref.migration, [kind]));
      found.push(...stored.map((one) => ({ ...one, connection })));
    }
    return found;
  }

  /** Both sides of a closed dataset. */
  async open(dataset: string): Promise<DatasetSides> {
    const known = this.sides.get(dataset);
    if (known) return known;
    const opened = await openSides(this.deps, await loadDataset(this.deps, { ref: this.ref, dataset }), true);
    this.sides.set(dataset, opened);
    return opened;
  }

  /** The fence of a dataset, taken at first use and kept. */
  async hold(dataset: string): Promise<{ target: PostgresSystem; held: DatasetFence }> {
    const { connection } = this.place(dataset);
    const target = this.targets.get(connection);
    if (!target) throw new MigrationError('INTERNAL', `the target of dataset ${dataset} is not reached`);
    const held = this.fences.get(dataset) ?? await takeDatasetFence(target, { migration: this.ref.migration, dataset, states: ['closed'] });
    this.fences.set(dataset, held);
    return { target, held };
  }

  private async reach(connection: string): Promise<void> {
    try {
      const target = asPostgres(this.deps.systems.open(connection));
      const closed = await target.use(async (client) => ((await hasTable(client, 'dataset'))
        ? (await client.query<{ dataset: string }>(`SELECT dataset FROM caravan.dataset WHERE migration = $1 AND state = 'closed'`, [this.ref.migration])).rows
        : null));
      if (!closed) return;
      this.targets.set(connection, target);
      for (const { dataset } of closed) if (this.tables.place(dataset)?.connection === connection) this.closed.add(dataset);
    } catch (error) {
      // A worker of another side: datasets of that target have nothing to do with ours.
      if (!isMigrationError(error) || error.code !== 'CONNECTION_UNKNOWN') throw error;
    }
  }
}

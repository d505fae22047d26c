import type { ClientBase } from 'pg';
import { isMigrationError, MigrationError } from '../migration/errors';
import type { RestoredObjects, RunRef } from '../migration/protocol';
import { displayName, type TableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import { rebuild, type DroppedObject } from './connectors/postgres/target-objects';
import type { ActivityDependencies } from './dependencies';
import { takeDatasetFence, underFence, type DatasetFence } from './reconciliation/dataset-fence';
import { readDropped, standingOf, type StoredObject } from './reconciliation/dropped-objects';
import { whileAlive } from './reconciliation/liveness';
import { loadRun, targetTable } from './run-context';
import { hasTable } from './stores/control-store';
import type { DatasetRow } from './stores/ledger';

/** What other objects lean on comes first. */
const ORDER: DroppedObject['kind'][] = ['index', 'unique', 'check', 'foreign_key', 'trigger'];

/** What could not be restored, told one by one up to so many. */
const LEFT_TOLD_MAX = 200;

/** One target table of the plan, and how far the ledger says its dataset is; null: the ledger does not know it. */
interface LoadedTable { name: string; connection: string; target: PostgresSystem; table: TableName; state: DatasetRow['state'] | null; generation: number | null }

/**
 * For datasets that stay as they are (a run that was aborted or cancelled, a dataset that a person skipped): gives the target back what the load took away.
 * Indexes and unique constraints are built, foreign keys added (NOT VALID where rows break them: then they hold for new rows, and are named in `left`),
 * triggers turned on as they were. Fenced, one transaction per object; late commits of the former copy change nothing from here on. A repeat restores
 * nothing twice. When the copy goes on after all, `takeAgain` takes all of it away once more, and `settleReferences` moves the orphans as ever.
 * @throws MigrationError `FENCED`, and transient ones; what rows or rights forbid is answered in `left`.
 */
export function restoreObjects(deps: ActivityDependencies, input: { ref: RunRef; datasets?: string[] }): Promise<RestoredObjects> {
  return whileAlive(async (signal) => {
    const tables = await loadedTables(deps, input.ref);
    const chosen = new Set(input.datasets ?? tables.map(({ name }) => name));
    const result: RestoredObjects = { restored: 0, left: [] };
    for (const connection of new Set(tables.map((one) => one.connection))) {
      await new Restoring(input.ref.migration, tables.filter((one) => one.connection === connection), chosen, result).run(signal);
    }
    return { restored: result.restored, left: bounded(result.left) };
  });
}

/** All of it is in the ledger; the answer travels through workflows. */
function bounded(left: string[]): string[] {
  return left.length > LEFT_TOLD_MAX ? [...left.slice(0, LEFT_TOLD_MAX), `and ${left.length - LEFT_TOLD_MAX} more`] : left;
}

async function loadedTables(deps: ActivityDependencies, ref: RunRef): Promise<LoadedTable[]> {
  const { plan } = await loadRun(deps, ref);
  const datasets = Object.entries(plan.datasets);
  const tables: LoadedTable[] = [];
  for (const connection of new Set(datasets.map(([, dataset]) => dataset.target.connection))) {
    try {
      const target = asPostgres(deps.systems.open(connection));
      const known = await ledgerTables(target, ref.migration);
      for (const [name, dataset] of datasets) {
        if (dataset.target.connection !== connection) continue;
        const { schema, table } = targetTable(name, dataset);
        tables.push({ name, connection, target, table: { schema, name: table }, state: known.get(name)?.state ?? null, generation: known.get(name)?.generation ?? null });
      }
      // Datasets that the ledger knows and the plan no longer has: an amendment took them out.
      for (const [name, entry] of known) if (!Object.hasOwn(plan.datasets, name)) tables.push({ name, connection, target, ...entry });
    } catch (error) {
      // A worker of another side: datasets of that target have nothing to do with ours.
      if (!isMigrationError(error) || error.code !== 'CONNECTION_UNKNOWN') throw error;
    }
  }
  return tables;
}

async function ledgerTables(target: PostgresSystem, migration: string): Promise<Map<string, Pick<LoadedTable, 'table' | 'state' | 'generation'>>> {
  const { rows } = await target.use(async (client) => ((await hasTable(client, 'dataset'))
    ? client.query<{ dataset: string; schema: string; name: string; state: DatasetRow['state']; generation: number }>('SELECT dataset, target_schema AS schema, target_table AS name, state, generation FROM caravan.dataset WHERE migration = $1', [migration])
    : { rows: [] }));
  return new Map(rows.map(({ dataset, schema, name, state, generation }) => [dataset, { table: { schema, name }, state, generation }]));
}

/** The datasets of one target. */
class Restoring {
  private readonly fences = new Map<string, DatasetFence>();
  private readonly byTable = new Map<string, LoadedTable[]>();
  private readonly target: PostgresSystem;

  constructor(
    private readonly migration: string,
    private readonly tables: LoadedTable[],
    private readonly chosen: ReadonlySet<string>,
    private readonly result: RestoredObjects,
  ) {
    const [first] = tables;
    if (!first) throw new MigrationError('INTERNAL', 'no table to restore');
    this.target = first.target;
    for (const one of tables) {
      const key = JSON.stringify([one.table.schema, one.table.name]);
      this.byTable.set(key, [...(this.byTable.get(key) ?? []), one]);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    for (const stored of await this.waiting()) {
      signal.throwIfAborted();
      if ((await this.target.use((client) => standingOf(client, stored))) === 'there') continue;
      const holder = this.holderOf(stored);
      const blocker = this.stillLoading(stored);
      if (blocker === null) await this.restore(stored, holder);
      else this.result.left.push(`${placeOf(stored.object)}: dataset ${blocker} is still to be loaded`);
    }
  }

  /** What is away of the chosen datasets' tables: also foreign keys from other tables to them. */
  private async waiting(): Promise<StoredObject[]> {
    const stored = await this.target.use(async (client) => ((await hasTable(client, 'dropped_object')) ? readDropped(client, this.migration, ORDER) : []));
    const mine = stored.filter((one) => one.state === 'dropped' && (this.chosen.has(one.dataset) || this.endsOf(one.object).some((end) => this.chosen.has(end.name))));
    return mine.sort((a, b) => ORDER.indexOf(a.object.kind) - ORDER.indexOf(b.object.kind));
  }

  private endsOf({ schema, table, references }: DroppedObject): LoadedTable[] {
    return [...this.at({ schema, name: table }), ...(references ? this.at(references) : [])];
  }

  /** Datasets may share a table. */
  private at({ schema, name }: TableName): LoadedTable[] {
    return this.byTable.get(JSON.stringify([schema, name])) ?? [];
  }

  /** Under a foreign key, rows that are loaded before their parents would be refused: its own dataset must be at rest. */
  private stillLoading({ object }: StoredObject): string | null {
    const [child] = this.at({ schema: object.schema, name: object.table });
    return child && !this.chosen.has(child.name) && child.state !== 'closed' ? child.name : null;
  }

  /** The dataset of the object's table, else the one that took it. Null when the ledger knows neither: nobody can be at work on it. */
  private holderOf(stored: StoredObject): LoadedTable | null {
    const ends = this.endsOf(stored.object);
    return ends.find((one) => one.state !== null) ?? this.tables.find((one) => one.name === stored.dataset && one.state !== null) ?? null;
  }

  private async restore(stored: StoredObject, holder: LoadedTable | null): Promise<void> {
    try {
      if (await this.attempt(stored, holder, stored.object)) this.result.restored += 1;
    } catch (error) {
      this.result.left.push(await this.withoutProof(stored, holder, lasting(error)));
    }
  }

  /** Rows that break a foreign key hinder its proof only, not the key. Says what is left to do. */
  private async withoutProof(stored: StoredObject, holder: LoadedTable | null, broken: MigrationError): Promise<string> {
    const { object } = stored;
    if (object.kind !== 'foreign_key' || broken.kind !== 'data') return `${placeOf(object)}: ${reasonOf(broken)}`;
    try {
      await this.attempt(stored, holder, { ...object, definition: `${object.definition} NOT VALID` });
      return `${placeOf(object)}: it holds for new rows, but is not validated: rows that are there break it`;
    } catch (error) {
      return `${placeOf(object)}: ${reasonOf(lasting(error))}`;
    }
  }

  /** One transaction. False when it was there before. */
  private async attempt(stored: StoredObject, holder: LoadedTable | null, object: DroppedObject): Promise<boolean> {
    const work = async (client: ClientBase): Promise<boolean> => {
      const { rowCount } = await client.query(`SELECT 1 FROM caravan.dropped_object WHERE id = $1 AND state = 'dropped' FOR UPDATE`, [stored.id]);
      if (rowCount !== 1 || (await standingOf(client, { ...stored, object })) === 'there') return false;
      await client.query('SET LOCAL statement_timeout = 0');
      await rebuild(client, object);
      if (object.kind === 'index' || object.kind === 'unique') await client.query(`UPDATE caravan.dropped_object SET state = 'rebuilt' WHERE id = $1`, [stored.id]);
      return true;
    };
    return holder ? underFence(this.target, await this.fenceOf(holder), work) : this.target.transaction(work);
  }

  /** A copy that is not at its end gets a new epoch with it: rows that come late would meet triggers that are on again. */
  private async fenceOf({ name, state, generation }: LoadedTable): Promise<DatasetFence> {
    const known = this.fences.get(name);
    if (known) return known;
    const held = await takeDatasetFence(this.target, { migration: this.migration, dataset: name, ...(generation === null ? {} : { generation }) });
    if (state !== 'closed' && this.chosen.has(name)) {
      await underFence(this.target, held, (client) => client.query('UPDATE caravan.dataset SET epoch = epoch + 1 WHERE migration = $1 AND dataset = $2', [this.migration, name]));
    }
    this.fences.set(name, held);
    return held;
  }
}

/** What trying again would not change; the rest is thrown on. */
function lasting(error: unknown): MigrationError {
  if (isMigrationError(error) && error.kind !== 'transient' && error.kind !== 'fenced') return error;
  throw error;
}

function placeOf({ kind, name, schema, table }: DroppedObject): string {
  return `${kind.replace('_', ' ')} ${name} of ${displayName({ schema, name: table })}`;
}

/** The message without the place it may begin with. */
function reasonOf(error: MigrationError): string {
  return error.message.replace(/^[^:]{1,200}: /, '');
}

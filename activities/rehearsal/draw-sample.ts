import type { Client } from 'pg';
import type { Selection } from '../../migration/connector';
import type { Plan } from '../../migration/plan/schema';
import { toMigrationError } from '../connectors/postgres/errors';
import { rowsOf } from '../connectors/postgres/selection-sql';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import type { DescribedDataset } from '../preparation/describe-datasets';
import { sourceSelection } from '../run-context';
import type { Edge } from './reference-edges';
import { amongSql, drawSql, keysSql, referredSql, shareSql, type TypedColumn } from './sample-sql';

/** Values that one statement looks up. */
const LOOKUP = 5_000;

/** `where`: SQL that selects exactly the sample, and within it what the plan selects. `drawn`: by the hash; `brought`: because others refer to them. */
export interface DatasetSample { where: string; drawn: number; brought: number; /** Keys of its rows as text, by the columns of the source's key; null without a key. */ keys: string[][] | null }

/** Rows that are new in the sample, and whose own parents are still to be looked for. */
interface Frontier { dataset: string; condition: string }

/**
 * Draws a sample of every dataset by a hash of its key and the seed, then brings along every row that a row of the sample refers to, until nothing is missing: through cycles and
 * self-references, too. One snapshot per source; the same seed on the same rows gives the same sample.
 */
export async function drawSample(deps: ActivityDependencies, plan: Plan, datasets: readonly DescribedDataset[], edges: readonly Edge[], signal: AbortSignal): Promise<Map<string, DatasetSample>> {
  const clients = new Map<string, Client>();
  try {
    for (const connection of new Set(datasets.map(({ dataset }) => dataset.source.connection))) {
      const client = await asPostgres(deps.systems.open(connection)).connect();
      clients.set(connection, client);
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    }
    return await new Drawing(plan, datasets, edges, clients, signal).run();
  } catch (error) {
    throw toMigrationError(error, 'rehearsal sample');
  } finally {
    for (const client of clients.values()) await client.end().catch(() => undefined);
  }
}

class Drawing {
  private readonly samples = new Map<string, OneSample>();

  constructor(plan: Plan, datasets: readonly DescribedDataset[], private readonly edges: readonly Edge[], clients: ReadonlyMap<string, Client>, private readonly signal: AbortSignal) {
    const { sample: size = 1000, seed = 1 } = plan.rehearsal ?? {};
    for (const one of datasets) {
      const client = clients.get(one.dataset.source.connection);
      if (client) this.samples.set(one.name, new OneSample(one, client, size, seed));
    }
  }

  async run(): Promise<Map<string, DatasetSample>> {
    let frontier: Frontier[] = [];
    for (const [dataset, sample] of this.samples) frontier.push({ dataset, condition: await sample.draw() });
    while (frontier.length > 0) {
      const next: Frontier[] = [];
      for (const { dataset, condition } of frontier) for (const edge of this.edges.filter(({ child }) => child === dataset)) {
        this.signal.throwIfAborted();
        const parent = this.samples.get(edge.parent);
        const values = (await this.samples.get(dataset)?.referred(condition, edge.columns)) ?? [];
        for (let from = 0; from < values.length; from += LOOKUP) {
          const brought = await parent?.bring(edge.refColumns, values.slice(from, from + LOOKUP));
          if (brought) next.push({ dataset: edge.parent, condition: brought });
        }
      }
      frontier = next;
    }
    return new Map([...this.samples].map(([name, sample]) => [name, sample.result()]));
  }
}

/** The sample of one dataset as it grows. */
class OneSample {
  private readonly selection: Selection;
  private readonly key: TypedColumn[] | null;
  private readonly keys = new Map<string, string[]>();
  /** Of a dataset without a key: rows of the share, and those that others refer to, by values already looked up. */
  private readonly conditions: string[] = [];
  private readonly looked = new Set<string>();
  private drawn = 0;
  private brought = 0;

  constructor(private readonly described: DescribedDataset, private readonly client: Client, private readonly size: number, private readonly seed: number) {
    this.selection = sourceSelection(described.name, described.dataset);
    this.key = described.source.key?.map((name) => this.typed(name)) ?? null;
  }

  /** @returns the condition of the rows drawn. */
  async draw(): Promise<string> {
    if (this.key) {
      const rows = await this.query(drawSql(await rowsOf(this.client, this.selection), this.names(this.key), this.size, this.seed));
      for (const row of rows) this.keys.set(JSON.stringify(row), row);
      this.drawn = rows.length;
      return amongSql(this.key, rows);
    }
    const columns = this.described.source.columns.filter(({ unreadable }) => !unreadable).map(({ name }) => name);
    const share = shareSql(columns, await this.count('true'), this.size, this.seed);
    this.conditions.push(share);
    this.drawn = await this.count(share);
    return share;
  }

  /** What rows of this sample refer to by these columns. */
  async referred(condition: string, columns: readonly string[]): Promise<string[][]> {
    return this.query(referredSql(await this.select(condition), columns));
  }

  /** Brings the rows with these values along. @returns the condition of those that are new; null when none is. */
  async bring(columns: readonly string[], values: readonly string[][]): Promise<string | null> {
    const typed = columns.map((name) => this.typed(name));
    if (this.key) {
      const rows = await this.query(keysSql(await this.select(amongSql(typed, values)), this.names(this.key)));
      const added = rows.filter((row) => !this.keys.has(JSON.stringify(row)));
      for (const row of added) this.keys.set(JSON.stringify(row), row);
      this.brought += added.length;
      return added.length > 0 ? amongSql(this.key, added) : null;
    }
    const unknown = values.filter((row) => !this.looked.has(JSON.stringify([columns, row])));
    for (const row of unknown) this.looked.add(JSON.stringify([columns, row]));
    if (unknown.length === 0) return null;
    const condition = `${amongSql(typed, unknown)} AND NOT (${this.conditions.join(' OR ')})`;
    const rows = await this.count(condition);
    if (rows === 0) return null;
    this.conditions.push(amongSql(typed, unknown));
    this.brought += rows;
    return condition;
  }

  result(): DatasetSample {
    const sample = this.key ? amongSql(this.key, [...this.keys.values()]) : this.conditions.map((one) => `(${one})`).join(' OR ');
    return { where: this.selection.where === undefined ? sample : `(${this.selection.where}\n) AND (${sample})`, drawn: this.drawn, brought: this.brought, keys: this.key ? [...this.keys.values()] : null };
  }

  private async select(condition: string): Promise<string> {
    return `SELECT * FROM (${await rowsOf(this.client, this.selection)}) caravan_rows WHERE ${condition}`;
  }

  private async count(condition: string): Promise<number> {
    const { rows } = await this.client.query<{ rows: string }>(`SELECT count(*)::text AS rows FROM (${await this.select(condition)}) caravan_counted`);
    return Number(rows[0]?.rows ?? 0);
  }

  private async query(sql: string): Promise<string[][]> {
    const { rows } = await this.client.query<string[]>({ text: sql, rowMode: 'array' });
    return rows;
  }

  private typed(name: string): TypedColumn {
    return this.described.source.columns.find((column) => column.name === name) ?? { name, type: 'text' };
  }

  private names(columns: readonly TypedColumn[]): string[] {
    return columns.map(({ name }) => name);
  }
}

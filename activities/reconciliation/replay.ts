import type { Client, ClientBase } from 'pg';
import type { Reason } from '../../migration/batch';
import type { Value } from '../../migration/value';
import { columnList, quoteIdent } from '../connectors/postgres/sql';
import { valueToText } from '../connectors/postgres/values-codec';
import { decideQuarantine, readQuarantine, updateReasons, type QuarantineFilter, type QuarantineRow } from '../stores/quarantine-store';
import { adjust, underFence, type DatasetFence } from './dataset-fence';
import { targetFrom, type DatasetSides } from './dataset-sides';
import { decodeNamed, joinKey } from './known-absences';
import { readByKeys, type RawRow } from './row-streams';
import { insertRows } from './row-writer';

const PAGE = 200;

export interface Replayed { replayed: number; refused: number; gone: number }

/** A table, in the same target, whose rows a `references` rule leans on. */
export interface ParentRule { column: string; parent: DatasetSides; parentColumn: string }

/**
 * Tries open rows of one dataset again, in the order they came: the source row as it is now (without a key: the stored content) goes through
 * mapping and rules, and the target's own constraints are the judge. 200 rows per fenced transaction; each row's new state commits with the row.
 */
export async function replayDataset(source: Client, sides: DatasetSides, held: DatasetFence, filter: QuarantineFilter, parents: readonly ParentRule[], by: string, signal: AbortSignal): Promise<Replayed> {
  const total: Replayed = { replayed: 0, refused: 0, gone: 0 };
  for (let after = '0'; ;) {
    signal.throwIfAborted();
    const page = await underFence(sides.ctx.target, held, async (client) => {
      await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      const rows = await readQuarantine(client, { ...filter, dataset: sides.ctx.name, states: ['open'], after, limit: PAGE }, 'FOR UPDATE OF q');
      await new PageReplay(client, source, sides, held, parents, by, signal, total).run(rows);
      return rows;
    });
    const last = page.at(-1);
    if (!last || page.length < PAGE) return total;
    after = last.id;
  }
}

class PageReplay {
  constructor(
    private readonly client: ClientBase,
    private readonly source: Client,
    private readonly sides: DatasetSides,
    private readonly held: DatasetFence,
    private readonly parents: readonly ParentRule[],
    private readonly by: string,
    private readonly signal: AbortSignal,
    private readonly total: Replayed,
  ) {}

  async run(rows: readonly QuarantineRow[]): Promise<void> {
    const keys = rows.flatMap((row) => (row.sourceKey ? [row.sourceKey] : []));
    const current = new Map<string, RawRow>();
    for (const row of await readByKeys(this.source, this.sides, keys, this.signal)) current.set(joinKey(row.key), row);
    const page: Replayed = { replayed: 0, refused: 0, gone: 0 };
    for (const row of rows) page[await this.replay(row, current)] += 1;
    await adjust(this.client, this.held, 'replay', { read: -page.gone, written: page.replayed, quarantined: -page.replayed - page.gone });
    this.total.replayed += page.replayed;
    this.total.refused += page.refused;
    this.total.gone += page.gone;
  }

  private async replay(row: QuarantineRow, current: ReadonlyMap<string, RawRow>): Promise<keyof Replayed> {
    const found = row.sourceKey ? current.get(joinKey(row.sourceKey)) : undefined;
    if (row.sourceKey && !found) {
      await decideQuarantine(this.client, row.id, ['open'], 'gone', this.by, 'the source no longer selects this row');
      return 'gone';
    }
    const judged = found ? this.map(found.values) : this.mapStored(row);
    const reasons = Array.isArray(judged) ? await this.write(judged) : judged.reasons;
    if (reasons.length > 0) {
      await updateReasons(this.client, row.id, reasons);
      return 'refused';
    }
    await decideQuarantine(this.client, row.id, ['open'], 'replayed', this.by, null);
    return 'replayed';
  }

  private map(values: Value[]): Value[] | { reasons: Reason[] } {
    const { rows, rejections } = this.sides.mapRows([values]);
    return rows[0] ?? { reasons: rejections[0]?.reasons ?? [{ rule: 'unreadable' }] };
  }

  private mapStored(row: QuarantineRow): Value[] | { reasons: Reason[] } {
    try {
      const columns = row.side === 'target' ? this.sides.targetColumns : this.sides.sourceColumns;
      const values = decodeNamed(columns, row.columns, row.content);
      if (!values) return { reasons: row.reasons };
      return row.side === 'target' ? values : this.map(values);
    } catch {
      return { reasons: [{ rule: 'unreadable' }] };
    }
  }

  /** Rules over the whole dataset first: not each has a constraint behind it. Then the server judges. */
  private async write(values: Value[]): Promise<Reason[]> {
    for (const entry of this.sides.ctx.dataset.validation.unique) {
      const columns = typeof entry === 'string' ? [entry] : entry;
      if (await this.exists(this.sides, columns, columns, values)) return [{ rule: 'unique', column: columns.join(', ') }];
    }
    for (const { column, parent, parentColumn } of this.parents) {
      const value = this.textOf(column, values);
      if (value !== null && !(await this.exists(parent, [parentColumn], [column], values))) return [{ rule: 'orphan', column }];
    }
    const [answer] = await insertRows(this.client, this.sides, [values]);
    if (!answer) return [];
    if (answer.sqlstate === '23505') return [{ rule: 'unique' }];
    if (answer.sqlstate === '23503') return [{ rule: 'orphan' }];
    return [{ rule: `target:${answer.sqlstate}` }];
  }

  private textOf(name: string, values: readonly Value[]): string | null {
    const at = this.sides.targetColumns.findIndex((column) => column.name === name);
    return at < 0 ? null : valueToText(this.sides.targetColumns[at]?.kind ?? 'opaque', values[at] ?? null);
  }

  /** Whether a row of `where`'s table has this row's values of `own` in `columns`. NULL is nowhere. */
  private async exists(where: DatasetSides, columns: readonly string[], own: readonly string[], values: readonly Value[]): Promise<boolean> {
    const texts = own.map((name) => this.textOf(name, values));
    if (texts.some((text) => text === null)) return false;
    const condition = columns.map((name, at) => `${quoteIdent(name)} = $${at + 1}`).join(' AND ');
    const { rowCount } = await this.client.query(`SELECT ${columnList(columns)} FROM ${await targetFrom(this.client, where)} WHERE ${condition} LIMIT 1`, texts);
    return (rowCount ?? 0) > 0;
  }
}

import type { ClientBase } from 'pg';
import { fromStore } from '../stores/stored-text';
import { textToValue } from '../connectors/postgres/values-codec';
import { decodeRow, digesterFor, type DatasetSides } from './dataset-sides';
import type { Value } from '../../migration/value';

const PAGE = 5_000;

/** Keys are text, and PostgreSQL's text holds no NUL. */
export function joinKey(key: readonly string[]): string {
  return key.join('\0');
}

/**
 * Rows that quarantine holds (open or waived): the target must not have them. By source key where there is one; rows without a key as a
 * multiset of digests of what the target would hold, and a count of those that the rules refuse.
 */
export class KnownAbsences {
  /** By key, the entries that hold it. */
  private readonly keys = new Map<string, string[]>();
  private readonly digests = new Map<string, number>();
  private refused = 0;

  static async load(client: ClientBase, sides: DatasetSides): Promise<KnownAbsences> {
    const known = new KnownAbsences();
    let after = '0';
    for (;;) {
      const { rows } = await client.query<{ id: string; source_key: string[] | null; side: 'source' | 'target'; columns: string[]; content: (string | null)[] }>(
        `SELECT q.id::text AS id, source_key, side, CASE WHEN source_key IS NULL THEN columns ELSE '{}' END AS columns, CASE WHEN source_key IS NULL THEN content ELSE '{}' END AS content
         FROM caravan.quarantine q WHERE migration = $1 AND dataset = $2 AND generation = $3 AND state IN ('open', 'waived') AND q.id > $4 ORDER BY q.id LIMIT ${PAGE}`,
        [sides.ctx.ref.migration, sides.ctx.name, sides.ledger.generation, after],
      );
      for (const row of rows) {
        if (row.source_key) known.addKey(joinKey(fromStore(row.source_key)), row.id);
        else known.addKeyless(sides, row.side, row.columns, fromStore(row.content));
      }
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) return known;
      after = last.id;
    }
  }

  private addKey(key: string, id: string): void {
    const ids = this.keys.get(key);
    if (ids) ids.push(id);
    else this.keys.set(key, [id]);
  }

  private addKeyless(sides: DatasetSides, side: 'source' | 'target', columns: string[], content: (string | null)[]): void {
    const mapped = side === 'target' ? decodeNamed(sides.targetColumns, columns, content) : mappedContent(sides, columns, content);
    if (!mapped) {
      this.refused += 1;
      return;
    }
    const digest = digesterFor(sides).digest(mapped).text;
    this.digests.set(digest, (this.digests.get(digest) ?? 0) + 1);
  }

  /** For one pass over the source: each absence without a key explains one row. */
  fresh(): AbsenceTaker {
    return new AbsenceTaker(this.keys, new Map(this.digests), this.refused);
  }
}

export class AbsenceTaker {
  private readonly met = new Set<string>();

  constructor(
    private readonly keys: ReadonlyMap<string, readonly string[]>,
    private readonly digests: Map<string, number>,
    private refused: number,
  ) {}

  /** False: nothing to look for, and callers may save themselves the key. */
  get hasKeys(): boolean {
    return this.keys.size > 0;
  }

  get hasDigests(): boolean {
    return this.digests.size > 0;
  }

  takesKey(key: readonly string[] | null): boolean {
    if (key === null || !this.keys.has(joinKey(key))) return false;
    this.met.add(joinKey(key));
    return true;
  }

  /** After a pass over all of the source: entries whose row it no longer has. Those without a key cannot be told. */
  unmet(): string[] {
    return [...this.keys].flatMap(([key, ids]) => (this.met.has(key) ? [] : ids));
  }

  takesDigest(digest: string): boolean {
    const left = this.digests.get(digest) ?? 0;
    if (left === 0) return false;
    this.digests.set(digest, left - 1);
    return true;
  }

  /** A row without a key that the rules refuse. */
  takesRefused(): boolean {
    if (this.refused === 0) return false;
    this.refused -= 1;
    return true;
  }
}

/** The values of named columns in the order of `wanted`; null when one is not among them. */
export function decodeNamed(wanted: DatasetSides['targetColumns'], columns: readonly string[], content: readonly (string | null)[]): Value[] | null {
  const values: Value[] = [];
  for (const column of wanted) {
    const at = columns.indexOf(column.name);
    if (at < 0) return null;
    values.push(textToValue(column.kind, content[at] ?? null));
  }
  return values;
}

/** What the target would hold for stored source content; null when the rules or transforms refuse it. */
export function mappedContent(sides: DatasetSides, columns: readonly string[], content: readonly (string | null)[]): Value[] | null {
  try {
    const ordered = sides.sourceColumns.map((column) => content[columns.indexOf(column.name)] ?? null);
    return sides.mapRows([decodeRow(sides.sourceColumns, ordered)]).rows[0] ?? null;
  } catch {
    return null;
  }
}

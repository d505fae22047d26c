import type { Value } from '../../migration/value';
import type { KeyText } from '../../migration/split';

/** What the target should hold for one source row. */
export interface ExpectedRow {
  /** Digest of the key columns (keyless: of the whole row). */
  key: string;
  digest: string;
  /** Target columns in the order of the mapping. */
  values: Value[];
  /** The source's own text of its columns, as read. */
  content: (string | null)[];
  sourceKey: KeyText | null;
}

/** What the target does hold. */
export interface FoundRow {
  key: string;
  digest: string;
  /** The target's own text of the written columns. */
  content: (string | null)[];
}

export interface DifferentRow { expected: ExpectedRow; found: FoundRow }

/** Equal rows, kept once. */
interface Same<Row> { row: Row; count: number }

/**
 * Matches rows of both sides by key, whatever the order they come in: all expected rows first, then the found ones.
 * Equal rows are forgotten at once. Keys may repeat on either side: rows are then paired so that the fewest differences remain.
 * Memory grows with different rows only: a row that is there a million times is held once.
 */
export class DifferenceFinder {
  private readonly expected = new Map<string, Same<ExpectedRow>[]>();
  private readonly pending = new Map<string, Same<FoundRow>[]>();

  expect(row: ExpectedRow): void {
    add(this.expected, row, (other) => other.digest === row.digest && sameOrigin(other, row));
  }

  /** `extra`: no expected row is left under this key. `pending`: told apart by `finish`. */
  find(row: FoundRow): 'equal' | 'pending' | 'extra' {
    const same = this.expected.get(row.key);
    if (!same) return 'extra';
    const at = same.findIndex((other) => other.row.digest === row.digest);
    const matched = same[at];
    if (matched) {
      matched.count -= 1;
      if (matched.count === 0) same.splice(at, 1);
      if (same.length === 0 && !this.pending.has(row.key)) this.expected.delete(row.key);
      return 'equal';
    }
    add(this.pending, row, (other) => other.digest === row.digest && sameTexts(other.content, row.content));
    return 'pending';
  }

  finish(): { missing: ExpectedRow[]; different: DifferentRow[]; extra: FoundRow[] } {
    const missing: ExpectedRow[] = [];
    const different: DifferentRow[] = [];
    const extra: FoundRow[] = [];
    for (const [key, rows] of this.expected) {
      const found = each(this.pending.get(key) ?? []);
      for (const expected of each(rows)) {
        const other = found.next();
        if (other.done) missing.push(expected);
        else different.push({ expected, found: other.value });
      }
      for (const row of found) extra.push(row);
    }
    return { missing, different, extra };
  }
}

function add<Row extends { key: string }>(all: Map<string, Same<Row>[]>, row: Row, equals: (other: Row) => boolean): void {
  const under = all.get(row.key);
  const known = under?.find((same) => equals(same.row));
  if (known) known.count += 1;
  else if (under) under.push({ row, count: 1 });
  else all.set(row.key, [{ row, count: 1 }]);
}

function* each<Row>(all: readonly Same<Row>[]): Generator<Row, undefined> {
  for (const { row, count } of all) for (let i = 0; i < count; i += 1) yield row;
}

/** Two rows with keys are never the same; two without one are when they read the same. */
function sameOrigin(a: ExpectedRow, b: ExpectedRow): boolean {
  return a.sourceKey === null && b.sourceKey === null && sameTexts(a.content, b.content);
}

function sameTexts(a: readonly (string | null)[], b: readonly (string | null)[]): boolean {
  return a.length === b.length && a.every((text, at) => text === b[at]);
}

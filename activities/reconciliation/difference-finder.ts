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

/**
 * Matches rows of both sides by key, whatever the order they come in: all expected rows first, then the found ones.
 * Equal rows are forgotten at once. Keys may repeat on either side: rows are then paired so that the fewest differences remain.
 */
export class DifferenceFinder {
  private readonly expected = new Map<string, ExpectedRow[]>();
  private readonly pending = new Map<string, FoundRow[]>();

  expect(row: ExpectedRow): void {
    const same = this.expected.get(row.key);
    if (same) same.push(row);
    else this.expected.set(row.key, [row]);
  }

  /** `extra`: no expected row is left under this key. `pending`: told apart by `finish`. */
  find(row: FoundRow): 'equal' | 'pending' | 'extra' {
    const same = this.expected.get(row.key);
    if (!same) return 'extra';
    const at = same.findIndex((other) => other.digest === row.digest);
    if (at >= 0) {
      same.splice(at, 1);
      if (same.length === 0 && !this.pending.has(row.key)) this.expected.delete(row.key);
      return 'equal';
    }
    const waiting = this.pending.get(row.key);
    if (waiting) waiting.push(row);
    else this.pending.set(row.key, [row]);
    return 'pending';
  }

  finish(): { missing: ExpectedRow[]; different: DifferentRow[]; extra: FoundRow[] } {
    const missing: ExpectedRow[] = [];
    const different: DifferentRow[] = [];
    const extra: FoundRow[] = [];
    for (const [key, rows] of this.expected) {
      const found = this.pending.get(key) ?? [];
      rows.forEach((expected, at) => {
        const other = found[at];
        if (other) different.push({ expected, found: other });
        else missing.push(expected);
      });
      extra.push(...found.slice(rows.length));
    }
    return { missing, different, extra };
  }
}

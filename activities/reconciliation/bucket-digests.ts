/** Rows fall into this many buckets by the first two bytes of their key's digest. */
export const BUCKETS = 65_536;
/** A digest: 128 bits as four 32-bit words, least significant first. */
export const DIGEST_WORDS = 4;

export interface DigestWords { readonly w0: number; readonly w1: number; readonly w2: number; readonly w3: number }

/**
 * One side of a comparison in constant memory (1.3 MB): per bucket the number of rows and the sum of their digests modulo 2^128.
 * Free of order; duplicates count (an XOR would cancel them out).
 */
export class BucketDigests {
  readonly counts = new Uint32Array(BUCKETS);
  private readonly sums = new Uint32Array(BUCKETS * DIGEST_WORDS);
  rows = 0;

  add(bucket: number, { w0, w1, w2, w3 }: DigestWords): void {
    this.rows += 1;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    const at = bucket * DIGEST_WORDS;
    const carry = this.addWord(at + 2, w2, this.addWord(at + 1, w1, this.addWord(at, w0, 0)));
    this.addWord(at + 3, w3, carry);
  }

  /** Returns the carry. Sums stay below 2^34: exact in a double. */
  private addWord(at: number, word: number, carry: number): number {
    const sum = (this.sums[at] ?? 0) + word + carry;
    this.sums[at] = sum;
    return sum > 0xffffffff ? 1 : 0;
  }

  /** Buckets in which the two sides hold different rows, in order. Buckets that agree hold equal rows. */
  differing(other: BucketDigests): number[] {
    const found: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) if (!this.sameBucket(other, bucket)) found.push(bucket);
    return found;
  }

  private sameBucket(other: BucketDigests, bucket: number): boolean {
    if (this.counts[bucket] !== other.counts[bucket]) return false;
    const at = bucket * DIGEST_WORDS;
    for (let word = at; word < at + DIGEST_WORDS; word += 1) if (this.sums[word] !== other.sums[word]) return false;
    return true;
  }
}

/** Cuts buckets into groups whose rows, by `counts`, stay within `rowsMax` per group; a bucket larger than that is a group alone. */
export function groupBuckets(buckets: readonly number[], counts: Uint32Array, rowsMax: number): Set<number>[] {
  const groups: Set<number>[] = [];
  let group = new Set<number>();
  let rows = 0;
  for (const bucket of buckets) {
    const more = counts[bucket] ?? 0;
    if (group.size > 0 && rows + more > rowsMax) {
      groups.push(group);
      group = new Set();
      rows = 0;
    }
    group.add(bucket);
    rows += more;
  }
  if (group.size > 0) groups.push(group);
  return groups;
}

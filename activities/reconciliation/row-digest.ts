import { appendCanonical, CanonicalBytes, hash128, type CanonicalPolicy } from '../../migration/canonical';
import { typeBelow } from '../../migration/mapping-fit';
import type { Column, Value, ValueKind } from '../../migration/value';
import { BUCKETS, DIGEST_WORDS } from './bucket-digests';

/** A buffer that one huge row made is not kept for the small ones. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** How one column of the target is compared. */
interface ComparedColumn { kind: ValueKind; policy: CanonicalPolicy; normalize: ((value: Value) => Value) | null }

/**
 * 128-bit digests of target rows over the canonical form of values. What the target's type alone changes about a value is no difference: blanks
 * that pad char(n), the scale that numeric(p,s) fixes, the precision of real. A scale that the target would have kept is significant.
 */
export class RowDigester {
  private readonly columns: ComparedColumn[];
  private bytes = new CanonicalBytes();
  private readonly words = new Uint32Array(DIGEST_WORDS);

  constructor(columns: readonly Column[]) {
    this.columns = columns.map((column) => ({ kind: comparedKind(column), policy: { decimalScale: /^numeric\(/.test(typeBelow(column)) ? 'ignore' : 'exact' }, normalize: normalizerOf(column) }));
  }

  /** Digest of the columns at `positions`; of all columns when absent. */
  digest(row: readonly Value[], positions?: readonly number[]): Digest {
    if (this.bytes.bytes.length > KEPT_BYTES_MAX) this.bytes = new CanonicalBytes();
    this.bytes.length = 0;
    if (positions) for (const at of positions) this.append(row[at] ?? null, at);
    else for (let at = 0; at < this.columns.length; at += 1) this.append(row[at] ?? null, at);
    hash128(this.bytes.bytes, this.bytes.length, this.words);
    return new Digest(this.words);
  }

  /** Whether both values are the same in this column. */
  same(a: Value, b: Value, at: number): boolean {
    return this.formOf(a, at) === this.formOf(b, at);
  }

  private formOf(value: Value, at: number): string {
    this.bytes.length = 0;
    this.append(value, at);
    return Buffer.from(this.bytes.bytes.buffer, 0, this.bytes.length).toString('latin1');
  }

  private append(value: Value, at: number): void {
    const compared = this.columns[at];
    if (!compared) return;
    const { kind, policy, normalize } = compared;
    appendCanonical(this.bytes, kind, normalize && value !== null ? normalize(value) : value, policy);
  }
}

/** 128 bits, as four unsigned words, least significant first. One is made per row: it holds numbers only, and its text is made when asked for. */
export class Digest {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(words: Uint32Array) {
    this.w0 = words[0] ?? 0;
    this.w1 = words[1] ?? 0;
    this.w2 = words[2] ?? 0;
    this.w3 = words[3] ?? 0;
  }

  get bucket(): number {
    return this.w0 % BUCKETS;
  }

  /** The same, as a string that can be a key. */
  get text(): string {
    const { w0, w1, w2, w3 } = this;
    return String.fromCharCode(w0 & 0xffff, w0 >>> 16, w1 & 0xffff, w1 >>> 16, w2 & 0xffff, w2 >>> 16, w3 & 0xffff, w3 >>> 16);
  }
}

/** json is kept as the text it came in, blanks, order and repeated keys included; jsonb as what it means. */
function comparedKind(column: Column): ValueKind {
  return typeBelow(column) === 'json' ? 'text' : column.kind;
}

function normalizerOf(column: Column): ((value: Value) => Value) | null {
  if (column.kind === 'text' && /^(character\(|character$|bpchar)/.test(typeBelow(column))) return (value) => (typeof value === 'string' ? value.replace(/ +$/, '') : value);
  if (column.kind === 'float' && typeBelow(column) === 'real') return (value) => (typeof value === 'number' ? Math.fround(value) : value);
  return null;
}

/**
 * 128-bit hash of bytes: MurmurHash3 x86 128 (Austin Appleby, public domain), in 32-bit integer arithmetic. Not for secrets: it guards against accidents.
 * Words are read little-endian.
 */

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

/** Four 32-bit words, least significant first. */
export type Hash128 = Uint32Array;

function finalMix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

const scramble = (k: number, first: number, rotation: number, second: number): number => {
  const m = Math.imul(k, first);
  return Math.imul((m << rotation) | (m >>> (32 - rotation)), second);
};

function wordAt(bytes: Uint8Array, at: number, end: number): number {
  let word = 0;
  for (let i = Math.min(at + 4, end) - 1; i >= at; i -= 1) word = (word << 8) | bytes[i]!;
  return word;
}

/** Hash of `bytes[0, length)` into `out`, which is returned. */
export function hash128(bytes: Uint8Array, length: number, out: Hash128, seed = 0): Hash128 {
  let h1 = seed;
  let h2 = seed;
  let h3 = seed;
  let h4 = seed;
  const blocks = length & ~15;
  for (let i = 0; i < blocks; i += 16) {
    const k1 = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    const k2 = bytes[i + 4]! | (bytes[i + 5]! << 8) | (bytes[i + 6]! << 16) | (bytes[i + 7]! << 24);
    const k3 = bytes[i + 8]! | (bytes[i + 9]! << 8) | (bytes[i + 10]! << 16) | (bytes[i + 11]! << 24);
    const k4 = bytes[i + 12]! | (bytes[i + 13]! << 8) | (bytes[i + 14]! << 16) | (bytes[i + 15]! << 24);
    h1 ^= scramble(k1, C1, 15, C2);
    h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= scramble(k2, C2, 16, C3);
    h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= scramble(k3, C3, 17, C4);
    h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= scramble(k4, C4, 18, C1);
    h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0;
  }
  const rest = length - blocks;
  if (rest > 12) h4 ^= scramble(wordAt(bytes, blocks + 12, length), C4, 18, C1);
  if (rest > 8) h3 ^= scramble(wordAt(bytes, blocks + 8, length), C3, 17, C4);
  if (rest > 4) h2 ^= scramble(wordAt(bytes, blocks + 4, length), C2, 16, C3);
  if (rest > 0) h1 ^= scramble(wordAt(bytes, blocks, length), C1, 15, C2);
  h1 ^= length; h2 ^= length; h3 ^= length; h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0; h3 = (h3 + h1) | 0; h4 = (h4 + h1) | 0;
  h1 = finalMix(h1); h2 = finalMix(h2); h3 = finalMix(h3); h4 = finalMix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0; h3 = (h3 + h1) | 0; h4 = (h4 + h1) | 0;
  out[0] = h1; out[1] = h2; out[2] = h3; out[3] = h4;
  return out;
}

/** Adds a hash to a sum modulo 2^128, in place: the sum of a set of rows does not depend on their order, and duplicates show. */
export function addHash(sum: Hash128, hash: Hash128): void {
  let carry = 0;
  for (let i = 0; i < 4; i += 1) {
    const word = sum[i]! + hash[i]! + carry;
    sum[i] = word;
    carry = word > 0xffffffff ? 1 : 0;
  }
}

/** 32 hexadecimal digits, most significant first. */
export function hashText(hash: Hash128): string {
  return [3, 2, 1, 0].map((i) => (hash[i] ?? 0).toString(16).padStart(8, '0')).join('');
}

/** SHA-1 and SHA-256 (FIPS 180-4) on bytes, without the runtime's crypto: transforms must run anywhere. SHA-1 serves UUID version 5 only. */

/** The first 32 bits of the fraction of the `root`-th root of the first primes, as the standard defines its constants. */
function primeRoots(count: number, root: 2 | 3): Uint32Array {
  const out = new Uint32Array(count);
  for (let candidate = 2, found = 0; found < count; candidate += 1) {
    let prime = true;
    for (let d = 2; d * d <= candidate; d += 1) if (candidate % d === 0) { prime = false; break; }
    if (!prime) continue;
    // Integer root of candidate * 2^(32 * root): exact, where floating point would round.
    out[found] = Number(integerRoot(BigInt(candidate) << BigInt(32 * root), root) & 0xffffffffn);
    found += 1;
  }
  return out;
}

function integerRoot(value: bigint, root: 2 | 3): bigint {
  let low = 0n;
  let high = 1n << 40n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** BigInt(root) <= value) low = middle;
    else high = middle - 1n;
  }
  return low;
}

const K = Int32Array.from(primeRoots(64, 3));
const H256 = primeRoots(8, 2);
const w = new Int32Array(80);

/** The message with its padding and length, a multiple of 64 bytes. */
function padded(message: Uint8Array): Uint8Array {
  const length = message.length;
  const out = new Uint8Array((((length + 8) >> 6) + 1) << 6);
  out.set(message);
  out[length] = 0x80;
  const high = Math.floor(length / 0x20000000);
  const low = length << 3;
  for (let i = 0; i < 4; i += 1) {
    out[out.length - 8 + i] = high >>> (24 - i * 8);
    out[out.length - 4 + i] = low >>> (24 - i * 8);
  }
  return out;
}

function loadBlock(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i += 1) {
    const p = at + i * 4;
    w[i] = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
  }
}

function bigEndian(words: Int32Array): Uint8Array {
  const out = new Uint8Array(words.length * 4);
  for (let i = 0; i < out.length; i += 1) out[i] = words[i >> 2]! >>> (24 - (i & 3) * 8);
  return out;
}

export function sha256(message: Uint8Array): Uint8Array {
  const bytes = padded(message);
  const h = Int32Array.from(H256);
  for (let at = 0; at < bytes.length; at += 64) {
    loadBlock(bytes, at);
    for (let i = 16; i < 64; i += 1) {
      const x = w[i - 15]!;
      const y = w[i - 2]!;
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
    }
    let a = h[0]!; let b = h[1]!; let c = h[2]!; let d = h[3]!; let e = h[4]!; let f = h[5]!; let g = h[6]!; let i7 = h[7]!;
    for (let i = 0; i < 64; i += 1) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (i7 + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      i7 = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    h[0]! += a; h[1]! += b; h[2]! += c; h[3]! += d; h[4]! += e; h[5]! += f; h[6]! += g; h[7]! += i7;
  }
  return bigEndian(h);
}

export function sha1(message: Uint8Array): Uint8Array {
  const bytes = padded(message);
  const h = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  for (let at = 0; at < bytes.length; at += 64) {
    loadBlock(bytes, at);
    for (let i = 16; i < 80; i += 1) {
      const x = w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!;
      w[i] = (x << 1) | (x >>> 31);
    }
    let a = h[0]!; let b = h[1]!; let c = h[2]!; let d = h[3]!; let e = h[4]!;
    for (let i = 0; i < 80; i += 1) {
      const f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      const k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      const t = (((a << 5) | (a >>> 27)) + f + e + k + w[i]!) | 0;
      e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
    }
    h[0]! += a; h[1]! += b; h[2]! += c; h[3]! += d; h[4]! += e;
  }
  return bigEndian(h);
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += HEX[byte]!;
  return out;
}

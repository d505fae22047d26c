import fc from 'fast-check';
import { addHash, appendCanonical, CanonicalBytes, hash128, hashText, rowHasher, type CanonicalPolicy } from '../../migration/canonical';
import { readJson } from '../../migration/canonical-json';
import type { Column, Value, ValueKind } from '../../migration/value';

const form = (kind: ValueKind, value: Value, policy?: CanonicalPolicy): string => {
  const out = new CanonicalBytes();
  appendCanonical(out, kind, value, policy);
  return Buffer.from(out.bytes.subarray(0, out.length)).toString('hex');
};
const hashOf = (text: string): string => {
  const bytes = new TextEncoder().encode(text);
  return hashText(hash128(bytes, bytes.length, new Uint32Array(4)));
};

test('the hash passes the verification of its reference suite (SMHasher, x86 128: B3ECE62A)', () => {
  const results = new Uint8Array(256 * 16);
  for (let n = 0; n < 256; n += 1) {
    const key = Uint8Array.from({ length: n }, (_, i) => i);
    const hash = hash128(key, n, new Uint32Array(4), 256 - n);
    results.set(new Uint8Array(hash.buffer), n * 16);
  }
  expect(hash128(results, results.length, new Uint32Array(4))[0]!.toString(16)).toBe('b3ece62a');
});

test('sums of hashes are modulo 2^128', () => {
  const sum = Uint32Array.of(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);
  addHash(sum, Uint32Array.of(2, 0, 0, 0));
  expect(hashText(sum)).toBe('00000000000000000000000000000001');
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => {
    const big = (text: string) => BigInt(`0x${hashOf(text)}`);
    const total = new Uint32Array(4);
    for (const text of [a, b]) {
      const bytes = new TextEncoder().encode(text);
      addHash(total, hash128(bytes, bytes.length, new Uint32Array(4)));
    }
    expect(BigInt(`0x${hashText(total)}`)).toBe((big(a) + big(b)) % (1n << 128n));
  }));
});

test.each<[ValueKind, Value, Value]>([
  ['decimal', '1.10', '1.1'], ['decimal', '-0.0', '0'], ['decimal', '100', '1e2'],
  ['instant', '2024-01-01T00:00:00Z', '2024-01-01 02:00:00.000+02'], ['datetime', '2024-01-01T00:00:00.5', '2024-01-01 00:00:00.500000'],
  ['float', Number.NaN, -Number.NaN], ['uuid', '6BA7B810-9DAD-11D1-80B4-00C04FD430C8', '6ba7b810-9dad-11d1-80b4-00c04fd430c8'],
  ['json', '{"b":1.0, "a":[true,null]}', '{"a":[true,null],"b":1}'], ['json', '{"a":2,"a":3}', '{"a":3}'], ['json', '"\\u0041"', '"A"'], ['json', '1e2', '100'],
  ['time', '03:04:05.100', '03:04:05.1'],
])('%s: %p means %p', (kind, a, b) => expect(form(kind, a)).toBe(form(kind, b)));

test.each<[ValueKind, Value, Value]>([
  ['decimal', '1.1', '1.01'], ['decimal', '-1', '1'], ['decimal', '10', '1'], ['decimal', 'NaN', '0'], ['decimal', '12345678901234567890', '12345678901234567891'],
  ['float', -0, 0], ['text', '', null], ['text', 'a', 'a '], ['text', 'é', 'e\u0301'], ['text', '\ud800', '\ufffd'],
  ['json', '12345678901234567890', '12345678901234567891'], ['json', '"1"', '1'], ['json', '[1,[2]]', '[1,2]'], ['json', '{}', '[]'], ['json', 'null', null], ['json', '[null]', '[false]'],
  ['instant', '2024-01-01T00:00:00.000001Z', '2024-01-01T00:00:00Z'], ['instant', 'infinity', '-infinity'], ['date', '0044-03-15', '0044-03-15 BC'],
  ['integer', 1n, -1n], ['bytes', Uint8Array.of(0), Uint8Array.of(0, 0)], ['boolean', true, false],
])('%s: %p differs from %p', (kind, a, b) => expect(form(kind, a)).not.toBe(form(kind, b)));

test('with exact scale 1.10 and 1.1 differ', () => {
  expect(form('decimal', '1.10', { decimalScale: 'exact' })).not.toBe(form('decimal', '1.1', { decimalScale: 'exact' }));
});

test('moving text between columns changes the hash of a row', () => {
  const columns: Column[] = ['a', 'b', 'c'].map((name) => ({ name, kind: 'text', type: 'text', nullable: true }));
  const hash = rowHasher(columns);
  const field = fc.option(fc.string({ maxLength: 4 }), { nil: null });
  const row = fc.tuple(field, field, field);
  fc.assert(fc.property(row, row, (a, b) => {
    expect(hashText(hash(a)) === hashText(hash(b))).toBe(JSON.stringify(a) === JSON.stringify(b));
  }), { numRuns: 2000 });
  const forged = 'S\0\0\0\0';
  expect(hashText(hash([`a${forged}b`, 'c', null]))).not.toBe(hashText(hash(['a', `b${forged}c`, null])));
  expect(hashText(hash(['a', 'bc', null]))).not.toBe(hashText(hash(['ab', 'c', null])));
});

test('JSON reads as the runtime reads it, but for its numbers', () => {
  fc.assert(fc.property(fc.json(), (text) => expect(readJson(text)).not.toBeUndefined()));
  fc.assert(fc.property(fc.string({ maxLength: 12 }).map((s) => s.replace(/[^\s]/g, (c) => '{}[]",:1e-0.tn'[c.charCodeAt(0) % 14]!)), (text) => {
    let valid = true;
    try { JSON.parse(text); } catch { valid = false; }
    expect(readJson(text) !== undefined).toBe(valid);
  }), { numRuns: 5000 });
  expect(readJson('['.repeat(100_000))).toBeUndefined();
});

test('long texts are UTF-8', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), (text) => {
    const out = new CanonicalBytes();
    out.text(text);
    if (!/\p{Cs}/u.test(text)) expect(Buffer.from(out.bytes.subarray(0, out.length)).equals(Buffer.from(text, 'utf8'))).toBe(true);
  }));
});

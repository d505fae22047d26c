import fc from 'fast-check';
import { binaryCodec } from '../../activities/connectors/postgres/binary-codecs';
import { ByteWriter } from '../../activities/connectors/postgres/byte-writer';
import { fitsSingle } from '../../migration/single-precision';
import type { Value } from '../../migration/value';

const OID = { bool: 16, int8: 20, int2: 21, int4: 23, text: 25, float4: 700, float8: 701, date: 1082, time: 1083, timestamp: 1114, timestamptz: 1184, numeric: 1700, uuid: 2950 } as const;

function roundTrip(oid: number, value: NonNullable<Value>): Value {
  const codec = binaryCodec(oid)!;
  const writer = new ByteWriter(8);
  codec.encode(writer, value);
  return codec.decode(writer.data, 0, writer.length);
}

describe('binary forms', () => {
  test.each([
    [OID.numeric, '0'], [OID.numeric, '0.00'], [OID.numeric, '-1.10'], [OID.numeric, '12345678901234567890.000000000123'], [OID.numeric, '0.00000000000000000001'],
    [OID.numeric, '10000'], [OID.numeric, '99999999'], [OID.numeric, 'NaN'], [OID.numeric, '-Infinity'],
    [OID.timestamptz, '2026-01-02T03:04:05.123456Z'], [OID.timestamptz, '0001-01-01T00:00:00Z'], [OID.timestamptz, '9999-12-31T23:59:59.999999Z'],
    [OID.timestamptz, 'infinity'], [OID.timestamptz, '-infinity'], [OID.timestamptz, '0044-03-15 00:00:00+00 BC'], [OID.timestamptz, '294276-12-31 23:59:59.999999+00'],
    [OID.timestamp, '2000-02-29T12:00:00'], [OID.timestamp, '1900-03-01T00:00:00.5'], [OID.date, '1999-12-31'], [OID.date, '0044-03-15 BC'], [OID.date, 'infinity'],
    [OID.time, '24:00:00'], [OID.time, '23:59:59.999999'], [OID.uuid, '00112233-4455-6677-8899-aabbccddeeff'], [OID.float4, 0.1], [OID.float8, -0], [OID.bool, false],
    [OID.int8, -9223372036854775808n], [OID.int2, 32767n],
  ])('type %d keeps %p', (oid, value) => {
    expect(roundTrip(oid, value)).toEqual(value);
  });

  test('decimals of any length and scale survive exactly', () => {
    const digits = fc.stringMatching(/^[0-9]{1,40}$/);
    fc.assert(fc.property(fc.boolean(), digits, fc.option(digits), (negative, whole, fraction) => {
      const significant = whole.replace(/^0+(?=\d)/, '');
      const isZero = !/[1-9]/.test(significant + (fraction ?? ''));
      const text = `${negative && !isZero ? '-' : ''}${significant}${fraction === null ? '' : `.${fraction}`}`;
      expect(roundTrip(OID.numeric, text)).toBe(text);
    }));
  });

  test('instants survive to the microsecond, in every year', () => {
    fc.assert(fc.property(fc.bigInt({ min: -60_000_000_000_000_000n, max: 250_000_000_000_000_000n }), (micros) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64BE(micros);
      const codec = binaryCodec(OID.timestamptz)!;
      const writer = new ByteWriter(8);
      codec.encode(writer, codec.decode(bytes, 0, 8)!);
      expect(writer.data.readBigInt64BE(0)).toBe(micros);
    }));
  });

  test.each([[OID.int2, 32768n, '22003'], [OID.int4, -2147483649n, '22003'], [OID.date, '2026-02-30', '22007'], [OID.timestamptz, 'soon', '22007'], [OID.numeric, '1e5', '22P02'], [OID.uuid, 'x', '22P02'], [OID.float4, 1e300, '22003']])(
    'type %d refuses %p with the code of the server', (oid, value, sqlState) => {
      expect(() => roundTrip(oid, value)).toThrow(expect.objectContaining({ sqlState }));
    });

  test('single precision keeps the digits that stand for it, and nothing that it would round', () => {
    for (const kept of [0, -0, 0.1, 1.5, 3.4e38, NaN, Infinity, 16777216]) expect(fitsSingle(kept)).toBe(true);
    for (const rounded of [1e-50, 0.123456789, 1e39, 16777217]) expect(fitsSingle(rounded)).toBe(false);
  });
});

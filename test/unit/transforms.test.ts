import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { z } from 'zod';
import { builtinTransforms, defineTransforms, transformCatalog, TransformFailure } from '../../migration/transform';
import { formatDays, parseIso } from '../../migration/transform/civil-time';
import { compareParts, decimalParts, formatDecimal, parseDecimal, rescale } from '../../migration/transform/decimal-arithmetic';
import { sha1, sha256, toHex } from '../../migration/transform/sha';
import { zoneNamed } from '../../migration/transform/time-zone';
import { compileSteps } from '../../migration/mapping-steps';
import type { Column, Value, ValueKind } from '../../migration/value';

const col = (kind: ValueKind, name = 'c'): Column => ({ name, kind, type: kind, nullable: true });
const FAILED = Symbol('failed');

/** Runs one transform on the values of its input columns. */
function run(name: string, params: Record<string, unknown>, from: ValueKind[], to: ValueKind[], values: Value[], constants: Record<string, Value> = {}, catalog = builtinTransforms): Value | typeof FAILED | (Value | typeof FAILED)[] {
  const chain = compileSteps([{ transform: name, params }], from.map((k, i) => col(k, `in${i}`)), to.map((k, i) => col(k, `out${i}`)), catalog, constants);
  const results = chain.outputs.map(({ apply }) => {
    try {
      return apply.form === 'one' ? (apply.one ? apply.one(values[0] ?? null) : values[0] ?? null) : apply.many(values);
    } catch (error) {
      if (error instanceof TransformFailure) return FAILED;
      throw error;
    }
  });
  return results.length === 1 ? results[0]! : results;
}
const text = (name: string, value: Value, params: Record<string, unknown> = {}, to: ValueKind = 'text') => run(name, params, ['text'], [to], [value]);

describe('dates and times', () => {
  test.each<[string, string, Record<string, unknown>, Value | typeof FAILED]>([
    ['to_iso_datetime', '2024-02-29 12:30:00.120+02', {}, '2024-02-29T10:30:00.12Z'],
    ['to_iso_datetime', '2023-02-29T00:00:00Z', {}, FAILED],
    ['to_iso_datetime', '31/12/2020', { formats: ['DD/MM/YYYY'] }, '2020-12-31T00:00:00Z'],
    ['to_iso_datetime', '31/12/2020 ', { formats: ['YYYY-MM-DD HH:mm:ss', 'D/M/YYYY'] }, '2020-12-31T00:00:00Z'],
    ['to_iso_datetime', '2020-12-31 23:59:59', { formats: ['YYYY-MM-DD HH:mm:ss', 'DD/MM/YYYY'], zone: '-05:00' }, '2021-01-01T04:59:59Z'],
    ['to_iso_datetime', 'Mar 5, 1999 12:01 am', { formats: ['MON D, YYYY hh:mm A'] }, '1999-03-05T00:01:00Z'],
    ['to_iso_datetime', '2020-12-31x', { formats: ['YYYY-MM-DD'] }, FAILED],
    ['to_iso_datetime', '-1', { formats: ['unix_millis'] }, '1969-12-31T23:59:59.999Z'],
    ['to_iso_datetime', '2020-01-01T00:00:00.1234567Z', {}, FAILED],
    ['to_iso_datetime', '2020-01-01T00:00:00.1234567Z', { truncate: true }, '2020-01-01T00:00:00.123456Z'],
    ['to_iso_datetime', '2024-07-01 12:00', { zone: 'Europe/Berlin' }, '2024-07-01T10:00:00Z'],
    ['to_timestamp', '2024-07-01T12:00:00Z', { zone: 'Europe/Berlin' }, '2024-07-01T14:00:00'],
    ['to_date', '2024-07-01T23:00:00Z', { zone: 'Europe/Berlin' }, '2024-07-02'],
    ['to_iso_datetime', '0000-01-01', {}, FAILED],
    ['to_iso_datetime', '9999-12-31T23:00:00-05:00', {}, FAILED],
  ])('%s of %s with %j', (name, value, params, expected) => {
    expect(text(name, value, params, 'instant')).toBe(expected);
  });

  test('integers need a unit and keep every digit', () => {
    expect(run('to_iso_datetime', { unit: 'micros' }, ['integer'], ['instant'], [1_700_000_000_123_456n])).toBe('2023-11-14T22:13:20.123456Z');
    expect(() => run('to_iso_datetime', {}, ['integer'], ['instant'], [1n])).toThrow(/unit: seconds/);
  });

  test('datetimes take the zone; what lies outside the calendar passes', () => {
    const at = (value: Value) => run('to_iso_datetime', {}, ['datetime'], ['instant'], [value]);
    expect(at('2024-01-02T03:04:05.000006')).toBe('2024-01-02T03:04:05.000006Z');
    expect(at('infinity')).toBe('infinity');
    expect(at('0044-03-15 12:00:00 BC')).toBe('0044-03-15 12:00:00+00 BC');
    expect(at('rubbish')).toBe(FAILED);
    expect(at(null)).toBeNull();
  });

  test('a time that exists twice or never is standard time, as in PostgreSQL', () => {
    const zone = zoneNamed('Europe/Berlin')!;
    const offset = (t: string) => zone.atLocal(parseIso(t)!.seconds);
    expect(offset('2024-10-27T02:30:00')).toBe(3600);
    expect(offset('2024-03-31T02:30:00')).toBe(3600);
    expect(offset('2024-03-31T03:30:00')).toBe(7200);
    expect(zoneNamed('Mars/Olympus')).toBeNull();
  });

  test('every instant survives text with any offset (against the Date of the runtime)', () => {
    fc.assert(fc.property(fc.date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z'), noInvalidDate: true }), fc.integer({ min: -15 * 60 + 1, max: 15 * 60 - 1 }), (date, minutes) => {
      const local = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, -1);
      const sign = minutes < 0 ? '-' : '+';
      const m = Math.abs(minutes);
      const value = `${local}${sign}${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`;
      const expected = date.toISOString().replace(/\.?0*Z$/, (z) => (date.getUTCMilliseconds() === 0 ? 'Z' : z.replace(/0+Z/, 'Z')));
      expect(text('to_iso_datetime', value, {}, 'instant')).toBe(date.getUTCMilliseconds() === 0 ? `${date.toISOString().slice(0, 19)}Z` : expected);
    }));
    for (let days = -719_162; days < 2_932_896; days += 373) expect(formatDays(days)).toBe(new Date(days * 86_400_000).toISOString().slice(0, 10));
  });
});

describe('numbers', () => {
  test.each<[string, Value, Record<string, unknown>, Value | typeof FAILED]>([
    ['to_integer', ' 42 ', {}, 42n], ['to_integer', '-9223372036854775809', {}, -9223372036854775809n], ['to_integer', '1e3', {}, 1000n],
    ['to_integer', '4.5', {}, FAILED], ['to_integer', '4.5', { rounding: 'half_even' }, 4n], ['to_integer', '', {}, FAILED], ['to_integer', '0x10', {}, FAILED],
    ['to_integer', '1,234,567', { thousands: ',' }, 1234567n], ['to_integer', '12,34', { thousands: ',' }, FAILED], ['to_integer', null, {}, null],
    ['to_decimal', '1.234,50', { thousands: '.', decimal_point: ',' }, '1234.50'], ['to_decimal', '1.5', { decimal_point: ',' }, FAILED],
    ['to_decimal', '0.1000000000000000055', {}, '0.1000000000000000055'], ['to_decimal', '2', { scale: 2 }, '2.00'],
    ['to_decimal', '-2.345', { scale: 2 }, FAILED], ['to_decimal', '-2.345', { scale: 2, rounding: 'half_up' }, '-2.35'], ['to_decimal', 'NaN', {}, FAILED],
    ['to_decimal', '1e999999999', {}, FAILED],
  ])('%s of %j with %j', (name, value, params, expected) => {
    expect(text(name, value, params, name === 'to_integer' ? 'integer' : 'decimal')).toBe(expected);
  });

  test('decimal text round-trips, compares and rounds as integers of a scale do', () => {
    const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: 0, max: 30 }));
    fc.assert(fc.property(decimal, decimal, ([a, s], [b, t]) => {
      const x = formatDecimal({ units: a, scale: s });
      const y = formatDecimal({ units: b, scale: t });
      expect(parseDecimal(x)).toEqual({ units: a, scale: s });
      const difference = a * 10n ** BigInt(t) - b * 10n ** BigInt(s);
      expect(Math.sign(compareParts(decimalParts(x)!, decimalParts(y)!))).toBe(difference < 0n ? -1 : difference > 0n ? 1 : 0);
      const floor = rescale({ units: a, scale: s }, 0, 'floor')!.units;
      const ceiling = rescale({ units: a, scale: s }, 0, 'ceiling')!.units;
      expect(floor * 10n ** BigInt(s) <= a && a <= ceiling * 10n ** BigInt(s) && ceiling - floor <= 1n).toBe(true);
    }));
  });
});

describe('text and the rest', () => {
  test.each<[string, Value, Record<string, unknown>, Value | typeof FAILED]>([
    ['trim', '  x ', {}, 'x'], ['trim', '   ', { empty_as_null: true }, null], ['lower', 'ÄB', {}, 'äb'], ['upper', 'äb', {}, 'ÄB'],
    ['map_values', 'a', { values: { a: 'active' } }, 'active'], ['map_values', 'z', { values: { a: 'active' } }, FAILED],
    ['map_values', 'z', { values: { a: 'active' }, otherwise: 'unknown' }, 'unknown'], ['map_values', 'constructor', { values: { a: 'x' } }, FAILED],
    ['map_values', 'z', { values: { a: 'active' }, keep_others: true }, 'z'], ['map_values', 'z', { values: {}, otherwise: null }, null],
    ['mask', 'jane@x.org', { keep_first: 1, keep_last: 4 }, 'j*****.org'], ['mask', '😀😀😀', { keep_last: 1 }, '**😀'], ['mask', 'ab', { keep_first: 1, keep_last: 1 }, '**'],
    ['default', null, { value: 'n/a' }, 'n/a'], ['default', '  ', { value: 'n/a', blank: true }, 'n/a'], ['default', '', { value: 'n/a' }, ''],
    ['hash', 'abc', {}, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'], ['hash', null, {}, null],
  ])('%s of %j with %j', (name, value, params, expected) => {
    expect(text(name, value, params)).toBe(expected);
  });

  test('to_boolean, to_uuid, to_json, to_text', () => {
    expect(text('to_boolean', ' YES ', {}, 'boolean')).toBe(true);
    expect(text('to_boolean', '2', {}, 'boolean')).toBe(FAILED);
    expect(run('to_boolean', { true: ['J'], false: ['N'] }, ['text'], ['boolean'], ['n'])).toBe(false);
    expect(() => text('to_boolean', 'x', { true: ['x'], false: ['X'] }, 'boolean')).toThrow(/both/);
    expect(text('to_uuid', '{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}', {}, 'uuid')).toBe('6ba7b810-9dad-11d1-80b4-00c04fd430c8');
    expect(text('to_uuid', '6ba7b8109dad11d180b400c04fd430c', {}, 'uuid')).toBe(FAILED);
    expect(text('to_uuid', 'www.example.com', { namespace: '6ba7b810-9dad-11d1-80b4-00c04fd430c8' }, 'uuid')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2');
    expect(text('to_json', '{"a":12345678901234567890}', {}, 'json')).toBe('{"a":12345678901234567890}');
    expect(text('to_json', "{'a':1}", {}, 'json')).toBe(FAILED);
    expect(text('to_json', 'a"b', { as: 'string' }, 'json')).toBe('"a\\"b"');
    expect(run('to_text', {}, ['bytes'], ['text'], [Uint8Array.of(0xff)])).toBe(FAILED);
    expect(run('to_text', { encoding: 'base64' }, ['bytes'], ['text'], [Uint8Array.of(1, 2, 3, 4)])).toBe('AQIDBA==');
  });

  test('concat and split', () => {
    const concat = (values: Value[], params: Record<string, unknown>) => run('concat', { separator: ' ', ...params }, ['text', 'integer', 'text'], ['text'], values);
    expect(concat(['a', 1n, 'b'], {})).toBe('a 1 b');
    expect(concat(['a', null, 'b'], {})).toBe('a b');
    expect(concat(['a', null, 'b'], { on_null: 'empty' })).toBe('a  b');
    expect(concat(['a', null, 'b'], { on_null: 'null' })).toBeNull();
    expect(concat([null, null, null], { on_null: 'empty' })).toBeNull();
    const split = (value: Value, params: Record<string, unknown> = {}) => run('split', params, ['text'], ['text', 'text'], [value]);
    expect(split('Ada King Lovelace')).toEqual(['Ada', 'King Lovelace']);
    expect(split('Ada King Lovelace', { rest: 'drop' })).toEqual(['Ada', 'King']);
    expect(split('Ada King Lovelace', { rest: 'fail' })).toEqual([FAILED, FAILED]);
    expect(split('Ada King', { rest: 'fail' })).toEqual(['Ada', 'King']);
    expect(split('Ada')).toEqual(['Ada', null]);
    expect(split('Ada ', { rest: 'fail' })).toEqual(['Ada', '']);
    expect(split('Ada', { missing: 'fail' })).toEqual([FAILED, FAILED]);
    expect(split(null)).toEqual([null, null]);
  });

  test('constants come from the plan or by name, and the salt only by name', () => {
    expect(run('constant', { value: '12' }, [], ['integer'], [])).toBe(12n);
    expect(run('constant', { from: 'started' }, [], ['instant'], [], { started: '2026-01-01' })).toBe('2026-01-01T00:00:00Z');
    expect(() => run('constant', { value: 'x' }, [], ['integer'], [])).toThrow(/no integer/);
    expect(run('hash', { salt: 'pepper' }, ['text'], ['text'], ['abc'], { pepper: 's€' })).toBe(createHash('sha256').update('s€abc').digest('hex'));
    expect(() => text('hash', 'abc', { salt: 'pepper' })).toThrow(/no text constant `pepper`/);
  });
});

test('SHA-1 and SHA-256 agree with the runtime on any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    expect(toHex(sha256(bytes))).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(toHex(sha1(bytes))).toBe(createHash('sha1').update(bytes).digest('hex'));
  }));
});

describe('a user\'s transforms', () => {
  const user = defineTransforms({
    normalize_phone: {
      help: 'Digits only, with the country in front.',
      params: z.strictObject({ country: z.string() }),
      apply: (value, { country }) => {
        const digits = String(value).replace(/\D/g, '');
        if (digits === '') throw new Error(`secret ${String(value)}`);
        return `${String(country)}${digits}`;
      },
    },
    count: { help: 'Number of characters.', kind: 'integer', apply: (value) => String(value).length },
    wrong_kind: { help: 'Promises text, gives a number.', apply: () => 1 },
  });
  const catalog = transformCatalog(user);

  test('work by name, fail into quarantine and keep their kind', () => {
    expect(run('normalize_phone', { country: '+49' }, ['text'], ['text'], ['(0) 12-3'], {}, catalog)).toBe('+490123');
    expect(run('normalize_phone', { country: '+49' }, ['text'], ['text'], ['?'], {}, catalog)).toBe(FAILED);
    expect(run('count', {}, ['text'], ['integer'], ['abc'], {}, catalog)).toBe(3n);
    expect(run('wrong_kind', {}, ['text'], ['text'], ['abc'], {}, catalog)).toBe(FAILED);
    expect(() => run('normalize_phone', {}, ['text'], ['text'], ['1'], {}, catalog)).toThrow(/country/);
  });

  test('may not take a built-in name', () => {
    expect(() => transformCatalog(defineTransforms({ trim: { help: 'x', apply: (v) => v } }))).toThrow(/built in/);
  });
});

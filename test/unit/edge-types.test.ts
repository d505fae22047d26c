import fc from 'fast-check';
import { decodeText, encodeText, isWellFormed, readStored, storedText } from '../../activities/connectors/postgres/database-text';
import { isRowError } from '../../activities/connectors/postgres/errors';
import { wireTypeOf } from '../../activities/connectors/postgres/kinds';
import { arrayElements } from '../../migration/array-text';
import { hasDuplicateKeys } from '../../migration/canonical-json';
import { compileMapping } from '../../migration/mapping';
import { fitCheck, narrows } from '../../migration/mapping-fit';
import { validationSchema } from '../../migration/plan/schema';
import { builtinTransforms } from '../../migration/transform';
import type { Column, ValueKind } from '../../migration/value';

const column = (type: string, kind: ValueKind = 'opaque', extra: Partial<Column> = {}): Column => ({ name: 'c', kind, type, nullable: true, ...extra });

describe('text of a database without an encoding', () => {
  test('any bytes come back as they were', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      expect(encodeText(decodeText(buffer, 0, buffer.length)).equals(buffer)).toBe(true);
    }), { numRuns: 2000 });
    for (const text of ['\ufffd', 'é', '👩', '']) expect(encodeText(text).toString()).toBe(text);
  });

  test('valid text is decoded as ever, and what is not is never U+FFFD', () => {
    const mixed = Buffer.concat([Buffer.from('é\ufffd'), Buffer.from([0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]), Buffer.from('👩')]);
    const text = decodeText(mixed, 0, mixed.length);
    expect(text).toBe('é\ufffd\udcff\udcc3(\udced\udca0\udc80👩');
    expect(isWellFormed(text)).toBe(false);
    expect(isWellFormed('👩\ufffd')).toBe(true);
    // Half a character that a program cut: no server takes it for UTF-8, and none gets U+FFFD instead.
    expect(encodeText('\ud83d').toString('hex')).toBe('eda0bd');
  });

  test('what quarantine stores is always UTF-8, and means one text', () => {
    const texts = ['a', '', '\udcff', 'bytes:\\x00', 'bytes:\\xff', 'é', null];
    expect(texts.map((text) => storedText(text)).every((text) => text === null || isWellFormed(text))).toBe(true);
    expect(texts.map((text) => storedText(text)).map(readStored)).toEqual(texts);
    expect(texts.map((text) => storedText(text, true)).map(readStored)).toEqual(texts);
    expect(storedText('é', true)).toBe('bytes:\\xc3a9');
    expect(new Set(texts.map((text) => storedText(text))).size).toBe(texts.length);
  });
});

describe('types that bytes do not carry', () => {
  const facts = { oid: 1186, category: 'b', baseOid: 1186, baseName: 'interval', elementOid: 0, composite: false, binary: true, baseType: null, structure: null, major: 18 };

  test('an interval of a server that knows infinity is not one of a server that does not', () => {
    expect(wireTypeOf(facts)).not.toBe(wireTypeOf({ ...facts, major: 16 }));
    expect(wireTypeOf({ ...facts, oid: 1187, elementOid: 1186 })).not.toBe(wireTypeOf({ ...facts, oid: 1187, elementOid: 1186, major: 13 }));
    expect(wireTypeOf({ ...facts, major: 15 })).toBe(wireTypeOf({ ...facts, major: 16 }));
    expect(wireTypeOf({ ...facts, oid: 20 })).toBe(wireTypeOf({ ...facts, oid: 20, major: 13 }));
  });

  test.each([[142, 'xml'], [143, 'xml[]'], [790, 'money'], [22, 'int2vector'], [30, 'oidvector'], [3615, 'tsquery'], [3645, 'tsquery[]'], [2205, 'regclass'], [2210, 'regclass[]'], [1034, 'aclitem[]']])('%d, %s', (oid) => {
    expect(wireTypeOf({ ...facts, oid })).toBeUndefined();
  });
});

describe('narrowing', () => {
  test.each<[Column, Column, boolean]>([
    [column('numeric', 'decimal'), column('app.price', 'decimal', { baseType: 'numeric(6,2)' }), true],
    [column('app.price', 'decimal', { baseType: 'numeric(6,2)' }), column('numeric(6,2)', 'decimal'), false],
    [column('numeric(12,2)', 'decimal'), column('numeric(6,2)', 'decimal'), true], [column('numeric(6,4)', 'decimal'), column('numeric(6,2)', 'decimal'), true], [column('numeric(6,2)', 'decimal'), column('numeric(12,4)', 'decimal'), false],
    [column('text', 'text'), column('name', 'text'), true], [column('character varying(15)', 'text'), column('name', 'text'), false], [column('character varying(16)', 'text'), column('name', 'text'), true],
    [column('text', 'text'), column('"char"'), true], [column('text', 'text'), column('money'), true], [column('text', 'text'), column('interval'), true], [column('interval'), column('interval(3)'), true],
    [column('interval(3)'), column('interval'), false], [column('bit varying(3)'), column('bit varying(5)'), false], [column('bit varying(5)'), column('bit varying(3)'), true],
    [column('numeric[]'), column('numeric(5,1)[]'), true], [column('numeric(5,1)[]'), column('numeric[]'), false], [column('numeric(5,1)[]'), column('numeric(7,3)[]'), true],
    [column('text', 'text'), column('real[]'), true], [column('text', 'text'), column('text[]'), false], [column('character varying(3)[]'), column('character varying(5)[]'), false],
    [column('double precision', 'float'), column('app.single', 'float', { baseType: 'real' }), true],
  ])('%p -> %p: %p', (from, to, expected) => expect(narrows(from, to)).toBe(expected));

  const fits = (to: Column, value: string): boolean => {
    const check = fitCheck(to);
    if (check === null || check === 'unjudged') throw new Error('no check');
    return check.check(value);
  };
  test.each<[Column, string, boolean]>([
    [column('name', 'text'), 'é'.repeat(31), true], [column('name', 'text'), 'é'.repeat(32), false], [column('name', 'text'), '👩'.repeat(16), false], [column('"char"'), 'a', true], [column('"char"'), '\\377', true], [column('"char"'), 'ab', false], [column('"char"'), 'é', false],
    [column('interval(3)'), '1 day 00:00:00.123', true], [column('interval(3)'), '00:00:00.1234', false], [column('money'), '1.23', true], [column('money'), '1.239', false], [column('interval'), '0.0000001 s', false],
    [column('character varying(3)[]'), '{abc,NULL,"a,\\"b"}', false], [column('character varying(3)[]'), '{abc,NULL,"a\\"b"}', true], [column('timestamp(0) without time zone[]'), '{"2026-01-01 00:00:00.5"}', false],
  ])('%p holds %p: %p', (to, value, expected) => expect(fits(to, value)).toBe(expected));

  const compiled = (from: Column, to: Column, accept: string[] = []) => compileMapping({ source: [from], target: [to], mappings: [], accept, catalog: builtinTransforms, validation: validationSchema.parse({}) });
  test('what changes values silently where no rule can tell is refused, accepted or not', () => {
    for (const accept of [[], ['c']]) {
      expect(compiled(column('numeric[]'), column('numeric(5,1)[]'), accept).problems).toEqual([expect.objectContaining({ severity: 'error', message: expect.stringContaining('changes some values') as string })]);
      expect(compiled(column('text', 'text'), column('real[]'), accept).mapping).toBeUndefined();
    }
    expect(compiled(column('interval'), column('interval(3)')).mapping).toBeUndefined();
    expect(compiled(column('interval'), column('interval(3)'), ['c']).mapping).toBeDefined();
  });

  test('types of one name that are made differently, and types that only the server fills, are refused', () => {
    const pair = (structure: string, schema = 'app') => column(`${schema}.pair`, 'opaque', { structure });
    expect(compiled(pair('a integer, b integer'), pair('b integer, a integer')).mapping).toBeUndefined();
    expect(compiled(pair('a integer'), pair('a integer', 'other')).mapping).toBeDefined();
    expect(compiled(column('pg_node_tree'), column('pg_node_tree')).problems).toEqual([expect.objectContaining({ message: expect.stringContaining('no value can be written') as string })]);
  });

  test('an object that is gone is a number, and would be another object in the target', () => {
    const rule = compiled(column('regclass', 'opaque', { namesObjects: true }), column('regclass', 'opaque', { namesObjects: true })).mapping?.fields[0]?.rules[0];
    expect([null, '-', '0', 'public.t', '"123"', '12345', '{12345,a}', '{a,NULL}'].map((value) => rule?.check(value))).toEqual([true, true, true, true, true, false, false, true]);
  });
});

test('a real that becomes text keeps the sign of zero', () => {
  const real: Column = { name: 'c', kind: 'float', type: 'real', nullable: true };
  const field = compileMapping({ source: [real], target: [column('text', 'text')], mappings: [], accept: [], catalog: builtinTransforms, validation: validationSchema.parse({}) }).mapping?.fields[0];
  expect([-0, 0, 0.1].map((value) => field?.apply?.(Math.fround(value)))).toEqual(['-0', '0', '0.1']);
});

test('elements of arrays, in any dimension and with any bounds', () => {
  expect(arrayElements('{}')).toEqual([]);
  expect(arrayElements('[0:1][2:2]={{a},{NULL}}')).toEqual(['a', null]);
  expect(arrayElements('{"NULL","a\\"b\\\\","",x y}')).toEqual(['NULL', 'a"b\\', '', 'x y']);
});

test('keys that an object holds twice, at any depth', () => {
  expect(['{"a":1,"a":2}', '[1,{"b":{"c":1,"\\u0063":2}}]'].map(hasDuplicateKeys)).toEqual([true, true]);
  expect(['{"a":1,"b":{"a":1}}', '[{"a":1},{"a":1}]', '"a,a"', '{"a":"a","A":1}', 'no json,'].map(hasDuplicateKeys)).toEqual([false, false, false, false, false]);
});

test('a value that names nothing is the row\'s fault only where COPY read it', () => {
  const server = (code: string, where?: string) => Object.assign(new Error('x'), { severity: 'ERROR', code, where });
  expect(isRowError(server('42704', 'COPY t, line 1, column c: "x"'))).toBe(true);
  expect(isRowError(server('42601', 'invalid type name "a b c"\nCOPY t, line 1, column c: "x"'))).toBe(true);
  expect(isRowError(server('42P01'))).toBe(false);
  expect(isRowError(server('42883', 'PL/pgSQL function f() line 1\nCOPY t, line 1'))).toBe(false);
  expect(isRowError(server('42703', 'COPY t, line 1'))).toBe(false);
  expect(isRowError(server('22021'))).toBe(true);
});

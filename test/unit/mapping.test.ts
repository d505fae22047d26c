import fc from 'fast-check';
import type { ValuesBatch } from '../../migration/batch';
import { compileMapping, type FieldMapping, type MappingRequest } from '../../migration/mapping';
import { validationSchema } from '../../migration/plan/schema';
import { builtinTransforms } from '../../migration/transform';
import type { Column, Value, ValueKind } from '../../migration/value';
import { valuesKernel } from '../../migration/values-kernel';

const KINDS: Record<string, [ValueKind, number]> = {
  bigint: ['integer', 20], integer: ['integer', 23], smallint: ['integer', 21], text: ['text', 25], boolean: ['boolean', 16], date: ['date', 1082], jsonb: ['json', 3802],
  uuid: ['uuid', 2950], 'double precision': ['float', 701], real: ['float', 700], numeric: ['decimal', 1700], 'character varying': ['text', 1043], character: ['text', 1042],
  'timestamp with time zone': ['instant', 1184], 'timestamp without time zone': ['datetime', 1114], timestamp: ['datetime', 1114], bytea: ['bytes', 17],
};
function col(name: string, type: string, extra: Partial<Column> = {}): Column {
  const [kind, wireType] = KINDS[type.replace(/\(.*?\)/, '')] ?? (['opaque', undefined] as const);
  return { name, kind, type, nullable: true, ...(wireType === undefined ? {} : { wireType }), ...extra };
}
const move = (inputs: string, outputs: string, ...steps: FieldMapping['steps']): FieldMapping => ({ inputs: inputs ? inputs.split(',') : [], outputs: outputs ? outputs.split(',') : [], steps });
const step = (transform: string, params: Record<string, unknown> = {}) => ({ transform, params });
function compile(source: Column[], target: Column[], rest: Partial<Omit<MappingRequest, 'validation'>> & { validation?: object } = {}) {
  return compileMapping({ source, target, mappings: [], accept: [], catalog: builtinTransforms, ...rest, validation: validationSchema.parse(rest.validation ?? {}) });
}
const errors = (result: ReturnType<typeof compile>) => result.problems.filter((p) => p.severity === 'error').map((p) => p.message);
const warnings = (result: ReturnType<typeof compile>) => result.problems.filter((p) => p.severity === 'warning').map((p) => p.message);
const batchOf = (rows: Value[][], origin?: number[]): ValuesBatch => ({ encoding: 'values', rows, rowCount: rows.length, byteCount: rows.length * 10, ...(origin ? { origin: Uint32Array.from(origin) } : {}) });

test('columns pass to the column of the same name, in target order; read and write hold what is needed only', () => {
  const { mapping, problems } = compile(
    [col('id', 'bigint', { nullable: false }), col('username', 'text'), col('junk', 'text')],
    [col('user_name', 'text'), col('id', 'bigint', { nullable: false }), col('upper_name', 'text', { computed: true })],
    { mappings: [move('username', 'user_name'), move('junk', '')] },
  );
  expect(problems).toEqual([]);
  expect(mapping!.read.map((c) => c.name)).toEqual(['id', 'username']);
  expect(mapping!.write.map((c) => c.name)).toEqual(['user_name', 'id']);
  expect(mapping!.fields.map((f) => [f.inputs, f.passthrough, f.rules.length])).toEqual([[[1], true, 0], [[0], true, 0]]);
});

describe('problems', () => {
  test('unknown columns, with the nearest name', () => {
    expect(errors(compile([col('email', 'text')], [col('email', 'text')], { mappings: [move('emial', 'email')] }))[0]).toMatch(/source column `emial`; did you mean `email`/);
    expect(errors(compile([col('email', 'text')], [col('email', 'text')], { mappings: [move('email', 'e_mail')] }))[0]).toMatch(/did you mean `email`/);
  });

  test('a NOT NULL column without default that nothing fills; a default will do', () => {
    const source = [col('id', 'bigint')];
    expect(errors(compile(source, [col('id', 'bigint'), col('x', 'text', { nullable: false })]))).toHaveLength(1);
    expect(errors(compile(source, [col('id', 'bigint'), col('x', 'text', { nullable: false, hasDefault: true })]))).toEqual([]);
  });

  test('columns left behind and columns starved by another mapping are warnings', () => {
    expect(warnings(compile([col('id', 'bigint'), col('old', 'text')], [col('id', 'bigint')]))[0]).toMatch(/`old` is left behind/);
    const starved = compile([col('email', 'text')], [col('email', 'text'), col('mail_hash', 'text')], { mappings: [move('email', 'mail_hash', step('hash'))] });
    expect(warnings(starved)[0]).toMatch(/nothing fills the target column `email`/);
  });

  test.each([
    ['text', 'bigint', /to_integer/], ['timestamp without time zone', 'timestamp with time zone', /to_iso_datetime/], ['numeric', 'double precision', /to_float/], ['text', 'uuid', /to_uuid/],
    ['integer', 'boolean', /to_boolean/], ['numeric', 'bigint', /to_integer/], ['text', 'jsonb', /to_json/], ['mood', 'temper', /to_text/], ['bytea', 'text', /to_text/],
  ])('%s does not become %s without a transform', (from, to, remedy) => {
    const result = compile([col('c', from)], [col('c', to)]);
    expect(result.mapping).toBeUndefined();
    expect(result.problems[0]!.remedy).toMatch(remedy);
  });

  test.each([
    ['character varying(20)', 'character varying(10)'], ['text', 'character varying(255)'], ['bigint', 'integer'], ['numeric(12,2)', 'numeric(10,2)'], ['numeric(12,2)', 'numeric(12,1)'],
    ['numeric', 'numeric(30,10)'], ['timestamp(6) without time zone', 'timestamp(3) without time zone'], ['timestamp without time zone', 'timestamp(0) without time zone'],
    ['double precision', 'real'], ['bigint', 'numeric(18,0)'], ['bigint', 'character varying(19)'], ['bit(8)', 'bit(4)'],
  ])('%s into %s is narrower: an error unless accepted', (from, to) => {
    expect(errors(compile([col('c', from)], [col('c', to)]))[0]).toMatch(/does not always fit/);
    expect(errors(compile([col('c', from)], [col('c', to)], { accept: ['c'] }))).toEqual([]);
  });

  test.each([
    ['character varying(10)', 'character varying(20)'], ['character varying(10)', 'text'], ['integer', 'bigint'], ['numeric(10,2)', 'numeric(12,2)'], ['numeric(12,2)', 'numeric'],
    ['timestamp(3) without time zone', 'timestamp without time zone'], ['bigint', 'numeric(19,0)'], ['uuid', 'character varying(36)'], ['date', 'timestamp without time zone'], ['real', 'double precision'],
  ])('%s into %s is fine', (from, to) => expect(errors(compile([col('c', from)], [col('c', to)]))).toEqual([]));

  test('rules that can never be judged, and ill-made ones', () => {
    const result = compile([col('email', 'text')], [col('email', 'text'), col('note', 'text')], {
      validation: { required: ['note', 'emial'], unique: [['email', 'nope']], range: { email: { min: 'x' } }, pattern: { email: '(' } },
    });
    expect(errors(result)).toEqual([
      expect.stringMatching(/`note`, which nothing writes/), expect.stringMatching(/did you mean `email`/), expect.stringMatching(/regular expression/),
      expect.stringMatching(/`x` is no number/), expect.stringMatching(/no target column `nope`/),
    ]);
  });

  test('double filling, computed targets, wrong steps, unknown transforms', () => {
    const source = [col('a', 'text'), col('b', 'text')];
    expect(errors(compile(source, [col('a', 'text')], { mappings: [move('a', 'a'), move('b', 'a')] }))[0]).toMatch(/filled twice/);
    expect(errors(compile(source, [col('a', 'text', { computed: true })], { mappings: [move('a', 'a')] }))[0]).toMatch(/computes/);
    expect(errors(compile(source, [col('a', 'text')], { mappings: [move('a', 'a', step('trimm'))] }))[0]).toMatch(/did you mean `trim`/);
    expect(errors(compile(source, [col('a', 'text')], { mappings: [move('a,b', 'a', step('lower'))] }))[0]).toMatch(/reads one column, here are 2/);
    expect(errors(compile(source, [col('a', 'text')], { mappings: [move('a', 'a', step('mask', { keep: 1 }))] }))[0]).toMatch(/mask/);
    expect(errors(compile(source, [col('a', 'text'), col('b', 'text')], { mappings: [move('a', 'a,b', step('lower'))] }))[0]).toMatch(/1 value\(s\) for 2/);
  });
});

describe('kernel', () => {
  const source = [col('id', 'bigint', { nullable: false }), col('email', 'text'), col('created', 'timestamp without time zone'), col('amount', 'text'), col('name', 'text')];
  const target = [
    col('id', 'bigint', { nullable: false }), col('email', 'text', { nullable: false }), col('created_at', 'timestamp with time zone'), col('amount', 'numeric(6,2)'),
    col('first', 'text'), col('last', 'character varying(5)'), col('origin', 'text'),
  ];
  const { mapping, problems } = compile(source, target, {
    mappings: [
      move('created', 'created_at', step('to_iso_datetime')), move('amount', 'amount', step('trim'), step('to_decimal')), move('name', 'first,last', step('split')),
      move('', 'origin', step('constant', { value: 'legacy' })),
    ],
    validation: { required: ['email'], formats: { email: 'email' }, range: { amount: { min: 0 } } },
  });
  const kernel = valuesKernel(mapping!);

  test('maps rows', () => {
    expect(problems).toEqual([]);
    const { batch, rejections } = kernel.transform(batchOf([[1n, 'a@b.co', '2024-01-01T00:00:00', ' 1.50', 'Ada King'], [2n, null, null, null, null]]));
    expect(rejections).toEqual([]);
    expect((batch as ValuesBatch).rows).toEqual([[1n, 'a@b.co', '2024-01-01T00:00:00Z', '1.50', 'Ada', 'King', 'legacy'], [2n, null, null, null, null, null, 'legacy']]);
  });

  test('collects every reason, in column order, and says which rows as read stay', () => {
    const transformed = kernel.transform(batchOf([
      [1n, 'a@b.co', 'rubbish', 'x', 'Ada'], [2n, 'bad', '2024-01-01T00:00:00', '-1', 'Ada Lovelace'], [3n, 'c@d.co', null, '123456', 'Bob'], [4n, 'e@f.co', null, '1.234', null], [5n, 'g@h.co', null, '1', null],
    ], [0, 2, 4, 6, 8]));
    expect(transformed.rejections).toEqual([{ row: 0, reasons: [{ rule: 'transform:to_iso_datetime', column: 'created_at' }, { rule: 'transform:to_decimal', column: 'amount' }] }]);
    expect([...transformed.batch.origin!]).toEqual([2, 4, 6, 8]);
    const validated = kernel.validate(transformed.batch as ValuesBatch);
    expect(validated.rejections).toEqual([
      { row: 2, reasons: [{ rule: 'format:email', column: 'email' }, { rule: 'range', column: 'amount' }, { rule: 'fits:character varying(5)', column: 'last' }] },
      { row: 4, reasons: [{ rule: 'fits:numeric(6,2)', column: 'amount' }] },
      { row: 6, reasons: [{ rule: 'fits:numeric(6,2)', column: 'amount' }] },
    ]);
    expect([...validated.batch.origin!]).toEqual([8]);
    expect((validated.batch as ValuesBatch).rows.map((row) => row[0])).toEqual([5n]);
    expect(validated.batch.rowCount).toBe(1);
  });

  test('NULL for a NOT NULL column is caught before the target refuses it', () => {
    const plain = compile([col('a', 'text')], [col('a', 'text', { nullable: false })]);
    const { rejections } = valuesKernel(plain.mapping!).validate(batchOf([['x'], [null]]));
    expect(rejections).toEqual([{ row: 1, reasons: [{ rule: 'not_null', column: 'a' }] }]);
  });

  test('every row read is kept or rejected exactly once, whatever the rows', () => {
    const cell = fc.oneof(fc.constantFrom<Value>('a@b.co', 'bad', ' 1 ', '', null), fc.string({ maxLength: 8 }));
    fc.assert(fc.property(fc.array(fc.tuple(cell, fc.constantFrom<Value>('2024-01-01T00:00:00', 'x', null), cell, cell), { maxLength: 40 }), (cells) => {
      const rows = cells.map((c, i): Value[] => [BigInt(i), ...c]);
      const transformed = kernel.transform(batchOf(rows));
      const validated = kernel.validate(transformed.batch as ValuesBatch);
      const kept = (validated.batch as ValuesBatch).rows;
      const origin = validated.batch.origin ? [...validated.batch.origin] : rows.map((_, i) => i);
      expect(kept.map((row) => row[0])).toEqual(origin.map((i) => BigInt(i)));
      const all = [...origin, ...transformed.rejections.map((r) => r.row), ...validated.rejections.map((r) => r.row)].sort((a, b) => a - b);
      expect(all).toEqual(rows.map((_, i) => i));
    }));
  });
});

test('conversions that lose nothing happen by themselves', () => {
  const convert = (from: string, to: string, value: Value): Value => {
    const { mapping } = compile([col('c', from)], [col('c', to)]);
    const apply = mapping!.fields[0]!.apply;
    return apply ? apply(value) : value;
  };
  expect(convert('bigint', 'text', 9007199254740993n)).toBe('9007199254740993');
  expect(convert('boolean', 'text', false)).toBe('false');
  expect(convert('date', 'timestamp with time zone', '2024-01-01')).toBe('2024-01-01T00:00:00Z');
  expect(convert('date', 'timestamp without time zone', '0044-03-15 BC')).toBe('0044-03-15 00:00:00 BC');
  expect(convert('integer', 'double precision', 5n)).toBe(5);
  expect(() => convert('bigint', 'double precision', 9007199254740993n)).toThrow('convert:float');
  expect(convert('real', 'double precision', 0.1)).toBe(Math.fround(0.1));
  expect(convert('real', 'text', Math.fround(0.1))).toBe('0.1');
  expect(convert('bigint', 'numeric', null)).toBeNull();
});

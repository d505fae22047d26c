import { BucketDigests, groupBuckets } from '../../activities/reconciliation/bucket-digests';
import { DifferenceFinder, type ExpectedRow, type FoundRow } from '../../activities/reconciliation/difference-finder';
import { RowDigester } from '../../activities/reconciliation/row-digest';
import { readForeignKey } from '../../activities/reconciliation/references';
import type { Column, Value } from '../../migration/value';

const word = (w0: number, w1: number, w2: number, w3: number) => ({ w0, w1, w2, w3 });
const expected = (key: string, digest: string): ExpectedRow => ({ key, digest, values: [], content: [], sourceKey: [key] });
const found = (key: string, digest: string): FoundRow => ({ key, digest, content: [] });

describe('bucket digests', () => {
  test('are free of order, count duplicates, and carry between words', () => {
    const a = new BucketDigests();
    const b = new BucketDigests();
    const rows = [word(0xffffffff, 0xffffffff, 7, 0xffffffff), word(1, 0, 0, 0), word(5, 6, 7, 8)];
    for (const row of rows) a.add(9, row);
    for (const row of [...rows].reverse()) b.add(9, row);
    expect(a.differing(b)).toEqual([]);
    b.add(9, word(5, 6, 7, 8));
    b.add(9, word(5, 6, 7, 8));
    // An XOR would not notice the pair.
    expect(a.differing(b)).toEqual([9]);
    const carried = new BucketDigests();
    const plain = new BucketDigests();
    carried.add(1, word(0xffffffff, 0, 0, 0));
    carried.add(1, word(1, 0, 0, 0));
    plain.add(1, word(0, 1, 0, 0));
    plain.add(1, word(0, 0, 0, 0));
    expect(carried.differing(plain)).toEqual([]);
  });

  test('groups stay within their limit, and a large bucket is a group alone', () => {
    const counts = new Uint32Array(10);
    counts.set([3, 3, 50, 1, 1]);
    expect(groupBuckets([0, 1, 2, 3, 4], counts, 6).map((group) => [...group])).toEqual([[0, 1], [2], [3, 4]]);
  });
});

describe('difference finder', () => {
  const run = (source: ExpectedRow[], target: FoundRow[]) => {
    const finder = new DifferenceFinder();
    for (const row of source) finder.expect(row);
    const extraAtOnce = target.filter((row) => finder.find(row) === 'extra').length;
    const { missing, different, extra } = finder.finish();
    return { missing: missing.length, different: different.length, extra: extraAtOnce + extra.length };
  };

  test('tells missing, different and extra apart', () => {
    expect(run([expected('a', '1'), expected('b', '2'), expected('c', '3')], [found('c', '3'), found('b', 'x'), found('z', '9')])).toEqual({ missing: 1, different: 1, extra: 1 });
  });

  test('a repeated key is paired with the fewest differences, whatever the order', () => {
    const twice = [expected('k', '1'), expected('k', '2')];
    expect(run(twice, [found('k', 'x'), found('k', '1')])).toEqual({ missing: 0, different: 1, extra: 0 });
    expect(run([expected('k', '1')], [found('k', 'x'), found('k', '1')])).toEqual({ missing: 0, different: 0, extra: 1 });
    expect(run([expected('k', '1')], [found('k', '1'), found('k', '1')])).toEqual({ missing: 0, different: 0, extra: 1 });
    expect(run(twice, [found('k', '2')])).toEqual({ missing: 1, different: 0, extra: 0 });
  });
});

describe('row digests', () => {
  const column = (kind: Column['kind'], type: string): Column => ({ name: 'c', kind, type, nullable: true });
  const same = (of: Column, a: Value, b: Value) => new RowDigester([of]).digest([a]).text === new RowDigester([of]).digest([b]).text;

  test.each<[string, Column, Value, Value, boolean]>([
    ['NULL is not empty', column('text', 'text'), null, '', false],
    ['a trailing blank counts in text', column('text', 'text'), 'a', 'a ', false],
    ['but not in char(n)', column('text', 'character(5)'), 'a', 'a    ', true],
    ['scale counts in plain numeric', column('decimal', 'numeric'), '1.10', '1.1', false],
    ['but not where the type fixes it', column('decimal', 'numeric(12,4)'), '1.10', '1.1000', true],
    ['-0 is not 0', column('float', 'double precision'), -0, 0, false],
    ['real keeps its own precision', column('float', 'real'), 0.1, Math.fround(0.1), true],
    ['microseconds count', column('instant', 'timestamp with time zone'), '2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00Z', false],
    ['64 bits count', column('integer', 'bigint'), 9007199254740993n, 9007199254740992n, false],
    ['key order of jsonb does not', column('json', 'jsonb'), '{"b":1,"a":2}', '{"a": 2, "b": 1}', true],
    ['digits of its numbers do', column('json', 'jsonb'), '{"a":12345678901234567890}', '{"a":12345678901234567891}', false],
  ])('%s', (_, of, a, b, equal) => {
    expect(same(of, a, b)).toBe(equal);
  });

  test('values do not run into each other', () => {
    const digester = new RowDigester([column('text', 'text'), column('text', 'text')]);
    expect(digester.digest(['a', 'bc']).text).not.toBe(digester.digest(['ab', 'c']).text);
  });
});

test('foreign keys are read from the server\'s text', () => {
  const object = (definition: string) => ({ kind: 'foreign_key' as const, schema: 's', table: 't', name: 'n', definition });
  expect(readForeignKey(object('FOREIGN KEY (a, "B ""c") REFERENCES public.p(x, "Y") MATCH FULL ON DELETE CASCADE'))).toEqual({ columns: ['a', 'B "c'], parentColumns: ['x', 'Y'], matchFull: true });
  expect(readForeignKey(object('FOREIGN KEY (a) REFERENCES p(x) DEFERRABLE'))).toMatchObject({ columns: ['a'], matchFull: false });
  expect(readForeignKey(object('FOREIGN KEY (a, PERIOD b) REFERENCES p(x, PERIOD y)'))).toBeNull();
});

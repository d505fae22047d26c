import fc from 'fast-check';
import { isEmail, isEmailBytes } from '../../migration/rules/email';
import { rowRules, type RuleDefinition } from '../../migration/rules';
import type { Column, Value, ValueKind } from '../../migration/value';

const col = (kind: ValueKind): Column => ({ name: 'c', kind, type: kind, nullable: true });
const bytes = (text: string) => new TextEncoder().encode(text);

function judge<P>(rule: RuleDefinition<P>, params: P, kind: ValueKind, value: Value): boolean {
  return rule.compile!(params, col(kind))?.check(value) ?? true;
}

test('required refuses NULL and blank text, also on bytes', () => {
  const rule = rowRules.required.compile!(true, col('text'))!;
  for (const [value, good] of [['x', true], ['', false], [' \t\n', false], ['\u00a0', false], ['\u0001', true], [' é', true]] as const) {
    expect(rule.check(value)).toBe(good);
    const raw = bytes(value);
    expect([good, undefined]).toContain(rule.checkBytes!(raw, 0, raw.length));
  }
  expect(rule.check(null)).toBe(false);
  expect(judge(rowRules.required, true, 'integer', 0n)).toBe(true);
});

const FORMAT_CASES: Record<string, { good: string[]; bad: string[] }> = {
  email: {
    good: ['a@b.co', 'jane.doe+tag@mail.example.org', "o'neil@x-y.example", 'jürgen@münchen.example', `${'a'.repeat(64)}@b.co`, 'a@1.2.3a'],
    bad: ['', 'a', '@b.co', 'a@b', 'a@@b.co', 'a@b.co@c.co', '.a@b.co', 'a.@b.co', 'a..b@c.co', 'a b@c.co', 'a@-b.co', 'a@b-.co', 'a@b.co.', 'a@.b.co', 'a@b..co', 'a@b_c.co', `${'a'.repeat(65)}@b.co`, 'a@b.co\n', 'a@1.2.3.4', 'a\u00a0b@c.co', `a@${'b'.repeat(64)}.co`],
  },
  datetime: { good: ['2024-02-29T00:00:00Z', '2024-02-29 00:00', '2024-02-29T00:00:00.123456+05:30'], bad: ['2023-02-29T00:00:00', '2024-01-01', '2024-01-01T24:00:00', '2024-01-01T00:00:00 UTC'] },
  date: { good: ['2024-02-29'], bad: ['2023-02-29', '24-01-01', '2024-1-1', '2024-01-01T00:00:00'] },
  uuid: { good: ['6BA7B810-9dad-11d1-80b4-00c04fd430c8'], bad: ['6ba7b8109dad11d180b400c04fd430c8', 'g'.repeat(36)] },
  url: { good: ['https://example.org', 'http://u:p@example.org:8080/a?b#c', 'ftp://[::1]/x', 'https://bücher.example/ü'], bad: ['example.org', 'https://', 'https://a b', 'https:///x', 'https://a:99999', '1http://a', 'https://a/<x>', 'javascript:alert(1)', 'https://[::g]/'] },
  integer: { good: ['0', '-12', '+7', '123456789012345678901234567890'], bad: ['', '-', '1.0', '1e3', ' 1'] },
  decimal: { good: ['1', '-1.50', '.5', '1.', '1e-3'], bad: ['', '.', '1,5', 'NaN', '1e', '--1'] },
  ipv4: { good: ['0.0.0.0', '255.255.255.255'], bad: ['256.1.1.1', '01.1.1.1', '1.1.1', '1.1.1.1.1', '1..1.1', '1.1.1.1.'] },
  ipv6: { good: ['::', '::1', '1:2:3:4:5:6:7:8', '2001:db8::1', '::ffff:1.2.3.4', '1:2:3:4:5:6:1.2.3.4', '1::'], bad: [':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', '1::2::3', '::1.2.3', '1:2:3:4:5:6:7::8:9', ':1', '1:', 'fe80::1%eth0'] },
  json: { good: ['{}', '[1,2]', '"x"', 'null'], bad: ['', '{a:1}', '[1,]'] },
};

describe.each(Object.entries(FORMAT_CASES))('format %s', (format, { good, bad }) => {
  const check = (value: string) => judge(rowRules.formats, format as 'email', 'text', value);
  test.each(good)('takes %j', (value) => expect(check(value)).toBe(true));
  test.each(bad)('refuses %j', (value) => expect(check(value)).toBe(false));
});

test('e-mail is judged alike on text and on bytes', () => {
  const part = fc.stringMatching(/^[ab1.@ü_-]{0,12}$/u);
  const address = fc.oneof(part, fc.tuple(part, part).map(([a, b]) => `${a}@${b}.co`), fc.string({ maxLength: 300 }));
  fc.assert(fc.property(address, (value) => {
    const raw = bytes(`xx${value}yy`);
    expect([isEmail(value), undefined]).toContain(isEmailBytes(raw, 2, raw.length - 2));
    if (/^[\x20-\x7e]*$/.test(value)) expect(isEmailBytes(raw, 2, raw.length - 2)).toBe(isEmail(value));
  }), { numRuns: 2000 });
});

test('pattern matches the whole text, in linear time', () => {
  expect(judge(rowRules.pattern, '[a-z]+', 'text', 'abc')).toBe(true);
  expect(judge(rowRules.pattern, 'a|ab', 'text', 'ab')).toBe(true);
  expect(judge(rowRules.pattern, '[a-z]+', 'text', 'abc1')).toBe(false);
  const started = performance.now();
  expect(judge(rowRules.pattern, '(a+)+b', 'text', 'a'.repeat(5000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(30_000);
  expect(() => judge(rowRules.pattern, '(?=x)', 'text', 'x')).toThrow(/RE2/);
});

test.each<[ValueKind, { min?: number | string; max?: number | string }, Value, boolean]>([
  ['integer', { min: 1, max: '9223372036854775807' }, 9223372036854775807n, true],
  ['integer', { max: '9223372036854775806' }, 9223372036854775807n, false],
  ['integer', { min: 1.5 }, 1n, false], ['integer', { max: 1.5 }, 1n, true],
  ['decimal', { max: '0.3' }, '0.30000000000000000001', false], ['decimal', { max: '0.3' }, '0.300', true], ['decimal', { min: -5 }, '-5.01', false],
  ['decimal', { min: 0 }, 'NaN', false], ['decimal', { min: 0 }, 'Infinity', true], ['decimal', { min: '-0' }, '0', true],
  ['float', { min: 0 }, Number.NaN, false], ['float', { min: 0 }, 0.5, true],
  ['text', { min: 2 }, '10', true], ['text', { min: 2 }, 'ten', false],
  ['instant', { min: '2020-01-01T00:00:00.5Z' }, '2020-01-01T00:00:00Z', false],
  ['instant', { min: '2020-01-01' }, '2020-01-01T00:00:00.000001Z', true],
  ['instant', { max: '2020-01-01' }, '2020-01-01T23:59:59.999999Z', true], ['instant', { max: '2020-01-01' }, '2020-01-02T00:00:00Z', false],
  ['instant', { max: '2020-01-01T02:00:00+02:00' }, '2020-01-01T00:00:00.1Z', false],
  ['instant', { max: '2020-01-01' }, 'infinity', false], ['instant', { min: '2020-01-01' }, 'infinity', true], ['date', { min: '0001-01-01' }, '0044-03-15 BC', false],
  ['date', { max: '2020-01-01' }, '10000-01-01', false], ['date', { min: '2020-01-01', max: '2020-01-31' }, '2020-01-31', true],
  ['time', { min: '09:00:00' }, '08:59:59.9', false],
])('range of %s %j judges %p', (kind, bounds, value, expected) => {
  expect(judge(rowRules.range, bounds, kind, value)).toBe(expected);
  expect(judge(rowRules.range, bounds, kind, null)).toBe(true);
});

test('length counts code points of text and bytes of bytes', () => {
  expect(judge(rowRules.length, { max: 3 }, 'text', '😀😀😀')).toBe(true);
  expect(judge(rowRules.length, { min: 4 }, 'text', '😀😀😀')).toBe(false);
  expect(judge(rowRules.length, { max: 3 }, 'text', 'abcd')).toBe(false);
  expect(judge(rowRules.length, { max: 3 }, 'bytes', new Uint8Array(4))).toBe(false);
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 12 }), fc.nat(12), fc.nat(12), (text, a, b) => {
    const bounds = { min: Math.min(a, b), max: Math.max(a, b) };
    const count = Array.from(text).length;
    expect(judge(rowRules.length, bounds, 'text', text)).toBe(count >= bounds.min && count <= bounds.max);
  }));
});

test('one_of compares by meaning', () => {
  expect(judge(rowRules.one_of, [1, 2], 'integer', 2n)).toBe(true);
  expect(judge(rowRules.one_of, ['1.10'], 'decimal', '1.1')).toBe(true);
  expect(judge(rowRules.one_of, ['a'], 'text', 'A')).toBe(false);
  expect(judge(rowRules.one_of, [true], 'boolean', false)).toBe(false);
  expect(() => judge(rowRules.one_of, ['x'], 'integer', 1n)).toThrow(/no integer/);
});

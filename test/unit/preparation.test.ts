import { forecast } from '../../migration/preparation/forecast';
import { classesOfName, classOfValue, classOfValues } from '../../migration/preparation/personal-data';
import { proposeResources } from '../../migration/preparation/resources';
import { staleBecause } from '../../migration/preparation/rehearsal';
import type { SystemFinding } from '../../migration/preparation/findings';

describe('personal data', () => {
  test.each([
    ['email', ['email']], ['customerEmail', ['email']], ['LAST_NAME', ['name']], ['user-name', ['name']], ['date_of_birth', ['birth_date']], ['billing_street', ['address']], ['ip_address', ['ip_address', 'address']],
    ['iban', ['bank_account']], ['password_hash', ['credential']], ['streetcar_count', []], ['shipping', []], ['panel', []], ['id', []], ['name_of_product', []], ['total', []],
  ])('the name %s speaks of %j', (column, classes) => expect(classesOfName(column).sort()).toEqual([...classes].sort()));

  test.each([
    ['ann@example.org', 'email'], ['4111 1111 1111 1111', 'payment_card'], ['4111 1111 1111 1112', null], ['DE89 3704 0044 0532 0130 00', 'bank_account'], ['DE89370400440532013001', null],
    ['192.168.1.17', 'ip_address'], ['2001:db8::1', 'ip_address'], ['300.1.1.1', null], ['+49 170 1234567', 'phone'], ['(030) 123456-78', 'phone'], ['123-45-6789', 'national_id'], ['666-45-6789', null],
    ['$2b$12$KIXQ', 'credential'], ['2026-01-02', null], ['12:30:00', null], ['hello world', null], ['1234567', null], ['', null],
  ])('the value %s is of class %s', (value, kind) => expect(classOfValue(value)).toBe(kind));

  test('a class counts when most of the values that are there are of it', () => {
    expect(classOfValues(['a@b.org', null, 'c@d.org', 'e@f.org', 'x'])).toEqual({ kind: 'email', share: 0.75 });
    expect(classOfValues(['a@b.org', 'c@d.org'])).toBeNull();
    expect(classOfValues(['a@b.org', 'c@d.org', 'e@f.org', ...Array.from({ length: 7 }, () => 'other')])).toBeNull();
    expect(classOfValues([])).toBeNull();
  });
});

describe('forecast', () => {
  const base = { datasets: [{ rows: 1_000_000, bytes: 200_000_000 }], lanes: 8, indexBytes: 40_000_000, validate: true };
  const assumed = { rowsPerSecond: 40_000, bytesPerSecond: 12_000_000, from: 'assumed' as const };

  test('what is not measured has the widest margin, and says what it assumes', () => {
    const guess = forecast({ ...base, speed: assumed });
    const known = forecast({ ...base, speed: { ...assumed, from: 'rehearsal' } });
    expect(guess.total.likelyMs).toBe(known.total.likelyMs);
    expect(guess.total.highMs / guess.total.lowMs).toBeGreaterThan(known.total.highMs / known.total.lowMs);
    expect(guess.assumptions.join()).toContain('no speed was measured');
    expect(known.assumptions.join()).toContain('measured in the rehearsal');
    expect(guess.stages.map(({ stage }) => stage)).toEqual(['copy', 'indexes', 'validation']);
  });

  test('the slower of rows and bytes counts; more lanes help less and less; no row takes no time to compare', () => {
    const wide = forecast({ ...base, datasets: [{ rows: 1000, bytes: 12_000_000_000 }], lanes: 1, validate: false, speed: assumed });
    expect(wide.stages[0]?.likelyMs).toBeGreaterThanOrEqual(1_000_000);
    const one = forecast({ ...base, lanes: 1, speed: assumed }).stages[0]!.likelyMs;
    const four = forecast({ ...base, lanes: 4, speed: assumed }).stages[0]!.likelyMs;
    expect(one / four).toBeGreaterThan(2);
    expect(one / four).toBeLessThan(4);
    expect(forecast({ ...base, datasets: [], indexBytes: 0, speed: assumed }).total).toEqual({ lowMs: 0, likelyMs: 0, highMs: 0 });
    expect(forecast({ ...base, speed: assumed }).targetBytes).toEqual({ low: 156_000_000, likely: 240_000_000, high: 324_000_000 });
  });
});

test('resources: connections that do not fit, memory and cores that are not there', () => {
  const system = (connection: string, inUse: number): SystemFinding => ({
    connection, roles: ['target'], version: '16', user: 'u', encryption: { state: 'plain', version: null, cipher: null }, surplus: [], missing: [],
    limits: { maxConnections: 100, reserved: 3, inUse, sharedBuffersBytes: 1, workMemBytes: 1, maintenanceWorkMemBytes: 64 * 1024 ** 2, maxWalBytes: 1024 ** 3, databaseBytes: 5 * 1024 ** 3 },
  });
  const foreseen = forecast({ datasets: [{ rows: 1_000_000, bytes: 200_000_000 }], lanes: 8, indexBytes: 0, validate: false, speed: { rowsPerSecond: 40_000, bytesPerSecond: 12_000_000, from: 'assumed' } });
  const batch = { batch_size: 10_000, parallel_workers: 4, parallel_datasets: 2, memory_limit: 8 * 1024 ** 3, checkpoint_interval: 50_000 };
  const proposal = proposeResources(batch, [system('old_db', 20), system('new_db', 90)], foreseen, { cores: 2, memoryBytes: 4 * 1024 ** 3 });
  expect(proposal.connections).toEqual([{ system: 'old_db', needed: 12, free: 77, fits: true }, { system: 'new_db', needed: 12, free: 7, fits: false }]);
  expect(proposal.advice.join('\n')).toMatch(/new_db has 7 free connections[^]*memory_limit is 8\.0 GB[^]*4 cores serve[^]*maintenance_work_mem[^]*max_wal_size/);
  expect(proposal.bandwidthBytesPerSecond).toBeGreaterThan(12_000_000);
});

describe('a rehearsal opens production', () => {
  const now = { planHash: 'p', schemaDigest: 's', maxAgeMs: 7 * 86_400_000 };
  const fresh = { planHash: 'p', schemaDigest: 's', state: 'passed', ageMs: 1000 };

  test('when it passed with this plan, this schema, and not too long ago', () => {
    expect(staleBecause(fresh, now)).toBeNull();
    expect(staleBecause({ ...fresh, state: 'waived' }, now)).toBeNull();
  });

  test.each([
    [undefined, 'no rehearsal yet'], [{ ...fresh, state: 'failed' }, 'failed'], [{ ...fresh, state: 'open', ageMs: null }, 'did not come to its end'], [{ ...fresh, planHash: 'q' }, 'plan has changed'],
    [{ ...fresh, schemaDigest: 't' }, 'schema of the source has changed'], [{ ...fresh, ageMs: 8 * 86_400_000 }, '8 days old, and rehearsal.max_age is 7 days'],
  ])('not else (%#)', (last, why) => expect(staleBecause(last, now)).toContain(why));
});

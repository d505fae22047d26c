import * as fc from 'fast-check';
import { z } from 'zod';
import { isMigrationError } from '../../migration/errors';
import { parsePlan } from '../../migration/plan/parse';
import type { TransformCatalog } from '../../migration/plan/transformations';
import { builtinTransforms } from '../../migration/transform';

const known = { transforms: builtinTransforms };

/** The message of the error that a plan gets, with its code before it. */
function refusal(plan: string | object, transforms: TransformCatalog = builtinTransforms): string {
  try {
    parsePlan(plan, { transforms });
  } catch (error) {
    if (isMigrationError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('the plan was accepted');
}

/** A sound plan around the lines of one dataset, or with lines of its own. */
const plan = (dataset: string, rest = ''): string => `migration: shop
datasets:
  users:
    source: { connection: legacy_db }
    target: { connection: new_db }
${dataset}${rest}`;

const PAGE_EXAMPLE = `
migration: customer-platform
project: Customer platform
approach: phased                 # big_bang | trickle | parallel_run | phased
downtime_tolerance: 15m
window: { start: 2026-12-05T22:00Z, abort_by: 2026-12-06T04:00Z }
compliance: [GDPR]
datasets:
  users:
    priority: high               # orders the work
    source: { connection: legacy_db, table: users, where: "migrated = false" }
    target: { connection: kailash_db, table: users, on_conflict: update }
    transformations:
      - { old_field: username, new_field: user_name }
      - { old_field: created, new_field: created_at, transform: to_iso_datetime }
    validation:
      required: [user_id, email, created_at]
      unique: [email]
      formats: { email: email, created_at: datetime }
    pii: [email]
    metric_name: users_migrated
  orders: { after: [users], source: { connection: legacy_db, table: orders }, target: { connection: kailash_db, table: orders } }
  avatars: { source: { connection: legacy_files, prefix: avatars/ }, target: { connection: kailash_files, prefix: media/avatars/ } }
  sessions: { source: { connection: legacy_cache, pattern: "sess:*" }, target: { connection: kailash_cache } }
batch: { batch_size: 10000, parallel_workers: 4, memory_limit: 2GB, checkpoint_interval: 50000 }
checks:
  integrity:
    orders_have_users:
      source: "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM users u WHERE u.user_id = o.user_id)"
      target: "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM users u WHERE u.user_id = o.user_id)"
      on_fail: block
  business_rules:
    transaction_totals_match: { source: SELECT sum(total) FROM orders, target: SELECT sum(total) FROM orders }
  samples: { size: 1000, comparison_fields: [email, created_at] }
alerts: { error_rate: 1%, min_speed: 1000/min, memory: 80%, locks: 5m, notify: { webhook: ops } }
success: { migrated: 100%, error_rate: 0.01%, performance_within: 10% }
sign_off: [technical_lead, data_owner, business_owner]
`;

describe('a sound plan', () => {
  test('the example of the design page parses, with its defaults', () => {
    const { plan: parsed, warnings } = parsePlan(PAGE_EXAMPLE, known);
    expect(parsed.downtime_tolerance).toBe(900_000);
    expect(parsed.window).toEqual({ start: '2026-12-05T22:00:00.000Z', abort_by: '2026-12-06T04:00:00.000Z' });
    expect(parsed.batch).toEqual({ batch_size: 10_000, parallel_workers: 4, parallel_datasets: 2, memory_limit: 2e9, checkpoint_interval: 50_000 });
    expect(parsed.alerts).toMatchObject({ error_rate: 0.01, memory: 0.8, locks: 300_000, on_alert: 'warn', notify: { webhook: 'ops', remind_every: 1_800_000 } });
    expect(parsed.alerts.min_speed).toBeCloseTo(1000 / 60, 10);
    expect(parsed.success).toEqual({ migrated: 1, error_rate: 0.0001, performance_within: 0.1 });
    // The file and cache datasets are no places for SQL, so the one database on each side is meant.
    expect(parsed.control).toBe('kailash_db');
    expect(parsed.checks.business_rules['transaction_totals_match']).toMatchObject({ source_connection: 'legacy_db', target_connection: 'kailash_db' });
    expect(warnings.map((warning) => warning.place)).toEqual(['control']);
  });

  test('is as short as the case allows: tables are named like their dataset', () => {
    const { plan: parsed } = parsePlan(plan(''), known);
    expect(parsed.datasets['users']).toMatchObject({ source: { table: 'users' }, target: { table: 'users', on_conflict: 'none' }, mode: 'fused' });
    expect(parsed.approach).toBe('big_bang');
  });

  test('YAML, JSON text and a value give the same plan', () => {
    const value = { migration: 'shop', datasets: { users: { source: { connection: 'a' }, target: { connection: 'b' } } } };
    const fromValue = parsePlan(value).plan;
    expect(parsePlan(JSON.stringify(value)).plan).toEqual(fromValue);
    expect(parsePlan('migration: shop\ndatasets: { users: { source: { connection: a }, target: { connection: b } } }').plan).toEqual(fromValue);
  });

  test('a check may be one text for both sides', () => {
    const { plan: parsed } = parsePlan(plan('', 'checks: { business_rules: { totals: SELECT sum(total) FROM orders } }\n'));
    expect(parsed.checks.business_rules['totals']).toEqual({ source: 'SELECT sum(total) FROM orders', target: 'SELECT sum(total) FROM orders', on_fail: 'block', source_connection: 'legacy_db', target_connection: 'new_db' });
  });

  test('says what is missing for production, with the line', () => {
    const { warnings } = parsePlan(plan('', 'control: new_db\n'), known);
    expect(warnings).toEqual([
      { severity: 'warning', place: 'checks', message: 'no integrity check or business rule', remedy: 'Rows are still counted and compared; add what must hold for the business, such as a sum on both sides' },
      { severity: 'warning', place: 'alerts.notify', message: 'nobody is told when the run blocks', remedy: 'Add `alerts: { notify: { webhook: ops } }`' },
      { severity: 'warning', place: 'control (line 6)', message: 'the run\'s own records are kept in the target `new_db`; restoring it from a backup would rewind them', remedy: 'For production, name a separate PostgreSQL connection with `control`' },
    ]);
  });
});

describe('messages', () => {
  test.each<[string, string, string]>([
    ['an unknown key', plan('    target_key: [id]\n    validaton: { required: [id] }\n'), `PLAN_INVALID The plan has 2 problems:
  datasets.users.target_key (line 6): unknown key \`target_key\`. Did you mean \`target\`?
  datasets.users.validaton (line 7): unknown key \`validaton\`. Did you mean \`validation\`?`],
    ['a key of another place', plan('    on_conflict: update\n', 'batch_size: 100\n'), `PLAN_INVALID The plan has 2 problems:
  datasets.users.on_conflict (line 6): \`on_conflict\` does not belong here. It goes under datasets.<name>.target.
  batch_size (line 7): \`batch_size\` does not belong here. It goes under batch.`],
    ['another tool\'s word, and camelCase', plan('    depends_on: []\n    metricName: x\n'), `PLAN_INVALID The plan has 2 problems:
  datasets.users.depends_on (line 6): unknown key \`depends_on\`. Did you mean \`after\`?
  datasets.users.metricName (line 7): unknown key \`metricName\`. Did you mean \`metric_name\`?`],
    ['a wrong choice', plan('    priority: hihg\n    mode: fast\n'), `PLAN_INVALID The plan has 2 problems:
  datasets.users.priority (line 6): must be one of high, normal, low. Did you mean \`high\`?
  datasets.users.mode (line 7): must be one of fused, staged.`],
    ['wrong units', plan('', 'downtime_tolerance: 15 minutes\nbatch: { memory_limit: 2 gigs }\nalerts: { error_rate: 5, min_speed: fast, memory: much }\nwindow: { start: tomorrow }\n'), `PLAN_INVALID The plan has 6 problems:
  downtime_tolerance (line 6): is not a duration: write it like 90s, 15m or 2h.
  batch.memory_limit (line 7): is not a size: write it like 512MB or 2GB.
  alerts.error_rate (line 8): write it like 1%, or as a share from 0 to 1.
  alerts.min_speed (line 8): is not a rate: write it like 1000/min.
  alerts.memory (line 8): is not a percentage: write it like 1%.
  window.start (line 9): is not a moment: write it like 2026-12-05T22:00Z or 2026-12-05T23:00+01:00.`],
    ['wrong types', 'migration: 2024\ndatasets:\n  users:\n    source:\n    target: { connection: new_db }\n    after: orders\nbatch: { batch_size: "10,000", parallel_workers: 0 }\n', `PLAN_INVALID The plan has 5 problems:
  migration (line 1): must be text, not a number. Put it in quotes.
  datasets.users.source (line 4): is empty. Give it keys and values, or take the key out.
  datasets.users.after (line 6): must be a list, not a text. Write it as a list: [ … ].
  batch.batch_size (line 7): must be a number, not a text. Write it without quotes, digits only.
  batch.parallel_workers (line 7): must be at least 1.`],
    ['missing parts', 'migration: shop\ndatasets:\n  users:\n    source: { table: users }\n', `PLAN_INVALID The plan has 2 problems:
  datasets.users.target (line 3): is missing. Add it: where the rows go.
  datasets.users.source.connection (line 4): is missing. Add it: connection that holds the rows.`],
    ['no datasets', 'migration: shop\ndatasets: {}\n', 'PLAN_INVALID The plan has a problem:\n  datasets (line 2): needs at least one dataset.'],
    ['a bad name', plan('', '  "user orders": { source: { connection: a }, target: { connection: b } }\n'), `PLAN_INVALID The plan has a problem:
  datasets.user orders (line 6): the name may hold letters, digits, _ and - only, and starts with a letter.`],
    ['an unknown transform', plan('    transformations:\n      - { old_field: created, new_field: created_at, transform: to_iso_date_time }\n'), `PLAN_INVALID The plan has a problem:
  datasets.users.transformations[0].transform (line 7): unknown transform \`to_iso_date_time\`. Did you mean \`to_iso_datetime\`?`],
    ['an unknown format', plan('    validation: { formats: { email: e-mail } }\n'), `PLAN_INVALID The plan has a problem:
  datasets.users.validation.formats.email (line 6): must be one of email, datetime, date, uuid, url, integer, decimal, ipv4, ipv6, json. Did you mean \`email\`?`],
    ['text that is no YAML', 'migration: shop\n\tdatasets: x\n', 'PLAN_INVALID The plan has a problem:\n  plan (line 2): a tab indents this line; YAML needs spaces.'],
    ['a duplicate key', 'migration: shop\nmigration: store\n', 'PLAN_INVALID The plan has a problem:\n  plan (line 2): the same key stands here twice; only one of them could count.'],
    ['a duplicate key in JSON', '{\n"migration": "shop",\n"migration": "store"}', 'PLAN_INVALID The plan has a problem:\n  plan (line 3): the same key stands here twice; only one of them could count.'],
    ['a tag', 'migration: !!js/function "x"\n', 'PLAN_INVALID The plan has a problem:\n  plan (line 1): tags (`!name`) are not supported.'],
    ['nothing', ' \n', 'PLAN_INVALID The plan has a problem:\n  plan: is empty. Start one with `caravan init`.'],
    ['a list', '- a\n', 'PLAN_INVALID The plan has a problem:\n  plan: must be keys and values, not a list.'],
  ])('%s', (_, text, message) => {
    expect(refusal(text)).toBe(message);
  });

  test('problems of shape and of sense are told together, and nothing is blamed for a part that was wrong already', () => {
    const text = plan('    where: x\n', `  orders: { after: [user], source: { connection: legacy_db }, target: { connection: new_db } }
checks: { integrity: { a: { source: SELECT 1, taget: SELECT 1 }, b: { source: SELECT 1; } } }
`);
    expect(refusal(text)).toBe(`PLAN_INVALID The plan has 4 problems:
  datasets.users.where (line 6): \`where\` does not belong here. It goes under datasets.<name>.source.
  datasets.orders.after[0] (line 7): there is no dataset \`user\`. Did you mean \`users\`?
  checks.integrity.a.taget (line 8): unknown key \`taget\`. Did you mean \`target\`?
  checks.integrity.b.source (line 8): holds a \`;\`. Write one SELECT without it.`);
  });

  test('a misspelt key does not also cause the error of a missing one', () => {
    expect(refusal({ migration: 'm', datasets: { a: { source: { connection: 'x', query: 'SELECT 1', keey: ['id'] }, target: { connection: 'y', on_conflict: 'update' } } } }))
      .toBe('PLAN_INVALID The plan has a problem:\n  datasets.a.source.keey: unknown key `keey`. Did you mean `key`?');
  });

  test('any one wrong letter in a key gets the right key back', () => {
    const keys = ['source', 'target', 'validation', 'transformations', 'priority', 'on_invalid', 'metric_name'];
    fc.assert(fc.property(fc.constantFrom(...keys), fc.nat(), fc.constantFrom('x', 'q', ''), (key, at, letter) => {
      const place = at % key.length;
      const wrong = key.slice(0, place) + letter + key.slice(place + 1);
      fc.pre(!keys.includes(wrong));
      const value = { migration: 'm', datasets: { d: { source: { connection: 'a' }, target: { connection: 'b' }, [wrong]: {} } } };
      expect(refusal(value)).toContain(`unknown key \`${wrong}\`. Did you mean \`${key}\`?`);
    }));
  });

  test('whatever is put anywhere, the answer is a plan or a MigrationError, never another error', () => {
    const base = parsePlan(PAGE_EXAMPLE, known).plan;
    const places = [['migration'], ['datasets'], ['datasets', 'users'], ['datasets', 'users', 'source'], ['datasets', 'users', 'after'], ['datasets', 'users', 'transformations'], ['checks'], ['checks', 'integrity'], ['groups'], ['window'], ['alerts']];
    fc.assert(fc.property(fc.constantFrom(...places), fc.jsonValue(), (path, value) => {
      const changed = JSON.parse(JSON.stringify({ migration: base.migration, datasets: base.datasets })) as Record<string, unknown>;
      let at = changed;
      for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Record<string, unknown>;
      at[path[path.length - 1] ?? ''] = value;
      try {
        parsePlan(changed, known);
      } catch (error) {
        expect(isMigrationError(error)).toBe(true);
      }
    }), { numRuns: 500 });
  });
});

describe('hostile text', () => {
  test('an alias bomb is refused quickly', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`);
    expect(refusal(`l0: &l0 [x]\n${levels.join('\n')}\n`)).toContain('repeats too much by aliases');
  });

  test('a few aliases are fine', () => {
    const text = 'migration: m\ndatasets:\n  a: { source: &s { connection: x }, target: &t { connection: y } }\n  b: { source: *s, target: *t }\n';
    expect(Object.keys(parsePlan(text).plan.datasets)).toEqual(['a', 'b']);
  });

  test.each(['['.repeat(1_000_000), '{"a":'.repeat(5000), '- '.repeat(100_000), `${'['.repeat(45)}${']'.repeat(45)}`])('great depth is refused (%#)', (text) => {
    expect(refusal(text)).toMatch(/nested deeper than 40 levels|not valid YAML/);
  });

  test('a prototype name is refused wherever it stands', () => {
    expect(refusal('migration: m\n__proto__: { a: 1 }\n')).toContain('__proto__ (line 2): this name is not allowed');
    expect(refusal(JSON.parse('{"migration":"m","datasets":{"__proto__":{"source":{}}}}') as object)).toContain('datasets.__proto__: this name is not allowed');
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  test('size, numbers that lose digits, NUL', () => {
    expect(refusal(`# ${'x'.repeat(5_000_001)}`)).toContain('plan: is larger than 5 MB');
    expect(refusal(plan('    validation: { range: { id: { max: 9007199254740993 } } }\n'))).toContain('datasets.users.validation.range.id.max (line 6): is a number that cannot be kept exactly. Put it in quotes.');
    expect(refusal(plan('    metric_name: "a\\0b"\n'))).toContain('datasets.users.metric_name (line 6): holds a NUL character');
  });

  test('secrets are refused and never repeated', () => {
    const texts = [
      'migration: m\ndatasets: { u: { source: { connection: "postgres://bob:hunter2@db/x" }, target: { connection: b } } }\n',
      plan('', 'password: hunter2\n'),
      plan('', 'alerts: { notify: { webhook: "https://hooks.example/hunter2" } }\n'),
      plan('', 'project: see https://bob:hunter2@wiki.example/\n'),
    ];
    const messages = texts.map((text) => refusal(text));
    for (const message of messages) expect(message).not.toContain('hunter2');
    expect(messages[0]).toBe(`PLAN_INVALID The plan has a problem:
  datasets.u.source.connection (line 2): holds an address; the plan is stored and shown, so it only names connections. Write a name such as \`legacy_db\`, and put the address in CARAVAN_CONNECTION_LEGACY_DB or caravan.connections.yaml.`);
    expect(messages[1]).toContain('name a connection, and give its address in CARAVAN_CONNECTION_<NAME>');
    expect(messages[2]).toContain('put the address in CARAVAN_WEBHOOK_OPS');
    expect(messages[3]).toContain('project (line 6): holds an address with a password');
  });
});

test('a user\'s own transform is known when it is in the catalog', () => {
  const own = { shout: { name: 'shout', help: 'Louder.', params: z.strictObject({ times: z.number() }), inputs: 'one', outputs: 'one' } } as const;
  const text = plan('    transformations: [{ old_field: a, transform: shout, times: 2 }]\n');
  expect(parsePlan(text, { transforms: { ...builtinTransforms, ...own } }).plan.migration).toBe('shop');
  expect(refusal(text)).toContain('unknown transform `shout`');
});

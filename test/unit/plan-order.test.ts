import * as fc from 'fast-check';
import { canonicalJson, canonicalPlan } from '../../migration/plan/hash';
import { findCycle, orderDatasets, planView, topological } from '../../migration/plan/order';
import { parsePlan } from '../../migration/plan/parse';
import { planJsonSchema } from '../../migration/plan/json-schema';
import { planReference } from '../../migration/plan/reference';
import { proposePlan, type InventoryTable } from '../../migration/plan/propose';
import { builtinTransforms } from '../../migration/transform';

const dataset = (more: object = {}): object => ({ source: { connection: 'old' }, target: { connection: 'new' }, ...more });
const parse = (datasets: object, more: object = {}) => parsePlan({ migration: 'm', datasets, ...more }).plan;
const ref = { migration: 'm', planHash: 'h', control: 'new', lease: 1 };

describe('order', () => {
  test('dependencies, then priority, then name', () => {
    const plan = parse({ z: dataset({ priority: 'high', after: ['parent'] }), b: dataset(), a: dataset(), late: dataset({ priority: 'low' }), parent: dataset({ priority: 'low' }) });
    expect(orderDatasets(plan)).toEqual(['parent', 'z', 'a', 'b', 'late']);
  });

  test('every name comes once, after what it waits for; with a circle, a real one is named', () => {
    const graph = fc.integer({ min: 1, max: 12 }).chain((n) => fc.array(fc.array(fc.nat({ max: n - 1 }), { maxLength: 3 }), { minLength: n, maxLength: n }));
    fc.assert(fc.property(graph, (edges) => {
      const names = edges.map((_, i) => `n${i}`);
      const waits = (name: string): string[] => (edges[Number(name.slice(1))] ?? []).map((i) => `n${i}`);
      const { order, cycle } = topological(names, waits);
      if (cycle) {
        expect(cycle[0]).toBe(cycle[cycle.length - 1]);
        for (let i = 1; i < cycle.length; i++) expect(waits(cycle[i - 1] ?? '')).toContain(cycle[i]);
      } else {
        expect([...order].sort()).toEqual([...names].sort());
        for (const name of names) for (const other of waits(name)) expect(order.indexOf(other)).toBeLessThan(order.indexOf(name));
      }
    }));
  });

  test('a chain of 50,000 datasets is ordered without a deep stack', () => {
    const names = Array.from({ length: 50_000 }, (_, i) => `n${i}`);
    expect(topological(names, (name) => (name === 'n49999' ? [] : [`n${Number(name.slice(1)) + 1}`])).order[0]).toBe('n49999');
  });

  test('groups run in order, datasets of no group around them', () => {
    const plan = parse(
      { base: dataset(), core: dataset({ group: 'first', after: ['base'] }), more: dataset({ group: 'second' }), tail: dataset({ after: ['more'] }) },
      { approach: 'phased', groups: { second: { after: ['first'], gate: 'go_on' }, first: {}, empty: {} }, gates: ['start'], on_abort: 'keep', batch: { parallel_workers: 3 }, checks: { repair: true } },
    );
    const view = planView(plan, ref, false);
    expect(view.groups).toEqual([
      { name: 'ungrouped', datasets: ['base'], gate: null }, { name: 'first', datasets: ['core'], gate: null },
      { name: 'second', datasets: ['more'], gate: 'go_on' }, { name: 'ungrouped_2', datasets: ['tail'], gate: null },
    ]);
    expect(view.datasets.map(({ name, group, after }) => [name, group, after])).toEqual([['base', 'ungrouped', []], ['core', 'first', ['base']], ['more', 'second', []], ['tail', 'ungrouped_2', ['more']]]);
    expect(view).toMatchObject({ approach: 'phased', gates: ['start'], complete: false, ref });
    expect(view.settings).toEqual({ parallelWorkers: 3, parallelDatasets: 2, onAbort: 'keep', sliceMs: 10_000, sliceMaxMs: 120_000, idleSlicesMax: 5, validate: true, repair: true });
    expect(findCycle(plan)).toBeNull();
  });

  test('big_bang is one group', () => {
    expect(planView(parse({ b: dataset(), a: dataset() }), ref, true)).toMatchObject({ groups: [{ datasets: ['a', 'b'], gate: null }], datasets: [{ group: null, sourceSide: 'old', targetSide: 'new' }, {}], complete: true });
  });
});

describe('canonical text', () => {
  test('does not depend on key order, spelled-out defaults or absent values', () => {
    const short = parsePlan('datasets: { a: { target: { connection: y }, source: { connection: x } } }\nmigration: m').plan;
    const long = parsePlan('migration: m\napproach: big_bang\nbatch: { memory_limit: 2000MB }\ndatasets: { a: { source: { connection: x, table: a }, target: { connection: y, on_conflict: none } } }').plan;
    expect(canonicalPlan(short)).toBe(canonicalPlan(long));
    expect(canonicalPlan(short)).not.toBe(canonicalPlan({ ...short, on_abort: 'undo' }));
  });
  test('is JSON that reads back', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))));
    expect(canonicalJson({ b: [2, 1], a: undefined, A: null })).toBe('{"A":null,"b":[2,1]}');
  });
});

const table = (name: string, more: Partial<InventoryTable> = {}): InventoryTable => ({
  schema: 'public', name, rowsEstimate: 1_234_567, bytes: 45_600_000, columns: [{ name: 'id', type: 'bigint', nullable: false }], key: ['id'], foreignKeys: [], problems: [], ...more,
});
const fk = (refTable: string, refSchema = 'public') => ({ columns: [`${refTable}_id`], refSchema, refTable });

describe('proposed plan', () => {
  test('is short, and says where a person must decide', () => {
    const text = proposePlan({ migration: 'shop', source: 'legacy_db', target: 'new_db', tables: [
      table('users', { columns: [{ name: 'id', type: 'int', nullable: false }, { name: 'email', type: 'text', nullable: true }, { name: 'postal_code', type: 'text', nullable: true }], foreignKeys: [fk('users')] }),
      table('orders', { foreignKeys: [fk('users'), fk('elsewhere')] }),
      table('items', { foreignKeys: [fk('users'), fk('orders')] }),
      table('log', { schema: 'audit', key: null, problems: ['column `pos` has type point,\nwhich has no order'] }),
    ] });
    expect(text).toBe(`# Proposed by \`caravan init\` from legacy_db: 4 tables, about 4,938,268 rows, 182 MB.
# Lines marked DECIDE need a person. Next: \`caravan check\` this file with --connect, then \`caravan run\`.
migration: shop
schema: create    # DECIDE: makes the target tables like the source's; \`given\` if they are there already
datasets:
  users:    # about 1,234,567 rows, 45.6 MB
    source: { connection: legacy_db }
    target: { connection: new_db }
    pii: [email, postal_code]    # DECIDE: chosen by name; these are masked wherever they are shown
  orders:    # about 1,234,567 rows, 45.6 MB
    source: { connection: legacy_db }
    target: { connection: new_db }
    after: [users]
  items:    # about 1,234,567 rows, 45.6 MB
    source: { connection: legacy_db }
    target: { connection: new_db }
    after: [orders]
  log:    # about 1,234,567 rows, 45.6 MB
    # DECIDE: column \`pos\` has type point, which has no order
    # DECIDE: no key, so it loads in one piece and starts again from zero when interrupted; a primary key would make it resumable
    source: { connection: legacy_db, table: audit.log }
    target: { connection: new_db, table: audit.log }
# DECIDE: what must hold for the business, on both sides. For example:
# checks:
#   business_rules:
#     totals_match: SELECT sum(total) FROM orders
# DECIDE: who is told when the run blocks. The address goes in CARAVAN_WEBHOOK_OPS:
# alerts: { notify: { webhook: ops } }
`);
    expect(Object.keys(parsePlan(text).plan.datasets)).toEqual(['users', 'orders', 'items', 'log']);
  });

  test('switches on what the source has beside tables, and names what the target will not get', () => {
    const text = proposePlan({
      migration: 'shop', source: 'legacy_db', target: 'new_db', tables: [table('users')], objects: { views: 2, triggers: 0, policies: 1 },
      leftOut: [{ what: 'function', name: 'public.low()', reason: 'it is written in C' }, { what: 'function', name: 'public.hi\nthere()', reason: 'it is written in C' }],
    });
    expect(parsePlan(text).plan.schema_objects).toMatchObject({ views: true, policies: true, triggers: false, owners: false, grants: false });
    expect(text).toContain('#   function: it is written in C\n#     public.low()\n#     public.hi there()\n');
  });

  test('parses whatever the tables are called and however they refer to each other', () => {
    const name = fc.oneof(fc.string({ minLength: 1, maxLength: 70, unit: 'grapheme' }), fc.constantFrom('true', 'null', 'on', '1a', 'a.b', 'a"b', 'Straße', '__proto__', 'constructor', 'x\ny', '#x', 'ungrouped')).filter((text) => !text.includes('\0'));
    const tables = fc.uniqueArray(fc.tuple(fc.constantFrom('public', 'crm', 'my schema'), name, name), { minLength: 1, maxLength: 8, selector: ([schema, table_]) => `${schema}\n${table_}` });
    fc.assert(fc.property(tables, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }), (named, refs) => {
      const inventory = named.map(([schema, tableName, column]) => table(tableName, { schema, key: null, columns: [{ name: `email_${column}`.slice(0, 63), type: 'text', nullable: true }], problems: [column] }));
      for (const [from, to] of refs) {
        const parent = inventory[to % inventory.length];
        if (parent) inventory[from % inventory.length]?.foreignKeys.push(fk(parent.name, parent.schema));
      }
      const { plan } = parsePlan(proposePlan({ migration: named[0]?.[1] ?? '', source: 'legacy', target: 'new', tables: inventory }), { transforms: builtinTransforms });
      expect(Object.keys(plan.datasets)).toHaveLength(inventory.length);
      expect(orderDatasets(plan)).toHaveLength(inventory.length);
    }), { numRuns: 300 });
  });

  test('an empty source is told as such', () => {
    expect(() => proposePlan({ migration: 'm', source: 'legacy_db', target: 'x', tables: [] })).toThrow('legacy_db holds no table that this user can see.');
  });
});

describe('generated documents', () => {
  test('the JSON schema gives units as patterns and refuses unknown keys', () => {
    const schema = planJsonSchema();
    const memory = schema.properties?.['batch']?.properties?.['memory_limit'];
    expect(memory).toMatchObject({ type: 'string', default: '2GB' });
    expect(new RegExp(memory?.pattern ?? '').test('512MB')).toBe(true);
    expect(new RegExp(memory?.pattern ?? '').test('512 megs')).toBe(false);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.required).toEqual(['migration', 'datasets']);
    expect(schema.properties?.['downtime_tolerance']?.pattern).toContain('ms|s|m|h|d');
  });

  test('the reference explains every key and every transform', () => {
    const text = planReference(builtinTransforms, [{ name: 'required', help: 'Not NULL.' }]);
    for (const name of Object.keys(builtinTransforms)) expect(text).toContain(`### \`${name}\``);
    const rows = text.split('## Transforms')[0]?.split('\n').filter((line) => /^\| `/.test(line)) ?? [];
    expect(rows.length).toBeGreaterThan(80);
    expect(rows.filter((line) => /\|\s*\|$/.test(line))).toEqual([]);
    expect(text).toContain('- `required`: Not NULL.');
  });
});

import { isMigrationError } from '../../migration/errors';
import { inspectPlan, parsePlan } from '../../migration/plan/parse';
import { hasNotInSubquery, relationsOfStatement, watermarkColumn } from '../../migration/plan/sql-text';
import { columnNames, fieldMappings, piiColumns } from '../../migration/plan/transformations';
import { builtinTransforms } from '../../migration/transform';

type Json = Record<string, unknown>;

const dataset = (more: Json = {}, source: Json = {}, target: Json = {}): Json => ({ source: { connection: 'old', ...source }, target: { connection: 'new', ...target }, ...more });
const plan = (datasets: Json, more: Json = {}): Json => ({ migration: 'm', datasets, ...more });

/** Errors of a plan, one line each. */
function errors(value: object): string[] {
  return inspectPlan(value, { transforms: builtinTransforms }).problems
    .filter((problem) => problem.severity === 'error')
    .map(({ place, message, remedy }) => `${place}: ${message}${remedy ? ` | ${remedy}` : ''}`);
}
function warnings(value: object): string[] {
  return inspectPlan(value, { transforms: builtinTransforms }).problems.filter((problem) => problem.severity === 'warning').map(({ place, message }) => `${place}: ${message}`);
}

describe('datasets', () => {
  test.each(['trickle', 'parallel_run'])('the approach %s is refused by name and code', (approach) => {
    try {
      parsePlan(plan({ a: dataset() }, { approach }));
      throw new Error('accepted');
    } catch (error) {
      expect(isMigrationError(error) && error.code).toBe('APPROACH_NOT_BUILT');
      expect((error as Error).message).toBe(`The plan has a problem:\n  approach: \`${approach}\` is not built yet; use phased or big_bang.`);
    }
  });

  test('an undo on abort is refused rather than ignored', () => {
    expect(errors(plan({ a: dataset() }, { on_abort: 'undo' }))).toEqual(['on_abort: `undo` is not built yet | Say `on_abort: keep`: an abort stops after the current commit, and the rows stay']);
  });

  test('circles are named', () => {
    expect(errors(plan({ a: dataset({ after: ['c'] }), b: dataset({ after: ['a'] }), c: dataset({ after: ['b'] }) }))).toEqual([
      'datasets.a.after: datasets wait for each other: a -> c -> b -> a | Take one `after` out of the circle',
    ]);
    expect(errors(plan({ a: dataset({ after: ['a'] }) }))).toEqual(['datasets.a.after: datasets wait for each other: a -> a | Take one `after` out of the circle']);
    const crossed = { a: dataset({ group: 'x', after: ['b'] }), b: dataset({ group: 'y' }), c: dataset({ group: 'y', after: ['d'] }), d: dataset({ group: 'x' }) };
    expect(errors(plan(crossed, { approach: 'phased', groups: { x: {}, y: {} } }))).toEqual([
      'groups.y: groups wait for each other: group y -> group x -> group y | Groups run one after the other: move a dataset to another group, or take out one `after`',
    ]);
  });

  test('names that lead nowhere', () => {
    expect(errors(plan({ users: dataset(), orders: dataset({ after: ['user'], group: 'frist', validation: { references: { user_id: 'usrs.id' } } }) }, { approach: 'phased', groups: { first: { after: ['zero'] } } }))).toEqual([
      'datasets.orders.after[0]: there is no dataset `user` | Did you mean `users`?',
      'datasets.orders.group: there is no group `frist` | Did you mean `first`?',
      'datasets.orders.validation.references.user_id: there is no dataset `usrs` | Did you mean `users`?',
      'groups.first.after[0]: there is no group `zero`',
    ]);
  });

  test('selection and conflict', () => {
    expect(errors(plan({ a: dataset({}, { table: 't', query: 'SELECT 1' }) }))).toEqual(['datasets.a.source: has `table` and `query` | Keep one of them: they say what moves']);
    expect(errors(plan({ a: dataset({}, { query: 'SELECT * FROM t' }, { on_conflict: 'update' }) }))).toEqual([
      'datasets.a.target.on_conflict: `update` needs a key, and a query brings none | Add `key: [columns]` to the source (unique and NOT NULL), or use a table',
    ]);
    expect(errors(plan({ a: dataset({}, { query: 'SELECT * FROM t', key: ['id'] }, { on_conflict: 'update' }) }))).toEqual([]);
    expect(errors(plan({ a: dataset({}, { query: 'DELETE FROM t' }) }))[0]).toContain('is not a query');
    expect(errors(plan({ a: dataset({}, { query: 'SELECT 1' }) }, { schema: 'create' }))[0]).toContain('has no table definition to create the target from');
    expect(errors(plan({ a: dataset({}, { table: 't' }), b: dataset({}, {}, { table: 'public.a' }) }))[0]).toContain('datasets.b.target: `a` fills the same table');
    expect(errors(plan({ a: dataset({}, {}, { connection: 'old' }) }))[0]).toContain('source and target are the same table, `a` in `old`');
  });

  test('a pattern that is no RE2 expression', () => {
    expect(errors(plan({ a: dataset({ validation: { pattern: { code: '(?=x)', name: '[A-Z]+' } } }) }))).toEqual([
      expect.stringMatching(/^datasets\.a\.validation\.pattern\.code: is no regular expression in RE2 syntax: .* \| Look-around/),
    ]);
  });

  test('groups belong to phased', () => {
    expect(errors(plan({ a: dataset({ group: 'g' }) }, { groups: { g: {} } }))).toEqual([
      'groups: belongs to the phased approach; big_bang moves everything as one | Say `approach: phased`, or take the groups out (`gates` also work in big_bang)',
    ]);
    expect(warnings(plan({ a: dataset({ group: 'g' }) }, { approach: 'phased', gates: ['go'], groups: { g: { gate: 'go' }, h: { gate: 'later' } } }))).toEqual(expect.arrayContaining([
      'groups.g.gate: `go` also stands in `gates`: it is approved before production, so the group opens at once',
      'groups.h: no dataset is in this group',
    ]));
  });
});

describe('bare watermarks', () => {
  test('are refused with the remedy, unless a person says why', () => {
    expect(errors(plan({ a: dataset({}, { where: "updated_at > '2026-01-01'" }) }))).toEqual([
      'datasets.a.source.where: takes rows after a mark in `updated_at`; that misses rows committed late, updates that skip the column, and deletes | Leave the condition out: a repeat run finds what changed by comparing rows. If it is a fixed scope, say why: `accept_missed_rows: only orders since 2020 move`',
    ]);
    expect(errors(plan({ a: dataset({}, { where: "updated_at > '2026-01-01'", accept_missed_rows: 'history is archived' }) }))).toEqual([]);
  });

  test.each([
    "updated_at > '2026-01-01'", 'id > 1000', "o.modified >= timestamp '2026-01-01'", "'2026-01-01' < \"last_modified\"", "created_on >= date '2020-01-01'",
    'deleted = false AND updated > now() - interval \'1 day\'', 'row_version > 17', "last_update between '2026-01-01' and '2026-02-01'", "/* x */ mtime>'2026'", '1000 < t.id',
    "modified_date >= DATE '2026-01-01'",
  ])('found: %s', (sql) => expect(watermarkColumn(sql)).toBeDefined());

  test.each([
    'migrated = false', "name = 'updated_at > 5'", 'total > 100', 'id = 7', 'updated_at > created_at', 'id < 1000', "-- updated_at > '2026'\n true", 'created_at IS NOT NULL',
    "status = 'id > 1'", 'user_id > 5', 'price >= 10',
  ])('not found: %s', (sql) => expect(watermarkColumn(sql)).toBeUndefined());
});

describe('what a statement touches', () => {
  const of = (sql: string): string[] => relationsOfStatement(sql).map(({ schema, name, rights }) => `${rights.join('+')} ${schema}.${name}`);
  test.each([
    [`UPDATE "My Router" SET active = 'new' WHERE app = 'from x'`, ['SELECT+UPDATE public.My Router']],
    [`INSERT INTO ops.router AS r (app, active) VALUES ('shop', 'new') ON CONFLICT (app) DO UPDATE SET active = 'new'`, ['INSERT+SELECT+UPDATE ops.router']],
    ['INSERT INTO router VALUES (1)', ['INSERT public.router']],
    [`DELETE FROM ONLY ops.legacy; UPDATE ops.flags SET on_new = true`, ['SELECT+DELETE ops.legacy', 'SELECT+UPDATE ops.flags']],
    ['WITH last AS (SELECT max(id) AS id FROM moves) SELECT m.side FROM last JOIN moves m USING (id) FOR UPDATE', ['SELECT public.moves', 'SELECT public.moves']],
    ['SELECT * FROM generate_series(1, 2) -- FROM nowhere', []],
    ['SELECT a IS DISTINCT FROM b FROM (SELECT 1 AS a, 2 AS b) x', []],
  ])('%s', (sql, touched) => expect(of(sql)).toEqual(touched));
});

describe('checks', () => {
  test('NOT IN (subquery) is an error, in any spelling', () => {
    expect(errors(plan({ a: dataset() }, { checks: { integrity: { orphans: { source: 'SELECT count(*) FROM o WHERE user_id NOT IN (SELECT id FROM u)' } } } }))).toEqual([
      'checks.integrity.orphans.source: `NOT IN (SELECT ...)` passes falsely as soon as the subquery gives one NULL | Use NOT EXISTS (SELECT FROM ... WHERE ...)',
    ]);
  });
  test.each(['x NOT IN (SELECT 1)', 'x not\n in ( ( select 1))', 'NOT x IN (SELECT 1)', 'NOT (o.x IN (WITH a AS (SELECT 1) SELECT * FROM a))', 'x <> ALL (SELECT 1)', 'x NOT/**/IN(SELECT 1)'])('found: %s', (sql) => expect(hasNotInSubquery(sql)).toBe(true));
  test.each(['x NOT IN (1, 2)', 'x IN (SELECT 1)', "'NOT IN (SELECT 1)'", '-- NOT IN (SELECT 1)', 'NOT EXISTS (SELECT 1)', '$$x NOT IN (SELECT 1)$$', 'x = 1 AND y IN (SELECT 1)'])('not found: %s', (sql) => expect(hasNotInSubquery(sql)).toBe(false));

  test('say where they run when there are several systems', () => {
    const two = { a: dataset(), b: { source: { connection: 'old2' }, target: { connection: 'new2' } } };
    expect(errors(plan(two, { checks: { business_rules: { totals: 'SELECT 1' } } }))).toEqual([
      'control: is needed, because the plan has several targets: new, new2 | Name the PostgreSQL connection that keeps the run\'s own records, such as `control: caravan_db`',
      'checks.business_rules.totals.source_connection: is needed, because the plan has several sources: old, old2 | Say which one runs `source`',
      'checks.business_rules.totals.target_connection: is needed, because the plan has several targets: new, new2 | Say which one runs `target`',
    ]);
    expect(errors(plan(two, { control: 'ctl', checks: { business_rules: { totals: { source: 'SELECT 1', target: 'SELECT 1', source_connection: 'olf', target_connection: 'new' } } } }))).toEqual([
      'checks.business_rules.totals.source_connection: no dataset has `olf` as its source | Did you mean `old`?',
    ]);
  });

  test('need SQL that reads', () => {
    expect(errors(plan({ a: dataset() }, { checks: { integrity: { a: {}, b: { target: 'DELETE FROM t' } }, business_rules: { c: { source: 'SELECT 1' } } } }))).toEqual([
      'checks.integrity.a: has no SQL | Add `source` and `target`, or write the SQL as plain text when it suits both sides',
      'checks.integrity.b.target: is not a query | A check only reads: start it with SELECT or WITH',
      'checks.business_rules.c: compares the two sides, but only `source` has SQL | Add the other side, or write the SQL as plain text when it suits both',
    ]);
  });
});

describe('transformations', () => {
  const judged = (...transformations: Json[]): string[] => errors(plan({ a: dataset({ transformations }) }));

  test('are normalised', () => {
    const parsed = parsePlan(plan({ a: dataset({ transformations: [
      { old_field: 'username', new_field: 'user_name' }, { old_field: 'legacy_flag', transform: 'drop' }, { new_field: 'origin', transform: 'constant', value: 'legacy' },
      { old_fields: ['first', 'last'], new_field: 'full_name', transform: ['concat', { name: 'upper' }] }, { old_field: 'place', new_fields: ['city', 'country'], transform: 'split', separator: ',' },
      { old_field: 'code', transform: 'trim' },
    ] }) }), { transforms: builtinTransforms }).plan;
    const mappings = fieldMappings(parsed.datasets['a'] ?? { transformations: [] }, builtinTransforms);
    expect(mappings.map(({ inputs, outputs, steps }) => [inputs, outputs, steps.map((step) => step.transform)])).toEqual([
      [['username'], ['user_name'], []], [['legacy_flag'], [], []], [[], ['origin'], ['constant']],
      [['first', 'last'], ['full_name'], ['concat', 'upper']], [['place'], ['city', 'country'], ['split']], [['code'], ['code'], ['trim']],
    ]);
    expect(mappings[4]?.steps[0]?.params).toEqual({ separator: ',', rest: 'last', missing: 'null', trim: false });
    expect(columnNames(mappings).moved).toEqual(new Map([['username', ['user_name']], ['legacy_flag', []], ['first', ['full_name']], ['last', ['full_name']], ['place', ['city', 'country']]]));
    expect(piiColumns(['last'], mappings)).toEqual({ source: new Set(['last', 'first']), target: new Set(['last', 'full_name']) });
  });

  test.each<[string, Json[], string[]]>([
    ['a parameter that does not exist', [{ old_field: 'a', new_fields: ['b', 'c'], transform: 'split', seperator: ',' }], ['datasets.a.transformations[0].seperator: unknown parameter `seperator` of `split` | Did you mean `separator`?']],
    ['a parameter of none', [{ old_field: 'a', transform: 'upper', locale: 'de' }], ['datasets.a.transformations[0].locale: unknown parameter `locale` of `upper` | `upper` takes no parameters']],
    ['a parameter of the wrong type', [{ old_field: 'a', new_field: 'b', transform: 'to_timestamp', zone: 7 }], ['datasets.a.transformations[0].zone: `to_timestamp` refuses `zone`: must be text, not a number | zone: Zone of values that name none: `UTC`, an offset such as `+02:00`, or an IANA name.']],
    ['a parameter that is needed', [{ old_field: 'a', transform: 'map_values' }], ['datasets.a.transformations[0].transform: `map_values` needs `values` | values: `old: new`, by the text of the old value.']],
    ['a misspelt key', [{ old_feild: 'a', new_field: 'b' }], ['datasets.a.transformations[0].old_feild: unknown key `old_feild` | Did you mean `old_field`?']],
    ['a misspelt key beside a transform', [{ old_field: 'a', new_feild: 'b', transform: 'trim' }], ['datasets.a.transformations[0].new_feild: unknown parameter `new_feild` of `trim` | Did you mean `new_field`?']],
    ['parameters beside several steps', [{ old_field: 'a', transform: ['trim', 'to_timestamp'], zone: 'UTC' }], ['datasets.a.transformations[0].zone: unknown key `zone` | With several steps, a parameter stands in its step: { name: trim, zone: ... }']],
    ['two that fill one column', [{ old_field: 'a', new_field: 'x' }, { old_field: 'b', new_field: 'x' }], ['datasets.a.transformations[1]: fills `x`, which transformations[0] fills already | Give one of them another `new_field`']],
    ['no source', [{ new_field: 'x', transform: 'trim' }], ['datasets.a.transformations[0]: names no source column | Add `old_field` (or `transform: constant` with a `value`)']],
    ['a constant that reads', [{ old_field: 'a', new_field: 'x', transform: 'constant', value: 1 }], ['datasets.a.transformations[0]: `constant` reads no column | Take out `old_field`; `new_field` names the column it fills']],
    ['a drop that fills', [{ old_field: 'a', new_field: 'x', transform: 'drop' }], ['datasets.a.transformations[0]: `drop` fills no column, but `x` is named as new | Take out `new_field`']],
    ['too many inputs', [{ old_fields: ['a', 'b'], new_field: 'x', transform: 'trim' }], ['datasets.a.transformations[0]: `trim` reads one column, not 2 | Use `old_field`, or a transform that joins columns first (concat)']],
    ['too many outputs', [{ old_field: 'a', new_fields: ['x', 'y'], transform: 'trim' }], ['datasets.a.transformations[0]: `trim` fills one column, not 2 | Use `new_field`, or a transform that gives several columns (split)']],
    ['no output', [{ old_fields: ['a', 'b'], transform: 'concat' }], ['datasets.a.transformations[0]: does not say which column `concat` fills | Add `new_field`']],
    ['a step after several values', [{ old_field: 'a', new_field: 'x', transform: ['split', 'trim'] }], ['datasets.a.transformations[0]: `split` gives several values, but `trim` after it takes one | Put `split` last']],
  ])('%s', (_, transformations, expected) => expect(judged(...transformations)).toEqual(expected));

  test('rules speak of target columns', () => {
    const transformations = [{ old_field: 'username', new_field: 'user_name' }, { old_field: 'flag', transform: 'drop' }, { old_field: 'created', new_field: 'created_at' }];
    expect(errors(plan({ a: dataset({ transformations, validation: { required: ['username', 'flag', 'id'] }, accept: ['created'] }), b: dataset({ validation: { references: { name: 'a.username' } } }) }))).toEqual([
      'datasets.a.validation.required[0]: `username` is the source\'s name, and the rule `required` judges target columns | Write `user_name`',
      'datasets.a.validation.required[1]: `flag` is dropped by a transformation, and the rule `required` judges target columns | Take it out here',
      'datasets.a.accept[0]: `created` is the source\'s name, and `accept` names target columns | Write `created_at`',
      'datasets.b.validation.references.name: `username` is not a target column of `a` | It is called `user_name` there',
    ]);
    expect(warnings(plan({ a: dataset({ transformations, pii: ['user_nmae', 'username', 'email'], validation: { required: ['creatd_at'] } }) }))).toEqual(expect.arrayContaining([
      'datasets.a.pii[0]: masks a column `user_nmae` that no transformation names',
      'datasets.a.validation.required[0]: no transformation makes a column `creatd_at`',
    ]));
  });
});

import { parsePlan } from '../../migration/plan/parse';
import { renderRunbook, validationQueries } from '../../scripts/report/runbook';

const dataset = (source: object = {}, more: object = {}) => ({ source: { connection: 'old_db', ...source }, target: { connection: 'new_db' }, ...more });
const { plan: simple } = parsePlan({ migration: 'simple', project: 'A small one', datasets: { t: dataset() } });
const { plan: whole } = parsePlan({
  migration: 'm', downtime_tolerance: '15m', window: { start: '2030-01-01T22:00Z', abort_by: '2030-01-02T04:00Z' }, sign_off: ['data_owner'], roles: { technical_lead: { people: ['Ann'] } },
  gates: ['go', { gate: 'team_briefed', role: 'technical_lead', before: 'switch' }, { gate: 'try_it', before: 'test' }], backup: {}, rehearsal: {}, cutover: { switch: [{ name: 'app', command: 'app' }], monitor: { on_fail: 'rollback' } },
  checks: { business_rules: { totals: 'SELECT sum(total) FROM t' } },
  datasets: { t: dataset({ table: 'Sales.Order Lines', where: 'year > 2020' }, { validation: { required: ['id'], unique: [['Kind', 'n']] } }), q: dataset({ query: 'SELECT 1 AS id', key: ['id'] }) },
});

test('a plan of the simple kind gets a runbook without what it does not have', () => {
  const text = renderRunbook(simple, 'simple');
  expect(text).toMatch(/^# Runbook: A small one\n\nMade by Caravan/);
  expect(text).not.toMatch(/undefined|null|NaN|<%|\n{3}|Cutover begins/);
  expect(text).toContain('the plan has no `backup`: do it by hand');
});

test('everything the plan asks for stands in its order, with who may approve it', () => {
  const text = renderRunbook(whole, 'm');
  expect(text).not.toMatch(/undefined|null|NaN|<%|\n{3}/);
  const marks = ['`try_it`: anyone', '`go`: anyone', '**Test migration**', '**Cutover begins**', '**Rows move**: q, t', '**Approval of the switch**: `team_briefed` (role `technical_lead` (Ann))', '`app` goes over', 'an immediate rollback starts by itself', 'read-only for 15 minutes or at 2030-01-02T04:00:00.000Z', '`data_owner`: role `data_owner`. `npx caravan approve m data_owner --by "NAME" --role data_owner`'];
  const places = marks.map((mark) => text.indexOf(mark));
  expect(places.filter((place) => place < 0)).toEqual([]);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

test('the queries name tables and columns as SQL wants them', () => {
  expect(validationQueries(whole).map(({ dataset: name, queries }) => [name, queries.map(({ connection, sql }) => `${connection}: ${sql}`).filter((sql) => !sql.includes('quarantine'))])).toEqual([
    ['q', ['old_db: SELECT count(*) FROM (SELECT 1 AS id) AS rows;', 'new_db: SELECT count(*) FROM q;']],
    ['t', [
      'old_db: SELECT count(*) FROM "Sales"."Order Lines" WHERE year > 2020;', 'new_db: SELECT count(*) FROM t;',
      'new_db: SELECT count(*) FILTER (WHERE id IS NULL) AS no_id FROM t;', 'new_db: SELECT "Kind", n, count(*) FROM t GROUP BY "Kind", n HAVING count(*) > 1 LIMIT 10;',
    ]],
    ['checks of the plan', ['old_db: SELECT sum(total) FROM t;', 'new_db: SELECT sum(total) FROM t;']],
  ]);
});

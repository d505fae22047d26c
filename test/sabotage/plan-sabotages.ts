import type { Sabotage } from './planting';

const LEASE = 'activities/stores/lease.ts';
const NEW_GENERATION = 'activities/new-generation.ts';
const TABLES = 'activities/connectors/postgres/table-queries.ts';
const CARRIED = 'activities/connectors/postgres/carried-objects';
const AMEND = 'test/e2e/amend.test.ts';
const OBJECTS = 'test/e2e/schema-objects.test.ts';
const TORTURE = 'test/e2e/schema-torture.test.ts';
const ALL_OF_IT = 'carries a schema with one of everything';

/** Of leases and amendments, of what schemas hold beside rows, of rights, and of what people are told. */
export const PLAN_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'two runs of one migration at the same time',
    edits: [{ file: LEASE, find: '  if (state === \'running\') {', replace: '  if (state === \'running\' && row.lease < 0) {' }],
    suite: 'test/e2e/control-lease.test.ts', test: 'two admissions at the same moment',
  },
  {
    name: 'another database behind a connection is not noticed',
    edits: [{ file: 'activities/run-context.ts', find: 'if (!system || sameIdentity(admitted, await system.identity())) return;', replace: 'if (!system || sameIdentity(admitted, admitted)) return;' }],
    suite: 'test/e2e/control-admission.test.ts', test: 'another database behind a connection is noticed',
  },
  {
    name: 'an amended plan leaves the former copy its epoch',
    edits: [{ file: 'activities/amend-plan.ts', find: 'SET epoch = epoch + 1 WHERE', replace: 'SET epoch = epoch WHERE' }],
    suite: AMEND, test: 'in the middle of a copy: the old one is fenced off',
  },
  {
    name: 'a migration is complete though an amendment is open',
    edits: [{ file: LEASE, find: ' && !(await isAmendmentOpen(client, migration))', replace: ' && isAmendmentOpen !== undefined' }],
    suite: AMEND, test: 'after the end: only the changed dataset is copied again',
  },
  {
    name: 'a new generation keeps the commits of the old one',
    edits: [{ file: NEW_GENERATION, find: `['quarantine', 'commit', 'split',`, replace: `['quarantine', 'split',` }],
    suite: AMEND, test: 'in the middle of a copy: the old one is fenced off',
  },
  {
    name: 'a new generation deletes rows that others added',
    edits: [{ file: NEW_GENERATION, find: 'if (others <= 0) return;', replace: 'if (others <= 1e9) return;' }],
    suite: AMEND, test: 'rows that others added stay, and block',
  },
  {
    name: 'the second of two amendments undoes the first',
    edits: [{ file: 'activities/amend-plan.ts', find: 'if (row?.plan_hash !== formerHash) throw', replace: 'if (!row) throw' }],
    suite: AMEND, test: 'two people at once: the second is told to look again',
  },
  {
    name: 'what waits for the rows is made in any order',
    edits: [{ file: `${CARRIED}/make-objects.ts`, find: '  result.waiting.sort((a, b) => CARRIED_KINDS.indexOf(a.kind) - CARRIED_KINDS.indexOf(b.kind));', replace: '  void CARRIED_KINDS;' }],
    suite: OBJECTS, test: '',
  },
  {
    name: 'what is tried before the rows stays',
    edits: [{ file: `${CARRIED}/make-objects.ts`, find: 'return trial(target, () => finishObject(target, object), false);', replace: 'return trial(target, () => finishObject(target, object), true);' }],
    suite: OBJECTS, test: 'triggers and rules only after the rows',
  },
  {
    name: 'a view of a column that the plan drops is carried',
    edits: [{ file: `${CARRIED}/choose-objects.ts`, find: 'if (changed !== undefined) return', replace: `if (changed === '') return` }],
    suite: OBJECTS, test: 'what cannot come is named with the reason before anything moves',
  },
  {
    name: 'functions that a function calls stay behind',
    edits: [{ file: 'activities/connectors/postgres/dependency-closure.ts', find: 'lower(other.proname) = ANY (p.words)', replace: 'false' }],
    suite: TORTURE, test: ALL_OF_IT,
  },
  {
    name: 'deferrable foreign keys become immediate ones',
    edits: [{ file: TABLES, find: 'f.condeferrable AS deferrable', replace: 'false AS deferrable' }],
    suite: TORTURE, test: ALL_OF_IT,
  },
  {
    name: 'storage options of a constraint\'s index stay behind',
    edits: [{ file: TABLES, find: `'options', coalesce(to_json(x.reloptions), '[]'::json)`, replace: `'options', '[]'::json` }],
    suite: TORTURE, test: ALL_OF_IT,
  },
  {
    name: 'the ledger wants more rights than check --grants prints',
    edits: [{ file: 'activities/connectors/postgres/own-schema.ts', find: `IF pg_catalog.to_regnamespace('caravan') IS NULL THEN\n    CREATE SCHEMA caravan;`, replace: 'IF true THEN\n    CREATE SCHEMA IF NOT EXISTS caravan;' }],
    suite: 'test/e2e/least-privilege.test.ts', test: '',
  },
  {
    name: 'a message of the user\'s own function is repeated',
    edits: [{ file: 'activities/connectors/postgres/errors.ts', find: '  if (isFromFunction(error)) return', replace: '  if (false && isFromFunction(error)) return' }],
    suite: 'test/unit/connection-secrets.test.ts', test: 'an exception that poses as a missing right',
  },
  {
    name: 'the dashboard shows a blocked dataset as copying',
    edits: [{ file: 'migration/dashboard.ts', find: `  if (run.blocked.some((step) => step.dataset === dataset)) return 'blocked';\n`, replace: '' }],
    suite: 'test/unit/dashboard.test.ts', test: 'says of each dataset what holds it up',
  },
  {
    name: 'the report leaves out a step that a person skipped',
    edits: [{ file: 'scripts/report/shape.ts', find: 'skipped: data.skipped.map(', replace: 'skipped: data.skipped.slice(1).map(' }],
    suite: 'test/unit/terminal-report.test.ts', test: 'the page says what people decided and what was left out',
  },
];

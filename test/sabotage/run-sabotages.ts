import type { Sabotage } from './planting';

const BUNDLES = 'test/e2e/bundles.test.ts';
const PAGED = 'test/workflows/paged.test.ts';
const UNPROVED = 'test/e2e/unproved-rules.test.ts';
const UNPROVED_TEST = 'rows that break a check or a foreign key which the source has not proved are carried';
const UNDER_WAY = 'test/faults/changes-under-way.test.ts';
const SURROUNDINGS = 'test/e2e/target-surroundings.test.ts';

/** Of large plans, of what changes or stalls while a run is under way, and of what surrounds the tables. */
export const RUN_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'a bundle goes on though its run lost the lease',
    edits: [{ file: 'activities/bundle.ts', find: "return kind === 'transient' || code === 'LEASE_LOST' ||", replace: "return kind === 'transient' ||" }],
    suite: BUNDLES, test: 'a run that lost its lease moves nothing',
  },
  {
    name: 'a bundle proves what differs',
    edits: [{ file: 'activities/compare-bundle.ts', find: "verdict === 'failed')) failed", replace: "verdict === ('never' as string))) failed" }],
    suite: BUNDLES, test: 'what is equal is counted, what is not is left to steps of its own',
  },
  {
    name: 'a dataset that others wait for is bundled',
    edits: [{ file: 'migration/plan/work-pages.ts', find: 'if (awaited.has(name) || view.after', replace: 'if (view.after' }],
    suite: 'test/unit/work-pages.test.ts', test: 'what waits or is waited for',
  },
  {
    name: 'only the first page of a large plan is moved',
    edits: [{ file: 'workflows/production-migration.ts', find: '  if (!last) {', replace: '  if (!last && page < 0) {' }],
    suite: PAGED, test: 'moves page by page',
  },
  {
    name: 'a dataset left out of a bundle is proved as if it had moved',
    edits: [{ file: 'workflows/production-migration.ts', find: ': (outcome?.skipped ?? []);', replace: ': [];' }],
    suite: PAGED, test: 'gives a dataset that does not pass steps of its own',
  },
  {
    name: 'rules that the source has not proved hold during the load',
    edits: [{ file: 'activities/connectors/postgres/target-objects.ts', find: "AND k.contype = 'c' AND NOT k.convalidated AND", replace: "AND k.contype = 'c' AND false AND" }],
    suite: UNPROVED, test: UNPROVED_TEST,
  },
  {
    name: 'orphans under a foreign key that is not proved go to quarantine',
    edits: [{ file: 'activities/settle-references.ts', find: 'if (/ NOT (VALID|ENFORCED)$/.test(object.definition)) continue;', replace: '' }],
    suite: UNPROVED, test: UNPROVED_TEST,
  },
  {
    name: 'a check leaves its tables behind',
    edits: [{ file: 'activities/try-schema.ts', find: "await client.query('ROLLBACK');", replace: "await client.query('COMMIT');" }],
    suite: 'test/e2e/check-trial.test.ts', test: 'names what the target will not get, and leaves nothing behind',
  },
  {
    name: 'a sequence that no table uses begins again',
    edits: [{ file: 'activities/connectors/postgres/sequences.ts', find: 'const untouched = !own.isCalled && own.lastValue === own.start;', replace: 'const untouched = true;' }],
    suite: 'test/e2e/schema-objects.test.ts', test: 'types, aggregates and sequences that no table leans on come along',
  },
  {
    name: 'a statement that is only slow is cut off',
    edits: [{ file: 'activities/connectors/postgres/stall-watch.ts', find: "waiting === 'silence' || waiting.has(entry.pid)", replace: 'true' }],
    suite: 'test/faults/stalled-connections.test.ts', test: 'a statement that is silent because it takes long is left alone',
  },
  {
    name: 'a generation begins again on top of the old rows',
    edits: [{ file: 'activities/copy-generation.ts', find: '  await emptyTable(client, table);', replace: '' }],
    suite: 'test/faults/named-sites.test.ts', test: 'a generation begins again: its table is emptied',
  },
  {
    name: 'a column that came after the preparation is left behind',
    edits: [{ file: 'activities/open-dataset.ts', find: '  if (!known) await assertAsPrepared(context, mapping);', replace: '' }],
    suite: UNDER_WAY, test: 'a column of the source that changes between preparation and copy',
  },
  {
    name: 'another build goes on with the copy',
    edits: [{ file: 'activities/dataset-pipeline.ts', find: '  if (ledger) assertEngine(deps, input.dataset, ledger);', replace: '' }],
    suite: UNDER_WAY, test: 'another build of Caravan does not go on',
  },
  {
    name: 'triggers of partitions fire during the load',
    edits: [{ file: 'activities/connectors/postgres/target-rebuild.ts', find: "WHERE t.relkind = 'p') part", replace: "WHERE t.relkind = 'p' AND level = 0) part" }],
    suite: SURROUNDINGS, test: 'triggers of partitions sleep',
  },
  {
    name: 'rows that a rule swallowed count as written',
    edits: [{ file: 'activities/reconciliation/row-writer.ts', find: 'if (rowCount === rows.length) return;', replace: 'if (rowCount !== null) return;' }],
    suite: SURROUNDINGS, test: 'rules: a load passes them by',
  },
  {
    name: 'bytes that an encoding does not define become other characters',
    edits: [{ file: 'activities/connectors/postgres/database-text.ts', find: "return LOOSE + bytes.toString('latin1')", replace: "return bytes.toString('latin1')" }],
    suite: 'test/conformance/server-encodings.test.ts', test: 'text of a WIN1252 database into UTF8',
  },
  {
    name: 'errors leave an activity as they are',
    edits: [{ file: 'workers/errors-interceptor.ts', find: 'throw toFailure(error, context.info.activityType, context.cancellationSignal.aborted, log);', replace: 'throw error;' }],
    suite: 'test/unit/errors-interceptor.test.ts', test: '',
  },
];

import type { Sabotage } from './planting';

const MERGE = 'activities/connectors/postgres/merge.ts';
const STATES = 'test/e2e/target-states.test.ts';
/** Its tests build on each other: only all of them say something. */
const EVERY_STATE = 'every state that a target table may be in';

/** Of targets that hold rows of others, and of what is done to them when the copy has ended. */
export const TARGET_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'bare ON CONFLICT DO NOTHING in the merge',
    edits: [{ file: MERGE, find: 'ON CONFLICT (${columnList(key)}) DO NOTHING', replace: 'ON CONFLICT DO NOTHING' }],
    suite: STATES, test: 'a merged row that breaks another unique index',
  },
  {
    name: 'the last before-image wins instead of the first',
    edits: [{ file: MERGE, find: 'ON CONFLICT (migration, dataset, target_key) DO NOTHING)', replace: 'ON CONFLICT (migration, dataset, target_key) DO UPDATE SET image = excluded.image)' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'the first before-image of a row stays',
  },
  {
    name: 'a repair deletes rows of others',
    edits: [{ file: 'activities/reconciliation/repair.ts', find: "known.get(at) === 'inserted'", replace: 'known.has(at)' }],
    suite: STATES, test: EVERY_STATE,
  },
  {
    name: 'the pass over unique values takes rows of others for ours',
    edits: [{ file: 'activities/reconciliation/row-mover.ts', find: "if (sides.ledger.base === 'empty') return rows;", replace: 'if (sides.ledger.base !== null) return rows;' }],
    suite: STATES, test: 'the pass over unique values keeps rows of others',
  },
  {
    name: 'keys of rows among rows of others are looked up as they are spelled',
    edits: [{ file: 'activities/reconciliation/own-rows.ts', find: "`((k.key ->> ${part})::${sides.targetColumns[at]?.type ?? 'text'})::text`", replace: '`(k.key ->> ${part})${at < 0 ? sides.ctx.name : \'\'}`' }],
    suite: STATES, test: 'keys of every spelling are known again',
  },
  {
    name: 'the table of another migration is taken over',
    edits: [{ file: 'activities/open-dataset.ts', find: 'if (owner && (owner.migration !== ref.migration || owner.dataset !== name)) {', replace: 'if (owner && owner.migration === name) {' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'refuse, append, replace, and a table that belongs to another dataset',
  },
  {
    name: 'foreign keys of partitioned tables stay during the load',
    edits: [{ file: 'activities/connectors/postgres/target-objects.ts', find: `WHERE f.contype = 'f' AND f.conparentid = 0 AND (c.oid IN`, replace: `WHERE f.contype = 'f' AND f.conparentid = 0 AND c.relkind = 'r' AND (c.oid IN` }],
    suite: 'test/e2e/schema-torture.test.ts', test: 'carries a schema with one of everything',
  },
  {
    name: 'setval outside the fence',
    edits: [{ file: 'activities/close-dataset.ts', find: 'await underFence(ctx.target, held, (client) => advanceSequences(', replace: 'await ctx.target.transaction((client) => advanceSequences(' }],
    suite: 'test/faults/dataset-fence.test.ts', test: 'moves no sequence',
  },
  {
    name: 'sequences may go backward',
    edits: [{ file: 'activities/connectors/postgres/sequences.ts', find: 'positions.reduce((best, other) => (further(other, best, upward) ? other : best))', replace: 'positions.reduce((_, other) => other)' }],
    suite: 'test/e2e/schema-catalog.test.ts', test: 'sequences go only forward',
  },
  {
    name: 'whoever lost the fence of the dataset works on',
    edits: [{ file: 'activities/reconciliation/dataset-fence.ts', find: 'AND generation = $3 AND fence = $4 FOR UPDATE', replace: 'AND generation = $3 AND fence >= least($4, 0) FOR UPDATE' }],
    suite: 'test/e2e/quarantine.test.ts', test: 'whoever lost the dataset\'s fence changes nothing',
  },
  {
    name: 'the fence is taken of a dataset that others have taken back meanwhile',
    edits: [{ file: 'activities/reconciliation/dataset-fence.ts', find: 'AND state = ANY (coalesce($4::text[], ARRAY[state]))', replace: 'AND coalesce($4::text[], ARRAY[state]) IS NOT NULL' }],
    suite: 'test/faults/dataset-fence.test.ts', test: 'meanwhile',
  },
  {
    name: 'the fence is taken of a dataset that began again meanwhile',
    edits: [{ file: 'activities/reconciliation/dataset-fence.ts', find: 'AND generation = coalesce($3::int, generation)', replace: 'AND coalesce($3::int, generation) > 0' }],
    suite: 'test/faults/dataset-fence.test.ts', test: 'meanwhile',
  },
  {
    // Two guards stand here: the claim of the fence, and the second look under it.
    name: 'a worker that wakes up takes the indexes of a finished table away',
    edits: [
      { file: 'activities/take-again.ts', find: `generation: row.generation, states: ['open', 'copied'] }`, replace: 'generation: row.generation }' },
      { file: 'activities/take-again.ts', find: 'await takeAll(client, (await restoredOf(client, ctx)).objects);', replace: 'await takeAll(client, objects);' },
    ],
    suite: 'test/faults/named-sites.test.ts', test: 'a worker stalls before it takes the dataset, 2',
  },
  {
    name: 'the orphan pass is skipped',
    edits: [{ file: 'activities/settle-references.ts', find: '  await toFixpoint(settling, references, signal);', replace: '  void toFixpoint; void references;' }],
    suite: 'test/e2e/references.test.ts', test: '',
  },
  {
    name: 'orphans are moved once, not to a fixpoint',
    edits: [{ file: 'activities/settle-references.ts', find: 'held, signal)) > 0) moved = true;', replace: 'held, signal)) > 0) moved = false;' }],
    suite: 'test/e2e/references.test.ts', test: '',
  },
  {
    name: 'the unique pass is skipped',
    edits: [{ file: 'activities/close-dataset.ts', find: '    await withSource(sides, (source) => enforceAllUnique(source, sides, held, signal));', replace: '    void withSource; void enforceAllUnique;' }],
    suite: 'test/e2e/references.test.ts', test: 'of equal values the lowest source key stays',
  },
];

/** Bugs that lose, double or invent rows, each as a planted change. Most of them were real ones in systems of this field. */
export interface Sabotage {
  name: string;
  /** Snippets, each there exactly once in its file. */
  edits: { file: string; find: string; replace: string }[];
  /** The suite and the test (part of its full name) that must turn red. */
  suite: string;
  test: string;
}

const LEDGER = 'activities/stores/ledger.ts';
const SINK = 'activities/connectors/postgres/sink.ts';
const SOURCE = 'activities/connectors/postgres/source.ts';
const MERGE = 'activities/connectors/postgres/merge.ts';

export const SABOTAGES: readonly Sabotage[] = [
  {
    name: 'fence dropped from the guard of a commit',
    edits: [{ file: LEDGER, find: 'AND fence = $5 AND commit_no = $6 - 1', replace: 'AND fence >= least($5, 0) AND commit_no = $6 - 1' }],
    suite: 'test/faults/copy-faults.test.ts', test: 'a zombie between two commits',
  },
  {
    name: 'number of the former commit dropped from the guard',
    edits: [{ file: LEDGER, find: 'AND fence = $5 AND commit_no = $6 - 1', replace: 'AND fence = $5' }],
    suite: 'test/faults/copy-faults.test.ts', test: 'a zombie between two commits',
  },
  {
    name: 'generation and state dropped from the guard',
    edits: [{ file: LEDGER, find: `AND generation = $3 AND epoch = $4 AND state = 'open' FOR SHARE`, replace: `AND generation >= $3 AND epoch = $4 FOR SHARE` }],
    suite: 'test/faults/copy-faults.test.ts', test: 'a closed dataset refuses late writers',
  },
  {
    name: 'checkpoint written after the commit of its rows',
    edits: [
      { file: SINK, find: '      await recordCommit(client, options.id', replace: '      const record = () => recordCommit(client, options.id' },
      { file: SINK, find: `await client.query('COMMIT');\n      else if`, replace: `{ await client.query('COMMIT'); await record(); }\n      else if` },
    ],
    suite: 'test/faults/copy-faults.test.ts', test: 'the connection breaks around a COMMIT',
  },
  {
    name: 'acknowledged commit replayed: the cursor stays behind',
    edits: [{ file: LEDGER, find: 'cursor_key = coalesce($10, cursor_key)', replace: 'cursor_key = coalesce(cursor_key, $10)' }],
    suite: 'test/faults/copy-faults.test.ts', test: 'the connection breaks around a COMMIT',
  },
  {
    name: 'bare ON CONFLICT DO NOTHING in the merge',
    edits: [{ file: MERGE, find: 'ON CONFLICT (${columnList(key)}) DO NOTHING', replace: 'ON CONFLICT DO NOTHING' }],
    suite: 'test/e2e/target-states.test.ts', test: 'a merged row that breaks another unique index',
  },
  {
    name: 'a repair deletes rows of others',
    edits: [{ file: 'activities/reconciliation/repair.ts', find: "known.get(at) === 'inserted'", replace: 'known.has(at)' }],
    suite: 'test/e2e/target-states.test.ts', test: 'every state that a target table may be in',
  },
  {
    name: 'the pass over unique values takes rows of others for ours',
    edits: [{ file: 'activities/reconciliation/row-mover.ts', find: "if (sides.ledger.base === 'empty') return rows;", replace: "if (sides.ledger.base !== null) return rows;" }],
    suite: 'test/e2e/target-states.test.ts', test: 'the pass over unique values keeps rows of others',
  },
  {
    name: 'the last before-image wins instead of the first',
    edits: [{ file: MERGE, find: 'ON CONFLICT (migration, dataset, target_key) DO NOTHING)', replace: 'ON CONFLICT (migration, dataset, target_key) DO UPDATE SET image = excluded.image)' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'the first before-image of a row stays',
  },
  {
    name: 'composite key compared column by column',
    edits: [{ file: 'activities/connectors/postgres/declared-key.ts', find: `return \`(\${columnList(key)}) \${operator} (\${bound.map((text) => quoteLiteral(text)).join(', ')})\`;`, replace: `return key.map((name, at) => \`\${quoteIdent(name)} \${operator} \${quoteLiteral(bound[at] ?? '')}\`).join(' AND ');` }],
    suite: 'test/conformance/postgres-source.test.ts', test: 'splits cover every row once',
  },
  {
    name: 'upper bound of a split left out',
    edits: [{ file: SOURCE, find: 'if (key && bounds.upTo) conditions', replace: 'if (key && !key && bounds.upTo) conditions' }],
    suite: 'test/conformance/postgres-source.test.ts', test: 'splits cover every row once',
  },
  {
    name: 'cursor behind the cursor: >= instead of >',
    edits: [{ file: SOURCE, find: `keyComparison(key, '>', lower)`, replace: `keyComparison(key, '>=' as '>', lower)` }],
    suite: 'test/conformance/postgres-source.test.ts', test: 'splits cover every row once',
  },
  {
    name: 'a NULL hashed like an empty text',
    edits: [{ file: 'migration/canonical.ts', find: '    out.byte(TAG_NULL);\n    return;', replace: '    out.byte(TAG[kind]);\n    out.close(out.open());\n    return;' }],
    suite: 'test/e2e/reconciliation.test.ts', test: 'finds and repairs',
  },
  {
    name: 'digests added in 32 bits of each row only',
    edits: [{ file: 'activities/reconciliation/bucket-digests.ts', find: '    const carry = this.addWord(at + 2, w2, this.addWord(at + 1, w1, this.addWord(at, w0, 0)));\n    this.addWord(at + 3, w3, carry);', replace: '    this.addWord(at, (w0 & 0xffff) + 0 * (w1 + w2 + w3), 0);' }],
    suite: 'test/unit/reconciliation-digests.test.ts', test: '',
  },
  {
    name: 'orphans are not moved to quarantine',
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
  {
    name: 'refused rows leave the batch without going to quarantine',
    edits: [{ file: SINK, find: 'await insertQuarantine(client, options.id, unit.commitNo, options.sourceColumns, quarantine);', replace: 'await insertQuarantine(client, options.id, unit.commitNo, options.sourceColumns, unit.quarantine);' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'rows that constraints of the target refuse',
  },
  {
    name: 'counts are those that were sent, not those that arrived',
    edits: [{ file: SINK, find: 'if (taken === sent) return;', replace: 'if (taken <= sent) return;' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'a trigger that swallows a row ends the commit',
  },
  {
    name: 'a new generation keeps the rows of the old one',
    edits: [{ file: 'activities/copy-generation.ts', find: '  await emptyTable(client, table);', replace: '  void emptyTable; void table;' }],
    suite: 'test/e2e/copy.test.ts', test: 'a keyless table is a generation',
  },
  {
    name: 'deferred constraints fail at COMMIT only',
    edits: [{ file: SINK, find: `if (bisect || options.oneTransaction) await client.query('SET CONSTRAINTS ALL IMMEDIATE');`, replace: '' }],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'a deferred constraint fails at COMMIT',
  },
  {
    name: 'whoever lost the fence of the dataset works on',
    edits: [{ file: 'activities/reconciliation/dataset-fence.ts', find: 'AND generation = $3 AND fence = $4 FOR UPDATE', replace: 'AND generation = $3 AND fence >= least($4, 0) FOR UPDATE' }],
    suite: 'test/e2e/quarantine.test.ts', test: 'whoever lost the dataset\'s fence changes nothing',
  },
  {
    name: 'the comparison looks one way only: extra rows are not seen',
    edits: [{ file: 'activities/reconciliation/difference-finder.ts', find: `if (!same) return 'extra';`, replace: `if (!same) return 'equal';` }],
    suite: 'test/e2e/reconciliation.test.ts', test: 'finds and repairs',
  },
  {
    name: 'two runs of one migration at the same time',
    edits: [{ file: 'activities/stores/lease.ts', find: '  if (state === \'running\') {', replace: '  if (state === \'running\' && row.lease < 0) {' }],
    suite: 'test/e2e/control.test.ts', test: '',
  },
  {
    name: 'a key in another collation than its column is taken for one',
    edits: [{ file: 'activities/connectors/postgres/catalog.ts', find: '(l.oid IS NULL OR l.collisdeterministic OR k.collid = a.attcollation)', replace: 'true' }],
    suite: 'test/conformance/table-shapes.test.ts', test: 'other_collation: every row arrives, once',
  },
  {
    name: 'equal rows without a key are held as one',
    edits: [{ file: 'activities/reconciliation/difference-finder.ts', find: 'if (known) known.count += 1;', replace: 'if (known) known.count = 1;' }],
    suite: 'test/conformance/any-table.test.ts', test: 'a row that is there n times and m times is found',
  },
  {
    name: 'an amended plan leaves the former copy its epoch',
    edits: [{ file: 'activities/amend-plan.ts', find: 'SET epoch = epoch + 1 WHERE', replace: 'SET epoch = epoch WHERE' }],
    suite: 'test/e2e/amend.test.ts', test: 'in the middle of a copy: the old one is fenced off',
  },
  {
    name: 'a migration is complete though an amendment is open',
    edits: [{ file: 'activities/stores/lease.ts', find: ' && !(await isAmendmentOpen(client, migration))', replace: ' && isAmendmentOpen !== undefined' }],
    suite: 'test/e2e/amend.test.ts', test: 'after the end: only the changed dataset is copied again',
  },
  {
    name: 'a message of the user\'s own function is repeated',
    edits: [{ file: 'activities/connectors/postgres/errors.ts', find: '  if (isFromFunction(error)) return', replace: '  if (false && isFromFunction(error)) return' }],
    suite: 'test/unit/connection-secrets.test.ts', test: 'an exception that poses as a missing right',
  },
  {
    name: 'functions that a function calls stay behind',
    edits: [{ file: 'activities/connectors/postgres/dependency-closure.ts', find: 'lower(other.proname) = ANY (p.words)', replace: 'false' }],
    suite: 'test/e2e/schema-torture.test.ts', test: 'carries a schema with one of everything',
  },
];

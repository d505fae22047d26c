import type { Sabotage } from './planting';

const LEDGER = 'activities/stores/ledger.ts';
const SINK = 'activities/connectors/postgres/sink.ts';
const SOURCE = 'activities/connectors/postgres/source.ts';
const FAULTS = 'test/faults/copy-faults.test.ts';
const READING = 'test/conformance/postgres-source.test.ts';
const WRITING = 'test/conformance/postgres-sink.test.ts';

/** Of fences, commits, cursors and generations. */
export const COPY_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'fence dropped from the guard of a commit',
    edits: [{ file: LEDGER, find: 'AND fence = $5 AND commit_no = $6 - 1', replace: 'AND fence >= least($5, 0) AND commit_no = $6 - 1' }],
    suite: FAULTS, test: 'a zombie between two commits',
  },
  {
    name: 'number of the former commit dropped from the guard',
    edits: [{ file: LEDGER, find: 'AND fence = $5 AND commit_no = $6 - 1', replace: 'AND fence = $5' }],
    suite: FAULTS, test: 'a zombie between two commits',
  },
  {
    name: 'generation and state dropped from the guard',
    edits: [{ file: LEDGER, find: `AND generation = $3 AND epoch = $4 AND state = 'open' FOR SHARE`, replace: `AND generation >= $3 AND epoch = $4 FOR SHARE` }],
    suite: FAULTS, test: 'a closed dataset refuses late writers',
  },
  {
    name: 'checkpoint outside the transaction: written after the commit of its rows',
    edits: [
      { file: SINK, find: '      await recordCommit(client, options.id', replace: '      const record = () => recordCommit(client, options.id' },
      { file: SINK, find: `await client.query('COMMIT');\n      else if`, replace: `{ await client.query('COMMIT'); await record(); }\n      else if` },
    ],
    suite: FAULTS, test: 'the connection breaks around a COMMIT',
  },
  {
    name: 'acknowledgement lost, then replayed: the cursor stays behind its commit',
    edits: [{ file: LEDGER, find: 'cursor_key = coalesce($10, cursor_key)', replace: 'cursor_key = coalesce(cursor_key, $10)' }],
    suite: FAULTS, test: 'the connection breaks around a COMMIT',
  },
  {
    name: 'acknowledgement lost, then replayed: a commit that is stored is not looked up',
    edits: [{ file: SINK, find: 'if (unit.commitNo <= this.checkpoint.commitNo) {', replace: 'if (unit.commitNo < 0) {' }],
    suite: FAULTS, test: 'a zombie between two commits',
  },
  {
    name: 'composite key compared column by column, joined by AND',
    edits: [{ file: 'activities/connectors/postgres/declared-key.ts', find: `return \`(\${columnList(key)}) \${operator} (\${bound.map((text) => quoteLiteral(text)).join(', ')})\`;`, replace: `return key.map((name, at) => \`\${quoteIdent(name)} \${operator} \${quoteLiteral(bound[at] ?? '')}\`).join(' AND ');` }],
    suite: READING, test: 'k_composite: splits cover every row once',
  },
  {
    name: 'upper bound of a split left out',
    edits: [{ file: SOURCE, find: 'if (key && bounds.upTo) conditions', replace: 'if (key && !key && bounds.upTo) conditions' }],
    suite: READING, test: 'k_composite: splits cover every row once',
  },
  {
    name: 'cursor behind the cursor: >= instead of >',
    edits: [{ file: SOURCE, find: `keyComparison(key, '>', lower)`, replace: `keyComparison(key, '>=' as '>', lower)` }],
    suite: READING, test: 'k_composite: splits cover every row once',
  },
  {
    name: 'millisecond cursor',
    edits: [{ file: SOURCE, find: `fieldText(batch, row, at, request.columns) ?? '')`, replace: `(fieldText(batch, row, at, request.columns) ?? '').replace(/(\\.\\d{3})\\d+/, '$1'))` }],
    suite: READING, test: 'k_time: splits cover every row once',
  },
  {
    name: 'split bounds planned again on retry',
    edits: [{
      file: 'activities/open-dataset.ts', find: '    assertSame(deps, context, mapping, known);\n',
      replace: `    assertSame(deps, context, mapping, known);
    const again = await planBounds(context, mapping);
    await context.target.use(async (client) => {
      for (const [ordinal, { after, upTo }] of again.entries()) await client.query('UPDATE caravan.split SET after_key = $3, upto_key = $4 WHERE migration = $1 AND dataset = $2 AND ordinal = $5', [context.ref.migration, context.name, after, upTo, ordinal]);
    });\n`,
    }],
    suite: READING, test: 'bounds are frozen',
  },
  {
    name: 'refused rows leave the batch without going to quarantine',
    edits: [{ file: SINK, find: 'await insertQuarantine(client, options.id, unit.commitNo, options.sourceColumns, quarantine);', replace: 'await insertQuarantine(client, options.id, unit.commitNo, options.sourceColumns, unit.quarantine);' }],
    suite: WRITING, test: 'rows that constraints of the target refuse',
  },
  {
    name: 'counts are those that were sent, not those that arrived',
    edits: [{ file: SINK, find: 'if (taken === sent) return;', replace: 'if (taken <= sent) return;' }],
    suite: WRITING, test: 'a trigger that swallows a row ends the commit',
  },
  {
    name: 'deferred constraints fail at COMMIT only',
    edits: [{ file: SINK, find: `if (bisect || options.oneTransaction) await client.query('SET CONSTRAINTS ALL IMMEDIATE');`, replace: '' }],
    suite: WRITING, test: 'a deferred constraint fails at COMMIT',
  },
  {
    name: 'a new generation keeps the rows of the old one',
    edits: [{ file: 'activities/copy-generation.ts', find: '  await emptyTable(client, table);', replace: '  void emptyTable; void table;' }],
    suite: 'test/e2e/copy.test.ts', test: 'a keyless table is a generation',
  },
  {
    name: 'a key in another collation than its column is taken for one',
    edits: [{ file: 'activities/connectors/postgres/catalog.ts', find: '(l.oid IS NULL OR l.collisdeterministic OR k.collid = a.attcollation)', replace: 'true' }],
    suite: 'test/conformance/table-shapes.test.ts', test: 'other_collation: every row arrives, once',
  },
  {
    name: 'rows that row security hides are left behind in silence',
    edits: [{ file: 'activities/connectors/postgres/system.ts', find: ' SET row_security = off;', replace: '' }],
    suite: 'test/conformance/any-table.test.ts', test: 'rows hidden by row security are an error',
  },
  {
    name: 'columns that may not be read are left behind in silence',
    edits: [{ file: 'activities/dataset-mapping.ts', find: 'if (closed.length === 0) return;', replace: 'if (closed.length >= 0) return;' }],
    suite: 'test/conformance/any-table.test.ts', test: 'columns that may not be read are named with the remedy',
  },
];

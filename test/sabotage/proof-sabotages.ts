import type { Sabotage } from './planting';

const RECONCILIATION = 'test/e2e/reconciliation.test.ts';
const EDGES = 'test/unit/edge-types.test.ts';
const TYPES = 'test/conformance/types.test.ts';

/** Of the comparison of both sides, and of the forms that values travel in. */
export const PROOF_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'NULL placeholder in the hash: a NULL is hashed like an empty text',
    edits: [{ file: 'migration/canonical.ts', find: '    out.byte(TAG_NULL);\n    return;', replace: '    out.byte(TAG[kind]);\n    out.close(out.open());\n    return;' }],
    suite: RECONCILIATION, test: 'finds and repairs: NULL for empty',
  },
  {
    name: 'values are hashed without their lengths',
    edits: [{ file: 'migration/canonical.ts', find: '    this.view.setInt32(start - 4, this.length - start, true);', replace: '    this.view.setInt32(start - 4, 0, true);' }],
    suite: 'test/unit/canonical.test.ts', test: 'moving text between columns changes the hash of a row',
  },
  {
    name: 'digests added in 32 bits of each row only',
    edits: [{ file: 'activities/reconciliation/bucket-digests.ts', find: '    const carry = this.addWord(at + 2, w2, this.addWord(at + 1, w1, this.addWord(at, w0, 0)));\n    this.addWord(at + 3, w3, carry);', replace: '    this.addWord(at, (w0 & 0xffff) + 0 * (w1 + w2 + w3), 0);' }],
    suite: 'test/unit/reconciliation-digests.test.ts', test: '',
  },
  {
    name: 'blanks at the end of any text are taken for padding',
    edits: [{ file: 'activities/reconciliation/row-digest.ts', find: `column.kind === 'text' && /^(character\\(|character$|bpchar)/.test(typeBelow(column))`, replace: `column.kind === 'text'` }],
    suite: RECONCILIATION, test: 'finds and repairs: trailing blank',
  },
  {
    name: 'the comparison looks one way only: extra rows are not seen',
    edits: [{ file: 'activities/reconciliation/difference-finder.ts', find: `if (!same) return 'extra';`, replace: `if (!same) return 'equal';` }],
    suite: RECONCILIATION, test: 'finds and repairs: extra rows',
  },
  {
    name: 'equal rows without a key are held as one',
    edits: [{ file: 'activities/reconciliation/difference-finder.ts', find: 'if (known) known.count += 1;', replace: 'if (known) known.count = 1;' }],
    suite: 'test/conformance/any-table.test.ts', test: 'a row that is there n times and m times is found',
  },
  {
    name: 'digits of floats depend on the settings of the database',
    edits: [{ file: 'activities/connectors/postgres/system.ts', find: ` SET extra_float_digits = 3;`, replace: '' }],
    suite: TYPES, test: 'coded types arrive as values, exactly',
  },
  {
    name: 'the number of digits of a numeric is read with a sign',
    edits: [{ file: 'activities/connectors/postgres/numeric-codec.ts', find: 'const count = data.readUInt16BE(start);', replace: 'const count = data.readInt16BE(start);' }],
    suite: TYPES, test: 'coded types arrive decoded, exactly',
  },
  {
    name: 'bytes of an interval pass between servers that read them differently',
    edits: [{ file: 'activities/connectors/postgres/kinds.ts', find: 'return INTERVAL_TYPES.has(oid) && type.major < INTERVAL_INFINITY_MAJOR ? -oid : oid;', replace: 'void INTERVAL_TYPES; void INTERVAL_INFINITY_MAJOR; return oid;' }],
    suite: EDGES, test: 'an interval of a server that knows infinity',
  },
  {
    name: 'bytes that are no UTF-8 are replaced',
    edits: [{ file: 'activities/connectors/postgres/database-text.ts', find: 'String.fromCharCode(ESCAPE + bytes[at]!)', replace: 'REPLACEMENT' }],
    suite: EDGES, test: 'any bytes come back as they were',
  },
  {
    name: 'quarantine keeps a text that looks like stored bytes as it is',
    edits: [{ file: 'activities/connectors/postgres/database-text.ts', find: '(isWellFormed(text) && !text.startsWith(STORED_BYTES) && ', replace: '(isWellFormed(text) && ' }],
    suite: EDGES, test: 'what quarantine stores is always UTF-8, and means one text',
  },
  {
    name: 'the length of a name is counted in characters, not in bytes',
    edits: [{ file: 'migration/mapping-fit.ts', find: 'utf8Length(value) <= max', replace: 'codePoints(value) <= max' }],
    suite: EDGES, test: 'holds',
  },
  {
    name: 'a numeric that becomes one of fewer digits is not judged',
    edits: [{ file: 'migration/mapping-fit.ts', find: 'digits > to.whole || fraction > (to.fraction ?? 0)', replace: 'digits > to.whole && fraction > (to.fraction ?? 0)' }],
    suite: EDGES, test: 'narrowing',
  },
];

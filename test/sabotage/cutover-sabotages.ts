import type { Sabotage } from './planting';

const BLOCK = 'test/e2e/write-block.test.ts';
const STEPS = 'test/e2e/cutover-steps.test.ts';

/** Of the cutover: one writer, and every step taken back. */
export const CUTOVER_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'the undo of a step is registered after the step',
    edits: [
      { file: 'activities/cutover/life-step.ts', find: 'step: input.step, undo, tookMs: input.tookMs });', replace: 'step: input.step, undo: { do: \'none\' } });' },
      { file: 'activities/cutover/life-step.ts', find: 'return await closed(run, opened, \'done\', evidence);', replace: 'await run.control.use((client) => client.query(\'UPDATE caravan.step SET undo = $2 WHERE id = $1\', [opened.id, JSON.stringify(undo)])); return await closed(run, opened, \'done\', evidence);' },
    ],
    suite: STEPS, test: 'has its undo on record',
  },
  {
    name: 'a read-only side is not enforced for those who replicate',
    edits: [{ file: 'activities/connectors/postgres/write-block.ts', find: 'ENABLE ALWAYS TRIGGER', replace: 'ENABLE TRIGGER' }],
    suite: BLOCK, test: 'refuses every kind of write',
  },
  {
    name: 'the write block leaves out partitions',
    edits: [{ file: 'activities/connectors/postgres/write-block-schema.ts', find: 'WHERE inhparent = reach.oid AND reach.down', replace: 'WHERE inhparent = reach.oid AND NOT reach.down' }],
    suite: BLOCK, test: 'refuses every kind of write',
  },
  {
    name: 'the proof of a write block believes what it is told',
    edits: [{ file: 'activities/connectors/postgres/write-proof.ts', find: 'if (writable.length > 0) {', replace: 'if (writable.length < 0) {' }],
    suite: BLOCK, test: 'is found out by its proof',
  },
  {
    name: 'a late step opens what a later one has blocked',
    // Looked at twice: before the locks, and where it is written down.
    edits: [
      { file: 'activities/connectors/postgres/write-block.ts', find: 'known.epoch > epoch', replace: 'known.epoch < 0' },
      { file: 'activities/connectors/postgres/write-block.ts', find: 'WHERE write_block.epoch <= $2', replace: 'WHERE write_block.epoch <= $2 OR true' },
    ],
    suite: BLOCK, test: 'a later epoch stands',
  },
  {
    name: 'the old side opens while the new one takes writes',
    edits: [{ file: 'activities/cutover/undo-step.ts', find: 'const refused = await otherRefuses(deps, other, work);', replace: 'const refused = await otherRefuses(deps, other, work).catch(() => ({ what: \'\' }));' }],
    suite: STEPS, test: 'is not opened while',
  },
];

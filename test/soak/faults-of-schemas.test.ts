import type { Side } from '../fixtures/fault-servers';
import { describeRunFaults, type RunFault } from '../fixtures/run-faults';

interface Change { name: string; side: Side; sql: string; back: string; says: RegExp }

/** A table is changed between its preparation and its turn: the run blocks before its first row, and goes on once the table is as it was. */
function beforeItsTurn({ name, side, sql, back, says }: Change): RunFault {
  return { name: `${name}, before its turn`, act: async (run) => { await run.on(side, sql); }, ends: [3], says, mend: async (run) => { await run.on(side, back); } };
}

const AS_PREPARED = (what: string) => new RegExp(`payments: its columns are no longer those that the preparation judged \\(${what}\\)\\. Put the table back`);
const FAULTS: RunFault[] = [
  beforeItsTurn({ name: 'a column of the source is renamed', side: 'legacy', sql: 'ALTER TABLE payments RENAME amount TO sum', back: 'ALTER TABLE payments RENAME sum TO amount', says: AS_PREPARED('source column amount is gone; source column sum is new') }),
  beforeItsTurn({ name: 'a column of the target is renamed', side: 'new', sql: 'ALTER TABLE payments RENAME amount TO sum', back: 'ALTER TABLE payments RENAME sum TO amount', says: AS_PREPARED('target column amount is gone; target column sum is new') }),
  beforeItsTurn({ name: 'a column is added to the source', side: 'legacy', sql: 'ALTER TABLE payments ADD extra int', back: 'ALTER TABLE payments DROP extra', says: AS_PREPARED('source column extra is new') }),
  beforeItsTurn({ name: 'a table of the source is gone', side: 'legacy', sql: 'ALTER TABLE bag RENAME TO sack', back: 'ALTER TABLE sack RENAME TO bag', says: /bag/ }),
  beforeItsTurn({ name: 'a table of the target is gone', side: 'new', sql: 'ALTER TABLE bag RENAME TO sack', back: 'ALTER TABLE sack RENAME TO bag', says: /bag/ }),
];

describeRunFaults('Faults of schemas', FAULTS);

import { admit } from '../../activities/admit';
import { recordApproval } from '../../activities/record-approval';
import { recordStatus } from '../../activities/record-status';
import { readMigrationReport } from '../../activities/status-reading';
import { trailFaults } from '../../migration/audit-trail';
import { admission, ControlBench, planOf } from '../fixtures/control-bench';
import { query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

const GATES = ['go', 'brief', 'näme "quoted"\nline'.replaceAll(/\W/g, '_')];

/** A migration with a handful of entries, also of names that are not ASCII. */
async function recorded() {
  const deps = bench.dependencies({ owner: 'closed' });
  const { ref } = await admit(deps, admission('a', { plan: planOf({ gates: GATES }) }));
  await recordStatus(deps, { ref, phase: 'production', status: 'waiting_for_approval', blocked: [], detail: 'gate go' });
  for (const gate of GATES) await recordApproval(deps, { ref, approval: { gate, by: 'Zoë "Z" Ångström\n2' } });
  return { deps, ref, faults: async () => trailFaults((await readMigrationReport(deps, null, 'shop')).trail).map(({ what }) => what) };
}

/** What only somebody with the rights of the table's owner can do. */
async function tamper(sql: string): Promise<void> {
  await query(bench.target, `ALTER TABLE caravan.audit DISABLE TRIGGER ALL; ${sql}; ALTER TABLE caravan.audit ENABLE TRIGGER ALL`);
}

test('every entry follows from the one before, and nothing may be changed or removed', async () => {
  const { deps, faults } = await recorded();
  const { trail } = await readMigrationReport(deps, null, 'shop');
  expect(trail.entries.map(({ seq }) => seq)).toEqual(trail.entries.map((_, at) => at + 1));
  expect(trail.entries.length).toBeGreaterThanOrEqual(5);
  expect(await faults()).toEqual([]);
  for (const sql of ["UPDATE caravan.audit SET actor = 'eve'", 'DELETE FROM caravan.audit', 'TRUNCATE caravan.audit']) {
    await expect(query(bench.target, sql)).rejects.toThrow('the audit trail only grows');
  }
  expect(await faults()).toEqual([]);
});

test.each([
  ['an entry that was changed', `UPDATE caravan.audit SET body = '{"gate": "other"}' WHERE seq = 3`, ['entry 3 was changed']],
  ['an entry whose time was changed', `UPDATE caravan.audit SET at = at + interval '1 microsecond' WHERE seq = 2`, ['entry 2 was changed']],
  ['an entry that was removed', 'DELETE FROM caravan.audit WHERE seq = 2', ['entry 2 is missing']],
  ['the last entries removed', 'DELETE FROM caravan.audit WHERE seq >= 4', [expect.stringMatching(/^the trail ends at entry 3, but was written up to \d$/)]],
  ['entries that changed places', 'UPDATE caravan.audit SET seq = -seq WHERE seq IN (2, 3); UPDATE caravan.audit SET seq = 5 + seq WHERE seq < 0', [
    'entry 2 does not follow from the one before it', 'entry 2 was changed', 'entry 3 does not follow from the one before it', 'entry 3 was changed', 'entry 4 does not follow from the one before it',
  ]],
])('found: %s', async (_, sql, what) => {
  const { faults } = await recorded();
  await tamper(sql);
  expect(await faults()).toEqual(what);
});

test('entries of runs at the same moment stand in one order, each migration in a chain of its own', async () => {
  const { deps, ref, faults } = await recorded();
  await admit(deps, admission('b', { plan: { ...planOf(), migration: 'other' } }));
  await Promise.all(Array.from({ length: 20 }, (_, at) => recordApproval(deps, { ref, approval: { gate: `g${at}`, by: 'ann' } })));
  const { trail } = await readMigrationReport(deps, null, 'shop');
  expect(trail.entries.filter(({ event }) => event === 'gate_approved')).toHaveLength(23);
  expect(await faults()).toEqual([]);
  expect(trailFaults((await readMigrationReport(deps, null, 'other')).trail)).toEqual([]);
});

test('a control store that an earlier version made keeps its entries; the chain begins with the first new one', async () => {
  const { deps, faults } = await recorded();
  await query(bench.target, `DROP TRIGGER audit_chain ON caravan.audit; DROP TRIGGER audit_kept ON caravan.audit; DROP TABLE caravan.audit_head;
    ALTER TABLE caravan.audit DROP COLUMN seq, DROP COLUMN prev, DROP COLUMN hash`);
  const before = (await query<{ n: number }>(bench.target, 'SELECT count(*)::int AS n FROM caravan.audit'))[0]?.n;
  await admit(deps, admission('c', { plan: planOf({ gates: GATES }) }));
  const { trail } = await readMigrationReport(deps, null, 'shop');
  expect(trail).toMatchObject({ unchained: before, entries: [{ seq: 1, prev: '' }, { seq: 2 }] });
  expect(await faults()).toEqual([]);
});

import type { ClientBase } from 'pg';
import { datasetCounts } from '../stores/ledger';
import { insertQuarantineRows, type QuarantineInsert } from '../stores/quarantine-store';
import type { ColumnDifference, Comparison, DifferenceBatch } from './compare-sides';
import { adjust, underFence, type DatasetFence } from './dataset-fence';
import { targetKeyText, type DatasetSides } from './dataset-sides';
import type { FoundRow } from './difference-finder';
import { journalImage, journalledKeys } from './own-rows';
import { deleteByKey, deleteOneEqual, insertRows, updateRow } from './row-writer';

/** Rows repaired per transaction. */
const BATCH = 500;

/** Rows that a repair changed. Exact: what the server refused is not counted and shows up again in the next comparison. */
export interface Repaired { inserted: number; updated: number; deleted: number; quarantined: number }

/**
 * Brings the target to what the source says, difference by difference: deletes first (they may hold unique values), then updates, then inserts.
 * One fenced transaction per 500 rows. In a table with rows of others only rows that this migration
 * brought are deleted, and only `on_conflict: update` changes others. Source rows that the rules or the target refuse go to quarantine.
 * The ledger's numbers are set right afterwards by `settleAccounts`.
 */
export async function repairBatch(sides: DatasetSides, held: DatasetFence, batch: DifferenceBatch, repaired: Repaired): Promise<void> {
  const each = async <T>(rows: readonly T[], work: (client: ClientBase, part: readonly T[]) => Promise<void>): Promise<void> => {
    for (let from = 0; from < rows.length; from += BATCH) {
      await underFence(sides.ctx.target, held, async (client) => {
        await client.query('SET CONSTRAINTS ALL IMMEDIATE');
        await work(client, rows.slice(from, from + BATCH));
      });
    }
  };
  await each(batch.extra, async (client, rows) => {
    let deleted = 0;
    for (const row of await removable(client, sides, rows)) {
      const key = targetKeyText(sides, row.content);
      if ((key ? await deleteByKey(client, sides, key) : await deleteOneEqual(client, sides, row.content)) === null) deleted += 1;
    }
    repaired.deleted += deleted;
  });
  await each(batch.different, async (client, rows) => {
    const { ours, taken } = await changeable(client, sides, rows);
    for (const row of ours) {
      const key = targetKeyText(sides, row.found.content);
      if (key && (await updateRow(client, sides, key, row.expected.values, row.columns)) === null) repaired.updated += 1;
    }
    repaired.quarantined += await insertQuarantineRows(client, held, taken.map((row) => ({ ...rowOf(sides, row.expected), reasons: [{ rule: 'target:23505' }] })));
  });
  await each(batch.missing, async (client, rows) => {
    const answers = await insertRows(client, sides, rows.map((row) => row.values));
    const refused: QuarantineInsert[] = [];
    for (const [at, answer] of answers.entries()) {
      const row = rows[at];
      if (answer === null) repaired.inserted += 1;
      // 23505 and 23503 may be cured by the repair of another row or table: those stay differences.
      else if (row && !['23505', '23503'].includes(answer.sqlstate)) refused.push({ ...rowOf(sides, row), reasons: [{ rule: `target:${answer.sqlstate}` }] });
    }
    repaired.quarantined += await insertQuarantineRows(client, held, refused);
  });
  await each(batch.rejected.filter((row) => row.reasons.every((reason) => reason.rule !== 'unreadable')), async (client, rows) => {
    repaired.quarantined += await insertQuarantineRows(client, held, rows.map((row) => ({ ...rowOf(sides, row), reasons: row.reasons })));
  });
}

/** In a table with rows of others, only what this migration brought: what it merely changed stays, and stays told as extra. */
async function removable(client: ClientBase, sides: DatasetSides, rows: readonly FoundRow[]): Promise<readonly FoundRow[]> {
  if (sides.ledger.base === 'empty') return rows;
  const known = await journalledKeys(client, sides, rows.map((row) => targetKeyText(sides, row.content) ?? []));
  return rows.filter((_, at) => known.get(at) === 'inserted');
}

/** Rows of others: `on_conflict: update` may change them, once they are kept as they were; an append may not, so their keys are `taken`. */
async function changeable(client: ClientBase, sides: DatasetSides, rows: readonly ColumnDifference[]): Promise<{ ours: readonly ColumnDifference[]; taken: readonly ColumnDifference[] }> {
  if (sides.ledger.base === 'empty') return { ours: rows, taken: [] };
  const keys = rows.map((row) => targetKeyText(sides, row.found.content) ?? []);
  const known = await journalledKeys(client, sides, keys);
  const foreign = rows.filter((_, at) => known.get(at) !== 'inserted');
  if (sides.ctx.dataset.target.on_conflict !== 'update') return { ours: rows.filter((row) => !foreign.includes(row)), taken: foreign };
  for (const row of foreign) await journalImage(client, sides, targetKeyText(sides, row.found.content) ?? []);
  return { ours: rows, taken: [] };
}

function rowOf(sides: DatasetSides, row: { sourceKey: string[] | null; content: (string | null)[] }): Omit<QuarantineInsert, 'reasons'> {
  return { sourceKey: row.sourceKey, side: 'source', columns: sides.sourceColumns.map((column) => column.name), content: row.content };
}

/**
 * After a comparison that found both sides equal: brings the ledger's sums to what was proved, as one adjustment. Nothing to do when they agree,
 * so a crash between repair and this is healed by the next run.
 */
export async function settleAccounts(sides: DatasetSides, held: DatasetFence, proved: Comparison): Promise<void> {
  await underFence(sides.ctx.target, held, async (client) => {
    await client.query(
      `UPDATE caravan.quarantine SET state = 'gone', decided_by = 'repair', decided_reason = 'the source no longer selects this row', decided_at = clock_timestamp()
       WHERE id = ANY ($1::bigint[]) AND state IN ('open', 'waived')`, [proved.gone]);
    const counts = await datasetCounts(client, held);
    const { rows } = await client.query<{ held: string }>(
      `SELECT count(*)::text AS held FROM caravan.quarantine WHERE migration = $1 AND dataset = $2 AND generation = $3 AND state IN ('open', 'waived')`,
      [held.migration, held.dataset, held.generation]);
    const written = proved.expected - counts.unchanged - counts.written;
    const quarantined = Number(rows[0]?.held ?? 0) - counts.quarantined;
    await adjust(client, held, 'repair', { read: written + quarantined, written, quarantined });
  });
}

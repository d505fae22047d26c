import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { ConflictPolicy, DatasetRef, RunRef, UndoneDataset } from '../../migration/protocol';
import { sqlState } from '../connectors/postgres/errors';
import type { ActivityDependencies } from '../dependencies';
import { PlannedTables } from '../planned-tables';
import { takeDatasetFence, underFence, type DatasetFence } from '../reconciliation/dataset-fence';
import type { DatasetSides } from '../reconciliation/dataset-sides';
import { readDropped, standingOf, takeAway } from '../reconciliation/dropped-objects';
import { whileAlive } from '../reconciliation/liveness';
import { openSides } from '../reconciliation/open-sides';
import { loadDataset, type DatasetContext } from '../run-context';
import { endCopies, installLedger, loadDatasetRow } from '../stores/ledger';
import { judgeRows, type UndoPass } from './judge-rows';
import { emptyAtOnce, putImagesBack, removeJournalled, removeRows } from './take-back-rows';

/** `attempt`: of the rollback; what one attempt has looked at is not looked at again. `leaving`: datasets that are taken back with this one. `keepRows`: they stay where they are, and are the next start's to replace. */
export interface UndoInput extends DatasetRef { attempt: number; policy: ConflictPolicy; leaving: string[]; exporting?: boolean; keepRows?: boolean }

const NOTHING: UndoneDataset = { dataset: '', state: 'nothing', removed: 0, restored: 0, conflicts: 0, exported: 0 };
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Takes back what the migration wrote for one dataset. First nobody may write any more: copies under way are ended, fence and epoch advance. Then, in
 * bounded transactions: rows of a table that was empty at the start go; elsewhere those that the migration brought go, and those that it changed become
 * what they were. Rows that somebody else changed, brought or leans on since stay and are listed in `caravan.rollback_conflict`, unless `policy` puts
 * changed ones back. At the end the ledger says undone, and a later start begins a new generation. Writes to the table should be blocked meanwhile; what
 * comes in all the same stays. Repeats go on where the last one ended, and an undone dataset answers at once.
 * @throws MigrationError `ROLLBACK_CONFLICT` (policy `stop`: nothing was changed), `UNDO_MISSING`, `FENCED`, `SYSTEM_BUSY` (transient).
 */
export function undoDataset(deps: ActivityDependencies, input: UndoInput): Promise<UndoneDataset> {
  return whileAlive(async (signal) => {
    const ctx = await loadDataset(deps, input);
    const held = await stopCopies(ctx);
    if (held === null) return { ...NOTHING, dataset: input.dataset };
    if (held === 'undone') return ctx.target.use((client) => summary(client, ctx, 'undone'));
    const sides = await openSides(deps, ctx, true);
    if (input.keepRows) return finish(sides, held, 'kept');
    const pass = await judgeDataset(sides, held, input, signal);
    await refuseConflicts(sides, held, input.policy);
    await takeKeysAway(sides, held);
    await takeBack(sides, held, pass, input.policy, signal);
    return finish(sides, held, 'removed');
  });
}

/** Looks at the rows, and exports what the new side wrote, without taking anything back. Answers what a later `undoDataset` of the attempt goes by. */
export function judgeForRollback(deps: ActivityDependencies, input: Omit<UndoInput, 'policy' | 'keepRows'>): Promise<UndoneDataset> {
  return whileAlive(async (signal) => {
    const ctx = await loadDataset(deps, input);
    const held = await stopCopies(ctx);
    if (held === null) return { ...NOTHING, dataset: input.dataset };
    if (held === 'undone') return ctx.target.use((client) => summary(client, ctx, 'undone'));
    await judgeDataset(await openSides(deps, ctx, true), held, input, signal);
    return ctx.target.use((client) => summary(client, ctx, 'judged'));
  });
}

function judgeDataset(sides: DatasetSides, held: DatasetFence, { attempt, exporting = false, leaving }: Omit<UndoInput, 'policy'>, signal: AbortSignal): Promise<UndoPass> {
  const planned = PlannedTables.of(sides.ctx.plan);
  const tables = leaving.flatMap((name) => planned.place(name)?.table ?? []);
  return judgeRows(sides, held, { attempt, exporting, leaving: tables, signal });
}

/** From here on no copy, close or repair of this dataset writes anything: their sessions are ended, their fence and epoch are of the past. Null: it was never opened. */
export async function stopCopies({ target, ref, name }: DatasetContext): Promise<DatasetFence | 'undone' | null> {
  await installLedger(target);
  const known = await target.use((client) => loadDatasetRow(client, ref.migration, name));
  if (!known) return null;
  if (known.state === 'undone') return 'undone';
  await target.use((client) => endCopies(client, ref.migration, name));
  const held = await takeDatasetFence(target, { migration: ref.migration, dataset: name, generation: known.generation, states: ['open', 'copied', 'closed'] });
  await underFence(target, held, (client) => client.query('UPDATE caravan.dataset SET epoch = epoch + 1 WHERE migration = $1 AND dataset = $2', [ref.migration, name]));
  return held;
}

async function takeBack(sides: DatasetSides, held: DatasetFence, pass: UndoPass, policy: ConflictPolicy, signal: AbortSignal): Promise<void> {
  const work = { sides, held, pass, overwrite: policy === 'restore_old', signal };
  if (sides.ledger.base === 'empty') {
    if (!(pass.strangers === 0 && await emptyAtOnce(work))) await removeRows(work);
    return;
  }
  await removeJournalled(work);
  await putImagesBack(work);
}

/** @throws MigrationError `ROLLBACK_CONFLICT` where the plan wants a person to decide. */
async function refuseConflicts(sides: DatasetSides, held: DatasetFence, policy: ConflictPolicy): Promise<void> {
  if (policy !== 'stop') return;
  const conflicts = await sides.ctx.target.use((client) => countConflicts(client, held));
  if (conflicts.total === 0) return;
  const kinds = [
    conflicts.changed > 0 ? `${conflicts.changed} changed` : '', conflicts.inserted > 0 ? `${conflicts.inserted} brought` : '', conflicts.deleted > 0 ? `${conflicts.deleted} deleted` : '',
    conflicts.referenced > 0 ? `${conflicts.referenced} referred to from tables that stay` : '', conflicts.refused > 0 ? `${conflicts.refused} refused by the table` : '',
  ].filter((part) => part !== '');
  throw new MigrationError('ROLLBACK_CONFLICT', `dataset ${held.dataset}: ${conflicts.total} rows are not as the migration wrote them: ${kinds.join(', ')} by others since. None of its rows was taken back. `
    + `They are listed in caravan.rollback_conflict of ${sides.ctx.target.config.name}. Decide: keep_new leaves them as they are, restore_old puts changed rows back to what they were.`, { dataset: held.dataset, conflicts: conflicts.total });
}

/** Foreign keys that lead to the table or from it would hinder the order in which rows go; they come back with the other objects at the end. */
async function takeKeysAway(sides: DatasetSides, held: DatasetFence): Promise<void> {
  const { targetTable, target } = sides.ctx;
  await underFence(target, held, async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    for (const stored of await readDropped(client, held.migration, ['foreign_key'], { schema: targetTable.schema, name: targetTable.table })) {
      if ((await standingOf(client, stored)) !== 'away') await takeAway(client, stored);
    }
  });
}

/** The ledger says undone, and the quarantine of this generation is closed: nothing of it may be replayed. In the caller's transaction under the fence. */
export async function markUndone(client: ClientBase, held: DatasetFence, ref: RunRef, rows: 'removed' | 'kept' | 'restored'): Promise<void> {
  await client.query(
    `UPDATE caravan.quarantine SET state = 'gone', decided_by = 'rollback', decided_reason = 'the dataset was rolled back', decided_at = clock_timestamp()
     WHERE migration = $1 AND dataset = $2 AND generation = $3 AND state IN ('open', 'waived')`, [held.migration, held.dataset, held.generation]);
  await client.query(
    `UPDATE caravan.dataset SET state = 'undone', undone_at = clock_timestamp(), undone = $3 WHERE migration = $1 AND dataset = $2`, [held.migration, held.dataset, JSON.stringify({ rows, lease: ref.lease })]);
}

async function finish(sides: DatasetSides, held: DatasetFence, as: 'removed' | 'kept'): Promise<UndoneDataset> {
  const { target, ref } = sides.ctx;
  await underFence(target, held, (client) => markUndone(client, held, ref, as));
  return target.use((client) => summary(client, sides.ctx, 'undone'));
}

async function summary(client: ClientBase, { ref, name }: DatasetContext, state: UndoneDataset['state']): Promise<UndoneDataset> {
  try {
    const { rows: [row] } = await client.query<{ removed: string; restored: string; conflicts: string; exported: string }>(
      `SELECT p.removed, p.restored, (SELECT count(*) FROM caravan.rollback_conflict c WHERE c.migration = $1 AND c.dataset = $2 AND c.generation = p.generation) AS conflicts,
         (SELECT count(*) FROM caravan.exported_row e WHERE e.migration = $1 AND e.dataset = $2 AND e.generation = p.generation AND e.attempt = p.attempt) AS exported
       FROM caravan.undo_pass p WHERE p.migration = $1 AND p.dataset = $2`, [ref.migration, name]);
    return { dataset: name, state, removed: Number(row?.removed ?? 0), restored: Number(row?.restored ?? 0), conflicts: Number(row?.conflicts ?? 0), exported: Number(row?.exported ?? 0) };
  } catch (error) {
    // Undone with its rows kept, by a rollback that never had to look at them.
    if (sqlState(error) === '42P01') return { ...NOTHING, dataset: name, state };
    throw error;
  }
}

type ConflictCounts = Record<'changed' | 'inserted' | 'deleted' | 'referenced' | 'refused' | 'total', number>;

async function countConflicts(client: ClientBase, { migration, dataset, generation }: DatasetFence): Promise<ConflictCounts> {
  const { rows } = await client.query<{ kind: Exclude<keyof ConflictCounts, 'total'>; rows: string }>(
    'SELECT kind, count(*) AS rows FROM caravan.rollback_conflict WHERE migration = $1 AND dataset = $2 AND generation = $3 GROUP BY kind', [migration, dataset, generation]);
  const counts: ConflictCounts = { changed: 0, inserted: 0, deleted: 0, referenced: 0, refused: 0, total: 0 };
  for (const row of rows) {
    counts[row.kind] += Number(row.rows);
    counts.total += Number(row.rows);
  }
  return counts;
}

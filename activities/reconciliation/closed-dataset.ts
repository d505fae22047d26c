import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { DatasetContext } from '../run-context';
import { hasTable } from '../stores/control-store';

/**
 * Refuses to judge what is not all there: the rest of a copy that is under way would look missing, and a repair that put it in would let the copy,
 * when it goes on, write the same rows again.
 * @throws MigrationError `CHECK_FAILED` unless the ledger says that the dataset is closed.
 */
export function requireClosed(ctx: DatasetContext): Promise<void> {
  return ctx.target.use((client) => assertClosed(client, ctx));
}

async function assertClosed(client: ClientBase, { ref, name }: Pick<DatasetContext, 'ref' | 'name'>): Promise<void> {
  const state = await stateOf(client, ref.migration, name);
  if (state === 'closed') return;
  const found = state === null ? 'was never copied' : state === 'undone' ? 'was rolled back' : state === 'open' ? 'is copied in part only' : 'is copied, but its indexes and counts are not finished';
  throw new MigrationError('CHECK_FAILED', `dataset ${name} ${found}, so its two sides cannot be compared. Copy it to its end first: start the migration again, or leave the dataset out.`, { dataset: name, state: state ?? 'unknown' });
}

async function stateOf(client: ClientBase, migration: string, dataset: string): Promise<string | null> {
  if (!(await hasTable(client, 'dataset'))) return null;
  const { rows } = await client.query<{ state: string }>('SELECT state FROM caravan.dataset WHERE migration = $1 AND dataset = $2', [migration, dataset]);
  return rows[0]?.state ?? null;
}

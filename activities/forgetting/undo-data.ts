import type { ClientBase } from 'pg';
import type { UndoData } from '../../migration/protocol';
import { hasTable } from '../stores/control-store';

/** Tables of the ledger that hold undo data, by what they are called to people. A rollback makes the last two. */
export const UNDO_TABLES = { images: 'before_image', conflicts: 'rollback_conflict', exports: 'exported_row' } as const;
export type UndoTable = keyof typeof UNDO_TABLES;

/** Those of the tables that this target has. */
export async function undoTables(client: ClientBase): Promise<UndoTable[]> {
  const there: UndoTable[] = [];
  for (const name of Object.keys(UNDO_TABLES) as UndoTable[]) if (await hasTable(client, UNDO_TABLES[name])) there.push(name);
  return there;
}

/** What this target holds of a migration, by dataset; datasets that were never opened are not among them. Counts only. */
export async function readUndoData(client: ClientBase, migration: string): Promise<UndoData[]> {
  if (!(await hasTable(client, 'dataset'))) return [];
  const counts: Partial<Record<UndoTable, Map<string, number>>> = {};
  for (const name of await undoTables(client)) counts[name] = await countByDataset(client, UNDO_TABLES[name], migration);
  // By way of JSON: a ledger that no run of this version has seen yet lacks the column.
  const { rows } = await client.query<{ dataset: string; purged: string | null }>(
    `SELECT dataset, to_jsonb(d) ->> 'undo_purged_at' AS purged FROM caravan.dataset d WHERE migration = $1 ORDER BY dataset`, [migration]);
  return rows.map(({ dataset, purged }): UndoData => ({
    dataset, images: counts.images?.get(dataset) ?? 0, conflicts: counts.conflicts?.get(dataset) ?? 0, exports: counts.exports?.get(dataset) ?? 0,
    purgedAt: purged === null ? null : new Date(purged).toISOString(),
  }));
}

/** Whether this target holds any of a migration. Counts nothing: there may be millions. */
export async function holdsUndoData(client: ClientBase, migration: string): Promise<boolean> {
  for (const name of await undoTables(client)) {
    const { rows: [found] } = await client.query<{ held: boolean }>(`SELECT EXISTS (SELECT FROM caravan.${UNDO_TABLES[name]} WHERE migration = $1) AS held`, [migration]);
    if (found?.held) return true;
  }
  return false;
}

async function countByDataset(client: ClientBase, table: string, migration: string): Promise<Map<string, number>> {
  const { rows } = await client.query<{ dataset: string; rows: string }>(`SELECT dataset, count(*) AS rows FROM caravan.${table} WHERE migration = $1 GROUP BY dataset`, [migration]);
  return new Map(rows.map((row) => [row.dataset, Number(row.rows)]));
}

/** Rows of undo data in all. */
export function undoRows(data: readonly UndoData[]): number {
  return data.reduce((sum, { images, conflicts, exports }) => sum + images + conflicts + exports, 0);
}

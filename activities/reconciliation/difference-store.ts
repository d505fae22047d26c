import type { ClientBase } from 'pg';
import type { PostgresSystem } from '../connectors/postgres/system';
import { fromStore, storeWriter } from '../stores/stored-text';
import type { KeyText } from '../../migration/split';
import { targetKeyText, type DatasetSides } from './dataset-sides';
import type { DifferenceBatch } from './compare-sides';

/** Where the last row comparison of a dataset found something. Keys may be personal: they are never shown unmasked. */
export const DIFFERENCE_SCHEMA = `
CREATE TABLE IF NOT EXISTS caravan.difference (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  kind text NOT NULL CHECK (kind IN ('missing', 'extra', 'different', 'unreadable')),
  source_key text[],
  target_key text[],
  columns text[] NOT NULL DEFAULT '{}',
  found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS difference_dataset ON caravan.difference (migration, dataset, id);
`;

/** Keys kept per comparison; counts stay exact beyond. */
export const DIFFERENCES_KEPT_MAX = 10_000;
/** Key of the advisory lock under which the table is made; every use of such a lock has a key of its own. */
const INSTALL_LOCK = 7_202_613;

export type DifferenceKind = 'missing' | 'extra' | 'different' | 'unreadable';
/** `id`: of its row in `caravan.difference`. */
export interface FoundDifference extends StoredDifference { id: string }
export interface StoredDifference { kind: DifferenceKind; sourceKey: KeyText | null; targetKey: (string | null)[] | null; columns: string[] }

/** Collects keys while a comparison runs, up to the cap. */
export class DifferenceCollector {
  readonly kept: StoredDifference[] = [];

  constructor(private readonly sides: DatasetSides) {}

  add(batch: DifferenceBatch): void {
    for (const row of batch.missing) this.keep({ kind: 'missing', sourceKey: row.sourceKey, targetKey: null, columns: [] });
    for (const row of batch.different) this.keep({ kind: 'different', sourceKey: row.expected.sourceKey, targetKey: targetKeyText(this.sides, row.found.content), columns: row.columns });
    for (const row of batch.extra) this.keep({ kind: 'extra', sourceKey: null, targetKey: targetKeyText(this.sides, row.content), columns: [] });
    for (const row of batch.rejected) {
      const columns = row.reasons.flatMap((reason) => reason.column ?? []);
      this.keep({ kind: 'unreadable', sourceKey: row.sourceKey, targetKey: null, columns });
    }
  }

  private keep(difference: StoredDifference): void {
    if (this.kept.length < DIFFERENCES_KEPT_MAX) this.kept.push(difference);
  }
}

/** Replaces what the last comparison of the dataset found. Durable when it returns. */
export async function storeDifferences(target: PostgresSystem, sides: DatasetSides, found: readonly StoredDifference[]): Promise<void> {
  const id = [sides.ctx.ref.migration, sides.ctx.name];
  await target.transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [INSTALL_LOCK]);
    await client.query(DIFFERENCE_SCHEMA);
    await client.query('DELETE FROM caravan.difference WHERE migration = $1 AND dataset = $2', id);
    if (found.length === 0) return;
    const stored = await storeWriter(client);
    await client.query(
      `INSERT INTO caravan.difference (migration, dataset, generation, kind, source_key, target_key, columns)
       SELECT $1, $2, $3, d.value ->> 'kind', ${arrayOf('sourceKey')}, ${arrayOf('targetKey')}, coalesce(${arrayOf('columns')}, '{}')
       FROM jsonb_array_elements($4::jsonb) d`,
      [...id, sides.ledger.generation, JSON.stringify(found.map((one) => ({ ...one, sourceKey: one.sourceKey && stored(one.sourceKey), targetKey: one.targetKey && stored(one.targetKey) })))],
    );
  });
}

function arrayOf(field: string): string {
  return `CASE WHEN jsonb_typeof(d.value -> '${field}') = 'array' THEN ARRAY(SELECT e FROM jsonb_array_elements_text(d.value -> '${field}') WITH ORDINALITY t(e, n) ORDER BY n) END`;
}

/** Differences of the last comparison, oldest first; keys unmasked: mask them before showing. */
export async function readDifferences(client: ClientBase, migration: string, dataset: string, limit: number): Promise<FoundDifference[]> {
  const { rows: there } = await client.query(`SELECT 1 WHERE to_regclass('caravan.difference') IS NOT NULL`);
  if (there.length === 0) return [];
  const { rows } = await client.query<{ id: string; kind: DifferenceKind; source_key: string[] | null; target_key: string[] | null; columns: string[] }>(
    'SELECT id::text AS id, kind, source_key, target_key, columns FROM caravan.difference WHERE migration = $1 AND dataset = $2 ORDER BY id LIMIT $3', [migration, dataset, limit]);
  return rows.map((row) => ({ id: row.id, kind: row.kind, sourceKey: fromStore(row.source_key), targetKey: fromStore(row.target_key), columns: row.columns }));
}

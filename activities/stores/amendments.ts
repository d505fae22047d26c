import type { PoolClient } from 'pg';
import type { DatasetView } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { hasTable } from './control-store';

/** `changed`: the dataset starts a new generation. `added`: it is new in the plan. `removed`: it left the plan, its rows stay. */
export type AmendmentKind = 'changed' | 'added' | 'removed';
export interface NewAmendment { dataset: string; kind: AmendmentKind; view?: DatasetView }
export interface AmendmentOrigin { migration: string; planHash: string; formerHash: string; by: string }

/** Durable with the caller's transaction. */
export async function storeAmendments(client: PoolClient, { migration, planHash, formerHash, by }: AmendmentOrigin, amendments: readonly NewAmendment[]): Promise<void> {
  for (const { dataset, kind, view } of amendments) {
    await client.query(
      'INSERT INTO caravan.amendment (migration, dataset, kind, plan_hash, former_hash, view, amended_by) VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7)',
      [migration, dataset, kind, planHash, formerHash, view ? JSON.stringify(view) : null, by]);
  }
}

/** Number of the latest change of the dataset that its ledger has to follow; 0: none. */
export async function latestAmendment(control: PostgresSystem, migration: string, dataset: string): Promise<number> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'amendment'))) return 0;
    const { rows } = await client.query<{ id: number }>(
      `SELECT coalesce(max(id), 0)::int AS id FROM caravan.amendment WHERE migration = $1 AND dataset = $2 AND kind IN ('changed', 'added')`, [migration, dataset]);
    return rows[0]?.id ?? 0;
  });
}

/** The ledger follows the amendments of this dataset up to `id`. Repeats change nothing. */
export async function markApplied(control: PostgresSystem, migration: string, dataset: string, id: number): Promise<void> {
  if (id === 0) return;
  await control.use((client) => client.query(
    'UPDATE caravan.amendment SET applied_at = clock_timestamp() WHERE migration = $1 AND dataset = $2 AND id <= $3 AND applied_at IS NULL', [migration, dataset, id]));
}

/** Whether datasets of the migration still have to follow an amendment: then it is not complete, whatever its last run said. */
export async function isAmendmentOpen(client: PoolClient, migration: string): Promise<boolean> {
  const { rows } = await client.query<{ open: boolean }>(
    `SELECT EXISTS (SELECT FROM caravan.amendment WHERE migration = $1 AND kind IN ('changed', 'added') AND applied_at IS NULL) AS open`, [migration]);
  return rows[0]?.open === true;
}

/** Datasets that amendments took out of the plan, as the workflows knew them; the latest word on each counts. */
export async function removedDatasets(control: PostgresSystem, migration: string): Promise<DatasetView[]> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'amendment'))) return [];
    const { rows } = await client.query<{ kind: AmendmentKind; view: DatasetView | null }>(
      'SELECT DISTINCT ON (dataset) kind, view FROM caravan.amendment WHERE migration = $1 ORDER BY dataset, id DESC', [migration]);
    return rows.flatMap(({ kind, view }) => (kind === 'removed' && view ? [view] : []));
  });
}

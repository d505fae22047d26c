import type { PoolClient } from 'pg';
import { addCounts, noCounts, type Counts } from '../../migration/accounting';
import type { Plan } from '../../migration/plan/schema';
import type { DatasetProgress } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { hasTable } from './control-store';
import { inventorySizes } from './inventory';

/** Speed is taken over the commits of so many seconds; where commits are rarer, over the last two. */
const WINDOW_SECONDS = 60;

/** One look at the ledgers of all targets of a plan. */
export interface LedgerLook {
  /** In the plan's order. */
  datasets: DatasetProgress[];
  counts: Counts;
  total: number;
  openQuarantine: number;
  waivedQuarantine: number;
  rowsPerSecond: number;
  /** How long the longest of the datasets that are now being copied has been open; null when none is. */
  copyingSeconds: number | null;
}

interface LedgerRow {
  dataset: string; state: 'open' | 'copied' | 'closed' | 'undone'; total: string; open_seconds: number;
  read: string; written: string; unchanged: string; quarantined: string; filtered: string;
}
interface TargetLook { rows: LedgerRow[]; open: number; waived: number; recentRows: number; recentSeconds: number }

/** Reads the ledgers as they are; a target without ledger counts as nothing done yet. @throws MigrationError of the connections. */
export async function lookAtLedgers(targets: ReadonlyMap<string, PostgresSystem>, control: PostgresSystem, plan: Plan): Promise<LedgerLook> {
  const looks = await Promise.all([...targets.values()].map((target) => target.use((client) => lookAtTarget(client, plan.migration))));
  const ledger = new Map(looks.flatMap((look) => look.rows.map((row) => [row.dataset, row] as const)));
  const missing = Object.keys(plan.datasets).some((name) => !ledger.has(name));
  const sizes = missing ? await control.use((client) => inventorySizes(client, plan)) : null;
  const datasets = Object.keys(plan.datasets).map((name) => datasetProgress(name, ledger.get(name), sizes?.get(name)?.rows ?? 0));
  const copying = [...ledger.values()].filter((row) => row.state === 'open').map((row) => row.open_seconds);
  const sum = (pick: (look: TargetLook) => number): number => looks.reduce((total, look) => total + pick(look), 0);
  return {
    datasets,
    counts: datasets.reduce((total, dataset) => addCounts(total, dataset.counts), noCounts()),
    total: datasets.reduce((total, dataset) => total + dataset.total, 0),
    openQuarantine: sum((look) => look.open),
    waivedQuarantine: sum((look) => look.waived),
    rowsPerSecond: sum((look) => (look.recentRows > 0 ? look.recentRows / Math.max(1, look.recentSeconds) : 0)),
    copyingSeconds: copying.length > 0 ? Math.max(...copying) : null,
  };
}

function datasetProgress(name: string, row: LedgerRow | undefined, estimate: number): DatasetProgress {
  if (!row || row.state === 'undone') return { dataset: name, state: 'waiting', total: row ? Number(row.total) : estimate, counts: noCounts() };
  const counts: Counts = { read: Number(row.read), written: Number(row.written), unchanged: Number(row.unchanged), quarantined: Number(row.quarantined), filtered: Number(row.filtered) };
  const state = row.state === 'open' ? 'copying' : row.state === 'copied' ? 'finishing' : 'done';
  // Estimates end where the truth is known.
  return { dataset: name, state, total: state === 'copying' ? Math.max(Number(row.total), counts.read) : counts.read, counts };
}

async function lookAtTarget(client: PoolClient, migration: string): Promise<TargetLook> {
  if (!(await hasTable(client, 'dataset'))) return { rows: [], open: 0, waived: 0, recentRows: 0, recentSeconds: 0 };
  const sums = (alias: string): string => ['read', 'written', 'unchanged', 'quarantined', 'filtered'].map((what) => `coalesce(sum(${alias}.${what}_rows), 0) AS ${what}`).join(', ');
  const plus = ['read', 'written', 'unchanged', 'quarantined', 'filtered'].map((what) => `(s.${what} + a.${what})::text AS ${what}`).join(', ');
  const { rows } = await client.query<LedgerRow>(
    `SELECT d.dataset, d.state, d.rows_estimate::text AS total, extract(epoch FROM clock_timestamp() - d.opened_at)::float8 AS open_seconds, ${plus}
     FROM caravan.dataset d
     CROSS JOIN LATERAL (SELECT ${sums('s')} FROM caravan.split s WHERE s.migration = d.migration AND s.dataset = d.dataset AND s.generation = d.generation) s
     CROSS JOIN LATERAL (SELECT ${sums('j')} FROM caravan.adjustment j WHERE j.migration = d.migration AND j.dataset = d.dataset AND j.generation = d.generation) a
     WHERE d.migration = $1`, [migration]);
  const quarantine = await client.query<{ open: number; waived: number }>(
    `SELECT (count(*) FILTER (WHERE state = 'open'))::int AS open, (count(*) FILTER (WHERE state = 'waived'))::int AS waived
     FROM caravan.quarantine WHERE migration = $1 AND state IN ('open', 'waived')`, [migration]);
  const recent = await client.query<{ rows: string; seconds: number }>(
    `WITH since AS (
       SELECT least(clock_timestamp() - $2::float8 * interval '1 second',
         (SELECT committed_at FROM caravan.commit WHERE migration = $1 AND EXISTS (SELECT FROM caravan.dataset d WHERE d.migration = $1 AND d.state = 'open')
          ORDER BY committed_at DESC OFFSET 1 LIMIT 1)) AS moment)
     SELECT coalesce(sum(c.read_rows), 0)::text AS rows, coalesce(extract(epoch FROM clock_timestamp() - min(c.committed_at)), 0)::float8 AS seconds
     FROM caravan.commit c, since WHERE c.migration = $1 AND c.committed_at >= since.moment`, [migration, WINDOW_SECONDS]);
  return {
    rows,
    open: quarantine.rows[0]?.open ?? 0,
    waived: quarantine.rows[0]?.waived ?? 0,
    recentRows: Number(recent.rows[0]?.rows ?? 0),
    recentSeconds: recent.rows[0]?.seconds ?? 0,
  };
}

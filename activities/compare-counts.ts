import type { Client } from 'pg';
import type { CheckOutcome, DatasetRef, Verdict } from '../migration/protocol';
import { rowsOf } from './connectors/postgres/selection-sql';
import type { ActivityDependencies } from './dependencies';
import { requireClosed } from './reconciliation/closed-dataset';
import { targetFrom, type DatasetSides } from './reconciliation/dataset-sides';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import { withSnapshot } from './reconciliation/row-streams';
import { loadDataset } from './run-context';
import { storeCheckResults } from './stores/control-store';
import { datasetCounts } from './stores/ledger';
import { countQuarantine } from './stores/quarantine-store';

interface SourceCounts { total: number; selected: number; nullExcluded: number }

/**
 * Exact counts of both sides against the ledger: every selected source row is written, unchanged or in quarantine, and (where the target was
 * empty at start) the target holds exactly the written and unchanged ones. `explained` when quarantine makes the difference.
 * Stored as evidence before it returns. @throws MigrationError `CHECK_FAILED` unless the dataset is closed.
 */
export async function compareCounts(deps: ActivityDependencies, input: DatasetRef): Promise<CheckOutcome> {
  return whileAlive(async () => {
    const ctx = await loadDataset(deps, input);
    await requireClosed(ctx);
    const sides = await openSides(deps, ctx);
    const source = await withSnapshot(ctx.source, (client) => countSource(client, sides));
    const outcome = await withSnapshot(ctx.target, (client) => judge(client, sides, source));
    await storeCheckResults(ctx.control, input.ref, 'counts', [outcome]);
    return outcome;
  });
}

async function countSource(client: Client, { ctx }: DatasetSides): Promise<SourceCounts> {
  const selection = ctx.sourceSelection;
  const count = async (where: string | undefined): Promise<number> => {
    const { rows } = await client.query<{ rows: string }>(`SELECT count(*)::text AS rows FROM (${await rowsOf(client, { ...selection, where }, [])}) caravan_source`);
    return Number(rows[0]?.rows ?? 0);
  };
  const selected = await count(selection.where);
  if (selection.where === undefined) return { total: selected, selected, nullExcluded: 0 };
  return { total: await count(undefined), selected, nullExcluded: await count(`(${selection.where}\n) IS NULL`) };
}

async function judge(client: Client, sides: DatasetSides, source: SourceCounts): Promise<CheckOutcome> {
  const { ctx, ledger } = sides;
  const { rows: [found] } = await client.query<{ rows: string }>(`SELECT count(*)::text AS rows FROM ${await targetFrom(client, sides)}`);
  const target = Number(found?.rows ?? 0);
  const counts = await datasetCounts(client, { migration: ctx.ref.migration, dataset: ctx.name, generation: ledger.generation });
  const { open, waived } = await countQuarantine(client, ctx.ref.migration, ctx.name);
  const present = counts.written + counts.unchanged;
  const faults: string[] = [];
  const moved = source.selected - present - counts.quarantined - counts.filtered;
  if (moved !== 0) faults.push(moved > 0 ? `${moved} source rows are not accounted for` : `${-moved} rows are accounted for that the source no longer selects`);
  const foreign = ledger.base === 'foreign';
  if (foreign ? target < present : target !== present) faults.push(`the target holds ${target} rows where the ledger counts ${present}`);
  if (open + waived !== counts.quarantined) faults.push(`quarantine holds ${open + waived} rows where the ledger counts ${counts.quarantined}`);
  const parts = [`source ${source.selected}${source.total === source.selected ? '' : ` of ${source.total}`}`];
  const excluded = source.total - source.selected;
  if (excluded > 0) parts.push(`left behind by where ${excluded}${source.nullExcluded > 0 ? ` (${source.nullExcluded} because it is NULL for them)` : ''}`);
  parts.push(`target ${target}${foreign ? ' with rows that are not ours' : ''}`, `written ${counts.written}`, `unchanged ${counts.unchanged}`, `quarantined ${counts.quarantined}${waived > 0 ? ` (${waived} waived)` : ''}`);
  const verdict: Verdict = faults.length > 0 ? 'failed' : counts.quarantined > 0 ? 'explained' : 'passed';
  return { name: `counts of ${ctx.name}`, kind: 'count', verdict, detail: [...parts, ...faults].join('; '), dataset: ctx.name };
}

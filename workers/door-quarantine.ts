import type { ActivityDependencies } from '../activities/dependencies';
import { listQuarantine, replayQuarantine, waiveQuarantine, type QuarantineRequest } from '../activities/quarantine';
import { listDifferences } from '../activities/list-differences';
import type { RunRef } from '../migration/protocol';
import { findMigration } from '../activities/status-reading';
import type { DifferentRow, QuarantinedRow, QuarantineSelection, ReplayAnswer } from './door-contract';

const LIMIT = 100;

/** The migration's latest admission. */
async function latestRef(deps: ActivityDependencies, migration: string): Promise<RunRef> {
  const { row, control } = await findMigration(deps, migration);
  return { migration, planHash: row.plan_hash, control: control.config.name, lease: row.lease };
}

async function requestOf(deps: ActivityDependencies, { migration, dataset, rule, ids }: QuarantineSelection): Promise<QuarantineRequest> {
  return { ref: await latestRef(deps, migration), dataset, rule, ids };
}

export async function listDifferent(deps: ActivityDependencies, { migration, dataset, limit }: { migration: string; dataset?: string; limit: number }): Promise<DifferentRow[]> {
  return listDifferences(deps, { ref: await latestRef(deps, migration), dataset, limit });
}

export async function listQuarantined(deps: ActivityDependencies, selection: QuarantineSelection): Promise<QuarantinedRow[]> {
  return listQuarantine(deps, { ...(await requestOf(deps, selection)), state: selection.state, limit: selection.limit ?? LIMIT });
}

export async function replayQuarantined(deps: ActivityDependencies, selection: QuarantineSelection, by: string): Promise<ReplayAnswer> {
  const { replayed, refused, gone } = await replayQuarantine(deps, { ...(await requestOf(deps, selection)), by });
  return { replayed, stillRefused: refused, gone };
}

export async function waiveQuarantined(deps: ActivityDependencies, selection: QuarantineSelection, by: string, reason: string): Promise<number> {
  return waiveQuarantine(deps, { ...(await requestOf(deps, selection)), by, reason });
}

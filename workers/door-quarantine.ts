import type { ActivityDependencies } from '../activities/dependencies';
import { listQuarantine, replayQuarantine, waiveQuarantine, type QuarantineRequest } from '../activities/quarantine';
import { findMigration } from '../activities/status-reading';
import type { QuarantinedRow, QuarantineSelection, ReplayAnswer } from './door-contract';

const LIMIT = 100;

/** The rows meant, in the migration's latest admission. */
async function requestOf(deps: ActivityDependencies, { migration, dataset, rule, ids }: QuarantineSelection): Promise<QuarantineRequest> {
  const { row, control } = await findMigration(deps, migration);
  return { ref: { migration, planHash: row.plan_hash, control: control.config.name, lease: row.lease }, dataset, rule, ids };
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

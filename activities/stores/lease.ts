import type { PoolClient } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { PostgresSystem } from '../connectors/postgres/system';
import type { OwnerLookup } from '../dependencies';
import { isAmendmentOpen } from './amendments';
import { audit, lockMigration, type MigrationRow } from './control-store';

/** An owner that cannot be looked up counts as alive for this long after it was last heard of. */
const STALE_SECONDS = 45;
const ROUNDS_MAX = 8;

export interface LeaseOwner { workflowId: string; firstRunId: string; purpose: 'migrate' | 'validate' }
export interface TakenLease { lease: number; complete: boolean }
/** Work that belongs to an admission; runs once per new lease, in its transaction. `before` is the row as the last owner left it. */
export type OnTaken = (client: PoolClient, before: MigrationRow | null) => Promise<void>;

/**
 * Takes the migration's one lease: a new migration, our own again (a retried activity), or that of an owner who is done, closed or long unheard of.
 * `complete` tells that the same plan already ran to its end, and that nobody skipped the copy of anything in it. One transaction per lease; two callers at the same moment get one lease between them.
 * @throws MigrationError `LEASE_HELD`, `SYSTEM_BUSY` (transient), and whatever `onTaken` throws (the lease is then not taken).
 */
export async function takeLease(control: PostgresSystem, owners: OwnerLookup, migration: string, owner: LeaseOwner, planHash: string, onTaken: OnTaken): Promise<TakenLease> {
  /** The lease whose owner was found to be gone: only that one may be taken over. */
  let gone: number | null = null;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const outcome = await control.transaction((client) => attempt(client, { owners, migration, owner, planHash, onTaken, gone }));
    if (!('heldBy' in outcome)) return outcome;
    await assertGone(owners, outcome.heldBy);
    gone = outcome.heldBy.lease;
  }
  throw new MigrationError('SYSTEM_BUSY', `migration ${migration}: several runs are trying to take it at the same time`);
}

interface Attempt { owners: OwnerLookup; migration: string; owner: LeaseOwner; planHash: string; onTaken: OnTaken; gone: number | null }

async function attempt(client: PoolClient, request: Attempt): Promise<TakenLease | { heldBy: MigrationRow }> {
  const { migration, owner, planHash, owners, onTaken } = request;
  const inserted = await client.query(
    `INSERT INTO caravan.migration (name, workflow_id, first_run_id, namespace, plan_hash, purpose, phase) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (name) DO NOTHING`,
    [migration, owner.workflowId, owner.firstRunId, owners.namespace, planHash, owner.purpose, firstPhase(owner)]);
  if (inserted.rowCount === 1) {
    await onTaken(client, null);
    return { lease: 1, complete: false };
  }
  const row = await lockMigration(client, migration);
  if (!row) throw new MigrationError('SYSTEM_BUSY', `migration ${migration} was removed from the control store a moment ago`);
  const complete = row.status === 'complete' && row.finished_at !== null && row.plan_hash === planHash && !leftRowsBehind(row) && !(await isAmendmentOpen(client, migration));
  if (row.workflow_id === owner.workflowId && row.first_run_id === owner.firstRunId) {
    if (row.plan_hash !== planHash) throw new MigrationError('PLAN_CHANGED', `migration ${migration}: the plan file was edited while the run was being admitted; start the migration again`);
    return { lease: row.lease, complete };
  }
  if (row.finished_at === null && row.lease !== request.gone) return { heldBy: row };
  await onTaken(client, row);
  // A migration that ended starts its gates anew; one that goes on keeps what was approved.
  if (row.finished_at !== null && !complete && owner.purpose === 'migrate') await forgetApprovals(client, migration, owner);
  return { lease: await replaceOwner(client, row, request, complete), complete };
}

/** Skipped work on rows is work to do; skipped checks are decided. */
const leftRowsBehind = (row: MigrationRow): boolean => (row.skipped ?? []).some(({ step }) => /^(copy|finish|dataset|phase|references)(:|$)/.test(step));

const firstPhase = (owner: LeaseOwner): string => (owner.purpose === 'validate' ? 'validation' : 'preparation');

async function replaceOwner(client: PoolClient, row: MigrationRow, request: Attempt, complete: boolean): Promise<number> {
  const { migration, owner, planHash, owners } = request;
  // What a validation found when it came must survive a second validation that takes over from it.
  const keepBefore = row.purpose === 'validate' && row.finished_at === null;
  await client.query(
    `UPDATE caravan.migration SET workflow_id = $2, first_run_id = $3, namespace = $4, lease = lease + 1, plan_hash = $5, purpose = $6,
       status_before = CASE WHEN $9 THEN status_before ELSE status END, finished_before = CASE WHEN $9 THEN finished_before ELSE finished_at END,
       phase = CASE WHEN $7 THEN phase ELSE $8 END, status = CASE WHEN $7 THEN status ELSE 'running' END,
       skipped = CASE WHEN $7 OR $6 = 'validate' THEN skipped ELSE '[]' END, finished_at = CASE WHEN $7 THEN finished_at END, status_detail = NULL, blocked = '[]',
       status_since = clock_timestamp(), lease_seen_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE name = $1`,
    [migration, owner.workflowId, owner.firstRunId, owners.namespace, planHash, owner.purpose, complete && owner.purpose === 'migrate', firstPhase(owner), keepBefore]);
  await audit(client, migration, owner.workflowId, 'lease_taken_over', { lease: row.lease + 1, from: row.workflow_id });
  return row.lease + 1;
}

async function forgetApprovals(client: PoolClient, migration: string, owner: LeaseOwner): Promise<void> {
  const { rowCount } = await client.query('DELETE FROM caravan.approval WHERE migration = $1', [migration]);
  if (rowCount) await audit(client, migration, owner.workflowId, 'approvals_expired', { count: rowCount });
}

/** Returns when the owner of an unfinished lease is no more. */
async function assertGone(owners: OwnerLookup, row: MigrationRow): Promise<void> {
  const elsewhere = row.namespace !== owners.namespace;
  const state = elsewhere ? 'not_found' : await owners.state(row.workflow_id, row.first_run_id);
  if (state === 'closed') return;
  if (state === 'running') {
    throw new MigrationError('LEASE_HELD',
      `migration ${row.name} is already being run by workflow ${row.workflow_id}${linkText(owners, row)}. Follow or resume that one, or end it before you start another.`,
      { workflowId: row.workflow_id, ...(owners.uiUrl ? { link: workflowLink(owners.uiUrl, row.namespace, row.workflow_id) } : {}) });
  }
  if (row.seen_seconds < STALE_SECONDS) {
    throw new MigrationError('SYSTEM_BUSY',
      `migration ${row.name} is held by workflow ${row.workflow_id}, heard of ${Math.max(0, Math.round(row.seen_seconds))} s ago, which this Temporal (namespace ${owners.namespace}) does not know: perhaps another Temporal runs it. It is taken over once it has been silent for ${STALE_SECONDS} s.`,
      { workflowId: row.workflow_id });
  }
}

function linkText(owners: OwnerLookup, row: MigrationRow): string {
  return owners.uiUrl ? ` (${workflowLink(owners.uiUrl, row.namespace, row.workflow_id)})` : ` in namespace ${row.namespace}`;
}

/** Address of a workflow's page in the Web UI. */
export function workflowLink(uiUrl: string, namespace: string, workflowId: string): string {
  return `${uiUrl.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`;
}

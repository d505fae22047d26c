import type { PoolClient } from 'pg';
import type { AuditTrail } from '../migration/audit-trail';
import type { CheckOutcome, LifeStep, CompareResult, SkippedStep, StepDecision, UndoData } from '../migration/protocol';
import type { PostgresSystem } from './connectors/postgres/system';
import { readUndoData } from './forgetting/undo-data';
import { readTrail } from './stores/audit-store';
import { hasTable, readApprovals, readMigrations, type RecordedApproval } from './stores/control-store';
import { readObjects } from './stores/schema-object-store';
import { readSteps } from './stores/step-store';

export interface ReportCheck { stage: string; at: string; outcome: CheckOutcome | CompareResult }
/** Rows by dataset, first reason and state. A row counts once, under its first reason. */
export interface ReportQuarantine { dataset: string; rule: string; column: string | null; state: string; rows: number }
export interface ReportEvent { at: string; actor: string; event: string; body: Record<string, unknown> }
/** Work done on one dataset's current generation. Instants are null before the first commit. */
export interface ReportDataset { dataset: string; generation: number; commits: number; splits: number; firstCommitAt: string | null; lastCommitAt: string | null }

/** What a person decided about a blocked step. */
export interface ReportDecision { at: string; step: string; action: StepDecision['action']; by: string | null; reason: string | null }

/** What the control store knows about a migration, beyond its status. */
export interface ControlEvidence { approvals: RecordedApproval[]; checks: ReportCheck[]; audit: ReportEvent[]; trail: AuditTrail; steps: LifeStep[]; skipped: SkippedStep[]; decisions: ReportDecision[] }
/** Views, functions, triggers and the like that came with the tables (`made`), still wait for rows, or did not come (`left`, with the reason). */
export interface ReportObject { source: string; kind: string; name: string; state: 'made' | 'waiting' | 'left'; datasets: string[]; reason: string | null }
/** What one target's ledger knows. */
export interface LedgerEvidence { datasets: ReportDataset[]; quarantine: ReportQuarantine[]; objects: ReportObject[]; undo: UndoData[] }

const AUDIT_EVENTS_MAX = 500;

/** Approvals, the latest outcome of every check, what was skipped in the run that closed last, every decision about a step, the newest 500 audit events in order, and the whole audit trail with its hashes. Names and counts, never row values. Instants are ISO text. */
export async function readControlEvidence(control: PostgresSystem, migration: string): Promise<ControlEvidence> {
  const approvals = await readApprovals(control, migration);
  const [row] = await readMigrations(control, migration);
  const steps = await readSteps(control, migration);
  return control.use(async (client) => {
    const checks = await client.query<ReportCheck>(
      `SELECT stage, ${isoText('at')}, outcome FROM (
         SELECT DISTINCT ON (stage, name) id, stage, at, outcome FROM caravan.check_result WHERE migration = $1 ORDER BY stage, name, id DESC
       ) latest ORDER BY id`, [migration]);
    const audit = await client.query<ReportEvent>(
      `SELECT ${isoText('at')}, actor, event, body FROM (
         SELECT id, at, actor, event, body FROM caravan.audit WHERE migration = $1 ORDER BY id DESC LIMIT $2
       ) newest ORDER BY id`, [migration, AUDIT_EVENTS_MAX]);
    const decisions = await client.query<ReportDecision>(
      `SELECT ${isoText('at')}, body->>'step' AS step, body->>'action' AS action, body->>'by' AS by, body->>'reason' AS reason
       FROM caravan.audit WHERE migration = $1 AND event = 'step_decided' ORDER BY id`, [migration]);
    return {
      approvals: approvals.map((one) => ({ ...one, at: isoInstant(one.at) })), checks: checks.rows, audit: audit.rows, trail: await readTrail(client, migration), steps,
      skipped: row?.skipped ?? [], decisions: decisions.rows,
    };
  });
}

/** Commits, timings, quarantine, schema objects and undo data of all datasets that this target holds for the migration; nothing where there is no ledger yet. */
export async function readLedgerEvidence(target: PostgresSystem, migration: string): Promise<LedgerEvidence> {
  return target.use(async (client) => {
    if (!(await hasTable(client, 'dataset'))) return { datasets: [], quarantine: [], objects: [], undo: [] };
    const objects = (await readObjects(client, migration)).map(({ statements: _, ...object }): ReportObject => object);
    return { datasets: await readDatasets(client, migration), quarantine: await readQuarantine(client, migration), objects, undo: await readUndoData(client, migration) };
  });
}

async function readDatasets(client: PoolClient, migration: string): Promise<ReportDataset[]> {
  const { rows } = await client.query<ReportDataset>(
    `SELECT d.dataset, d.generation, coalesce(c.commits, 0)::int AS commits, coalesce(s.splits, 0)::int AS splits,
            ${isoText('c.first_at', '"firstCommitAt"')}, ${isoText('c.last_at', '"lastCommitAt"')}
     FROM caravan.dataset d
     LEFT JOIN LATERAL (
       SELECT count(*) AS commits, min(committed_at) AS first_at, max(committed_at) AS last_at
       FROM caravan.commit WHERE migration = d.migration AND dataset = d.dataset AND generation = d.generation
     ) c ON true
     LEFT JOIN LATERAL (
       SELECT count(*) AS splits FROM caravan.split WHERE migration = d.migration AND dataset = d.dataset AND generation = d.generation
     ) s ON true
     WHERE d.migration = $1 ORDER BY d.opened_at, d.dataset`, [migration]);
  return rows;
}

async function readQuarantine(client: PoolClient, migration: string): Promise<ReportQuarantine[]> {
  // Counts of an earlier generation went with its rows; only the current one is told.
  const { rows } = await client.query<ReportQuarantine>(
    `SELECT q.dataset, coalesce(q.reasons->0->>'rule', 'unknown') AS rule, q.reasons->0->>'column' AS "column", q.state, count(*)::int AS rows
     FROM caravan.quarantine q JOIN caravan.dataset d USING (migration, dataset, generation)
     WHERE q.migration = $1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC, 2, 3, 4`, [migration]);
  return rows;
}

/** An instant as ISO text with milliseconds, under its own or the given name. The session's time zone is UTC. */
function isoText(column: string, name = column): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${name}`;
}

function isoInstant(text: string): string {
  return text.includes('T') ? text : new Date(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')).toISOString();
}

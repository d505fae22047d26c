import type { ClientBase, PoolClient } from 'pg';
import type { ServerIdentity } from '../../migration/connector';
import { MigrationError } from '../../migration/errors';
import type { Approval, BlockedStep, CheckOutcome, CompareResult, Phase, RunRef, RunStatus, SkippedStep, Verdict } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { CONTROL_SCHEMA } from './control-schema';

/** Key of the advisory lock under which schema `caravan` is made: "caravan" as digits of its letters. */
const SCHEMA_LOCK = 3_118_122;

/** One migration as the control store knows it. Instants are text as the server gives them, in UTC. */
export interface MigrationRow {
  name: string;
  workflow_id: string;
  first_run_id: string;
  namespace: string;
  lease: number;
  plan_hash: string;
  phase: Phase;
  status: RunStatus;
  status_detail: string | null;
  blocked: BlockedStep[];
  started_at: string;
  updated_at: string;
  finished_at: string | null;
  purpose: 'migrate' | 'validate';
  /** What a person skipped in the run that closed last; absent in a control store that an earlier version made. */
  skipped?: SkippedStep[];
  /** Seconds since the status last changed. */
  status_seconds: number;
  /** Seconds since the owner was last heard of, by the server's clock. */
  seen_seconds: number;
}

/** By way of JSON: a store that no run of this version has seen yet lacks the column. */
const MIGRATION_COLUMNS = `to_jsonb(migration) -> 'skipped' AS skipped, name, workflow_id, first_run_id, namespace, lease::int AS lease, plan_hash, phase, status, status_detail, blocked,
  started_at, updated_at, finished_at, purpose,
  extract(epoch FROM clock_timestamp() - status_since)::float8 AS status_seconds, extract(epoch FROM clock_timestamp() - lease_seen_at)::float8 AS seen_seconds`;

/** Makes the control store where it is missing. Concurrent callers wait for each other. */
export async function installControlSchema(control: PostgresSystem): Promise<void> {
  await control.transaction(async (client) => {
    await client.query('SELECT pg_catalog.pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
    await client.query(CONTROL_SCHEMA);
  });
}

/** Locks and reads the migration's row; null when it was never admitted. Inside a transaction. */
export async function lockMigration(client: PoolClient, migration: string): Promise<MigrationRow | null> {
  const { rows } = await client.query<MigrationRow>(`SELECT ${MIGRATION_COLUMNS} FROM caravan.migration WHERE name = $1 FOR UPDATE`, [migration]);
  return rows[0] ?? null;
}

/** Migrations of this control store, latest change first; none when there is no control store yet. */
export async function readMigrations(control: PostgresSystem, name?: string): Promise<MigrationRow[]> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'migration'))) return [];
    const { rows } = await client.query<MigrationRow>(
      `SELECT ${MIGRATION_COLUMNS} FROM caravan.migration WHERE $1::text IS NULL OR name = $1 ORDER BY updated_at DESC, name`, [name ?? null]);
    return rows;
  });
}

/** Whether schema `caravan` has this table. */
export async function hasTable(client: ClientBase, table: string): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT pg_catalog.to_regclass('caravan.' || quote_ident($1)) IS NOT NULL AS there`, [table]);
  return rows[0]?.there === true;
}

/** @throws MigrationError `LEASE_LOST` (fenced) when a later admission, or nobody, holds the migration; `PLAN_AMENDED` (fenced) when its plan is a newer one. */
export async function assertLease(control: PostgresSystem, ref: RunRef): Promise<void> {
  const row = await control.use(async (client) => {
    const { rows } = await client.query<{ lease: string; plan_hash: string }>('SELECT lease::text AS lease, plan_hash FROM caravan.migration WHERE name = $1', [ref.migration]);
    return rows[0];
  });
  if (row?.lease !== String(ref.lease)) throw leaseLost(ref);
  if (row.plan_hash !== ref.planHash) throw planAmended(ref);
}

function planAmended(ref: RunRef): MigrationError {
  return new MigrationError('PLAN_AMENDED', `migration ${ref.migration}: its plan was amended; work under the former plan stops here and goes on under the new one`);
}

export function leaseLost(ref: RunRef): MigrationError {
  return new MigrationError('LEASE_LOST', `migration ${ref.migration}: another run has taken it over since lease ${ref.lease}; this run stops. Follow the run that holds it now: caravan status ${ref.migration}`);
}

/** Changes the migration's row while the lease is ours, and refreshes `lease_seen_at`. @throws MigrationError `LEASE_LOST`. */
export async function updateUnderLease(client: PoolClient, ref: RunRef, assignments: string, values: unknown[] = []): Promise<void> {
  const { rowCount } = await client.query(
    `UPDATE caravan.migration SET ${assignments ? `${assignments}, ` : ''}lease_seen_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE name = $1 AND lease = $2`, [ref.migration, ref.lease, ...values]);
  if (rowCount !== 1) throw leaseLost(ref);
}

/** Says that the owner lives. @throws MigrationError `LEASE_LOST`, `PLAN_AMENDED`. */
export async function refreshLease(control: PostgresSystem, ref: RunRef): Promise<void> {
  await control.use(async (client) => {
    const { rows } = await client.query<{ plan_hash: string }>(
      'UPDATE caravan.migration SET lease_seen_at = clock_timestamp() WHERE name = $1 AND lease = $2 RETURNING plan_hash', [ref.migration, ref.lease]);
    if (!rows[0]) throw leaseLost(ref);
    if (rows[0].plan_hash !== ref.planHash) throw planAmended(ref);
  });
}

/** Appends one line to the audit trail; `body` holds names and counts only. */
export async function audit(client: PoolClient, migration: string, actor: string, event: string, body: Record<string, unknown> = {}): Promise<void> {
  await client.query('INSERT INTO caravan.audit (migration, actor, event, body) VALUES ($1, $2, $3, $4)', [migration, actor, event, JSON.stringify(body)]);
}

/** Identities by connection, as admission saw them. */
export async function readIdentities(control: PostgresSystem, migration: string): Promise<Record<string, ServerIdentity>> {
  return control.use((client) => identitiesOf(client, migration));
}

/** As `readIdentities`, inside a transaction. */
export async function identitiesOf(client: PoolClient, migration: string): Promise<Record<string, ServerIdentity>> {
  const { rows } = await client.query<{ connection: string; identity: ServerIdentity }>(
    'SELECT connection, identity FROM caravan.connection_identity WHERE migration = $1', [migration]);
  return Object.fromEntries(rows.map((row) => [row.connection, row.identity]));
}

export async function storeIdentity(client: PoolClient, migration: string, connection: string, identity: ServerIdentity): Promise<void> {
  await client.query(
    `INSERT INTO caravan.connection_identity (migration, connection, identity) VALUES ($1, $2, $3)
     ON CONFLICT (migration, connection) DO UPDATE SET identity = excluded.identity`, [migration, connection, JSON.stringify(identity)]);
}

/** `identity`: as the person claimed it, or proved by a signature. */
export type RecordedApproval = Omit<Approval, 'signature'> & { identity: 'claimed' | 'signed'; at: string };

/** Approvals in the order they were given. */
export async function readApprovals(control: PostgresSystem, migration: string): Promise<RecordedApproval[]> {
  return control.use(async (client) => {
    // By way of JSON: a store that no run of this version has seen yet lacks the columns.
    const { rows } = await client.query<RecordedApproval>(
      `SELECT gate, approved_by AS by, role, reason, to_jsonb(approval) ->> 'evidence' AS evidence, coalesce(to_jsonb(approval) ->> 'identity', 'claimed') AS identity, at
       FROM caravan.approval WHERE migration = $1 ORDER BY at`, [migration]);
    return rows;
  });
}

export type CheckStage = 'before' | 'after' | 'counts' | 'sample' | 'rows';

/** Latest outcome of each check of a stage, by check name. */
export async function readCheckResults(control: PostgresSystem, migration: string, stage: CheckStage): Promise<(CheckOutcome & { at: string })[]> {
  return control.use(async (client) => {
    const { rows } = await client.query<{ outcome: CheckOutcome; at: string }>(
      'SELECT DISTINCT ON (name) outcome, at FROM caravan.check_result WHERE migration = $1 AND stage = $2 ORDER BY name, id DESC', [migration, stage]);
    return rows.map((row) => ({ ...row.outcome, at: row.at }));
  });
}

/**
 * Keeps outcomes as evidence, in place of what the same run found before under the same name (check or dataset, with the side where it has one).
 * Durable when it returns. @throws MigrationError `LEASE_LOST`: a run that was taken over has nothing more to say.
 */
export async function storeCheckResults(control: PostgresSystem, ref: RunRef, stage: CheckStage, outcomes: (CheckOutcome | CompareResult)[]): Promise<void> {
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    for (const outcome of outcomes) {
      const key = [ref.migration, ref.lease, stage, nameOf(outcome)];
      await client.query('DELETE FROM caravan.check_result WHERE migration = $1 AND lease = $2 AND stage = $3 AND name = $4', key);
      await client.query('INSERT INTO caravan.check_result (migration, lease, stage, name, outcome) VALUES ($1, $2, $3, $4, $5)', [...key, JSON.stringify(outcome)]);
    }
  });
}

function nameOf(outcome: CheckOutcome | CompareResult): string {
  if ('compared' in outcome) return `rows:${outcome.dataset}`;
  return `${outcome.kind}:${outcome.dataset ?? outcome.name}${outcome.side ? `:${outcome.side}` : ''}`;
}

/** What this run found in a stage about each dataset, by dataset. */
export async function readDatasetVerdicts(control: PostgresSystem, ref: RunRef, stage: 'counts' | 'sample' | 'rows'): Promise<Map<string, Verdict>> {
  return control.use(async (client) => {
    const { rows } = await client.query<{ dataset: string; verdict: Verdict }>(
      `SELECT DISTINCT ON (name) outcome ->> 'dataset' AS dataset, outcome ->> 'verdict' AS verdict FROM caravan.check_result
       WHERE migration = $1 AND lease = $2 AND stage = $3 ORDER BY name, id DESC`, [ref.migration, ref.lease, stage]);
    return new Map(rows.map((row) => [row.dataset, row.verdict]));
  });
}

/** Numbers that the source answered to the integrity checks before the copy, by check name. */
export async function readBaseline(control: PostgresSystem, migration: string): Promise<Map<string, string>> {
  return control.use(async (client) => {
    const { rows } = await client.query<{ check: string; value: string }>(
      `SELECT DISTINCT ON (name) outcome->>'name' AS check, outcome->>'value' AS value FROM caravan.check_result
       WHERE migration = $1 AND stage = 'before' AND outcome->>'kind' = 'integrity' AND outcome ? 'value' ORDER BY name, id DESC`, [migration]);
    return new Map(rows.map((row) => [row.check, row.value]));
  });
}

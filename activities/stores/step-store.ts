import type { PoolClient } from 'pg';
import type { LifeStep, RunRef, StepEvidence, StepState, StepUndo } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { audit, hasTable, leaseLost } from './control-store';

/** A step to carry out. `attempt`: the try at a cutover, or at a rollback, that it belongs to. `tookMs`: how long ago it began; default 0. */
export interface StepPlan { attempt: number; step: string; undo: StepUndo; tookMs?: number }

const COLUMNS = `id::int AS id, attempt::int AS attempt, step, state, epoch::int AS epoch, undo, evidence,
  to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "openedAt", to_char(closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "closedAt"`;

/**
 * Registers a step with its undo; durable before the step changes anything. Advances the migration's epoch: whoever still carries out an earlier step
 * is refused by the databases it writes to. The same step of the same attempt again is the same entry with the same epoch.
 * @throws MigrationError `LEASE_LOST`.
 */
export async function openStep(control: PostgresSystem, ref: RunRef, { attempt, step, undo, tookMs = 0 }: StepPlan): Promise<LifeStep> {
  return control.transaction(async (client) => {
    const epoch = await lockEpoch(client, ref);
    const known = await client.query<LifeStep>(`SELECT ${COLUMNS} FROM caravan.step WHERE migration = $1 AND attempt = $2 AND step = $3`, [ref.migration, attempt, step]);
    if (known.rows[0]) return known.rows[0];
    await client.query('UPDATE caravan.migration SET epoch = $2 WHERE name = $1', [ref.migration, epoch + 1]);
    const { rows } = await client.query<LifeStep>(
      `INSERT INTO caravan.step (migration, lease, attempt, step, state, epoch, undo, opened_at)
       VALUES ($1, $2, $3, $4, 'open', $5, $6, clock_timestamp() - make_interval(secs => $7::float8 / 1000)) RETURNING ${COLUMNS}`,
      [ref.migration, ref.lease, attempt, step, epoch + 1, JSON.stringify(undo), tookMs]);
    await audit(client, ref.migration, 'caravan', 'step_opened', { attempt, step, undo: undo.do });
    return rows[0] as LifeStep;
  });
}

/** Records how a step ended, with what was seen. Durable when it returns; a repeat changes nothing. @throws MigrationError `LEASE_LOST`. */
export async function closeStep(control: PostgresSystem, ref: RunRef, { id }: Pick<LifeStep, 'id'>, state: Exclude<StepState, 'open'>, evidence: StepEvidence): Promise<void> {
  await control.transaction(async (client) => {
    await lockEpoch(client, ref);
    const { rows } = await client.query<{ step: string; attempt: number }>(
      `UPDATE caravan.step SET state = $2, evidence = $3, closed_at = clock_timestamp() WHERE id = $1 AND state <> $2 RETURNING step, attempt::int AS attempt`,
      [id, state, JSON.stringify(evidence)]);
    if (rows[0]) await audit(client, ref.migration, 'caravan', `step_${state}`, { ...rows[0], what: evidence.what });
  });
}

/** The number of a new attempt: its steps are told apart from those of the ones before. @throws MigrationError `LEASE_LOST`. */
export async function nextAttempt(control: PostgresSystem, ref: RunRef): Promise<number> {
  return control.transaction(async (client) => {
    await lockEpoch(client, ref);
    const { rows } = await client.query<{ attempt: number }>('SELECT coalesce(max(attempt), 0)::int + 1 AS attempt FROM caravan.step WHERE migration = $1', [ref.migration]);
    return rows[0]?.attempt ?? 1;
  });
}

/** Every step of a migration, or of one attempt, in the order they were opened. None in a control store of before steps were kept. */
export async function readSteps(control: PostgresSystem, migration: string, attempt?: number): Promise<LifeStep[]> {
  return control.use(async (client) => {
    if (!(await hasTable(client, 'audit_head'))) return [];
    const { rows } = await client.query<LifeStep>(`SELECT ${COLUMNS} FROM caravan.step WHERE migration = $1 AND ($2::bigint IS NULL OR attempt = $2) ORDER BY id`, [migration, attempt ?? null]);
    return rows;
  });
}

async function lockEpoch(client: PoolClient, ref: RunRef): Promise<number> {
  const { rows } = await client.query<{ epoch: number }>('SELECT epoch::int AS epoch FROM caravan.migration WHERE name = $1 AND lease = $2 FOR UPDATE', [ref.migration, ref.lease]);
  if (!rows[0]) throw leaseLost(ref);
  return rows[0].epoch;
}

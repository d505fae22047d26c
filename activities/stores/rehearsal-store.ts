import type { PoolClient } from 'pg';
import type { Speed } from '../../migration/preparation/findings';
import type { RehearsalEvidence, StoredRehearsal } from '../../migration/preparation/rehearsal';
import type { RunRef } from '../../migration/protocol';
import type { PostgresSystem } from '../connectors/postgres/system';
import { audit, hasTable, updateUnderLease } from './control-store';

const COLUMNS = `id::int AS id, plan_hash AS "planHash", schema_digest AS "schemaDigest", state, evidence,
  to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "openedAt", to_char(closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "closedAt",
  (extract(epoch FROM clock_timestamp() - closed_at) * 1000)::float8 AS "ageMs"`;

/** Rehearsals and waivers of a migration, newest first. */
export async function readRehearsals(control: PostgresSystem, migration: string): Promise<StoredRehearsal[]> {
  return control.use((client) => rehearsalsOf(client, migration));
}

async function rehearsalsOf(client: PoolClient, migration: string): Promise<StoredRehearsal[]> {
  if (!(await hasTable(client, 'rehearsal'))) return [];
  const { rows } = await client.query<StoredRehearsal>(`SELECT ${COLUMNS} FROM caravan.rehearsal WHERE migration = $1 ORDER BY id DESC LIMIT 50`, [migration]);
  return rows;
}

/** Speed of one lane as the last rehearsal that passed measured it. */
export async function lastSpeed(control: PostgresSystem, migration: string): Promise<Speed | null> {
  const passed = (await readRehearsals(control, migration)).find(({ state }) => state === 'passed');
  return passed?.evidence.speed ?? null;
}

/** Enters a rehearsal that begins, or a waiver. Durable when it returns. @throws MigrationError `LEASE_LOST`. */
export async function enterRehearsal(control: PostgresSystem, ref: RunRef, schemaDigest: string, state: 'open' | 'waived', evidence: RehearsalEvidence): Promise<number> {
  return control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    const { rows } = await client.query<{ id: number }>(
      `INSERT INTO caravan.rehearsal (migration, lease, plan_hash, schema_digest, state, evidence, closed_at) VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $5 = 'waived' THEN clock_timestamp() END) RETURNING id::int AS id`,
      [ref.migration, ref.lease, ref.planHash, schemaDigest, state, JSON.stringify(evidence)]);
    await audit(client, ref.migration, evidence.waivedBy ?? 'caravan', state === 'open' ? 'rehearsal_opened' : 'rehearsal_waived', state === 'open' ? {} : { reason: evidence.reason ?? null });
    return rows[0]?.id ?? 0;
  });
}

/** Adds to what an open rehearsal found. Durable when it returns. @throws MigrationError `LEASE_LOST`. */
export async function noteRehearsal(control: PostgresSystem, ref: RunRef, id: number, more: Partial<RehearsalEvidence>): Promise<void> {
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    await client.query(`UPDATE caravan.rehearsal SET evidence = evidence || $3::jsonb WHERE id = $1 AND migration = $2 AND state = 'open'`, [id, ref.migration, JSON.stringify(more)]);
  });
}

/** Records how a rehearsal ended. Durable when it returns; a repeat changes nothing. @throws MigrationError `LEASE_LOST`. */
export async function closeRehearsal(control: PostgresSystem, ref: RunRef, id: number, state: 'passed' | 'failed', evidence: RehearsalEvidence): Promise<void> {
  await control.transaction(async (client) => {
    await updateUnderLease(client, ref, '');
    const { rowCount } = await client.query(
      `UPDATE caravan.rehearsal SET state = $3, evidence = $4, closed_at = clock_timestamp() WHERE id = $1 AND migration = $2 AND state = 'open'`, [id, ref.migration, state, JSON.stringify(evidence)]);
    if (rowCount === 1) await audit(client, ref.migration, 'caravan', `rehearsal_${state}`, { rows: evidence.rows, failures: evidence.failures.length });
  });
}

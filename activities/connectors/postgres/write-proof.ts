import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import type { StepEvidence } from '../../../migration/protocol';
import { counted, listed, setLockTimeout, withAdmin } from './admin-session';
import { readRows } from './catalog';
import { sqlState } from './errors';
import { qualified } from './sql';
import type { PostgresSystem } from './system';
import { REFUSAL, relationsToBlock, WORKER_SETTING, type BlockedRelation, type BlockTable } from './write-block-schema';

const LOCK_MS = 30_000;

/**
 * Tries a write on each table and all below and above it, as a session that is not Caravan's: a delete of no row, taken back at once.
 * @throws MigrationError `WRITES_NOT_BLOCKED` with the tables that took it.
 */
export async function proveBlocked(system: PostgresSystem, tables: readonly BlockTable[]): Promise<StepEvidence> {
  const { relations, open } = await tryWrites(system, tables, 'BEGIN READ WRITE');
  const untried = open.filter(({ refusal }) => refusal !== null && refusal !== REFUSAL);
  if (untried.length > 0) throw new MigrationError('WRITES_NOT_BLOCKED', `${system.config.name}: no write could be tried on ${listed(untried)} (SQLSTATE ${untried[0]?.state ?? 'unknown'}), so nothing proves that it is refused. Give the admin user the right to delete there, then retry.`);
  const writable = open.filter(({ refusal }) => refusal === null);
  if (writable.length > 0) {
    throw new MigrationError('WRITES_NOT_BLOCKED', `${system.config.name}: a write that had to be refused was not, on ${listed(writable)}. Look who removed or disabled the trigger caravan_block_… there, then retry.`);
  }
  return { what: `A write was tried on ${counted(relations, 'table')} of ${system.config.name}, partitions included: each was refused.`, tried: relations, refused: relations };
}

/**
 * Tries the same write, which has to be accepted. `missing`: tables that are not there (yet) are passed over.
 * @throws MigrationError `WRITES_REFUSED` with the tables that refuse, and whose block it is where it is a migration's.
 */
export async function proveWritable(system: PostgresSystem, tables: readonly BlockTable[], missing: 'refused' | 'ignored' = 'refused'): Promise<StepEvidence> {
  const { relations, open } = await tryWrites(system, tables, 'BEGIN', missing);
  const refused = open.filter(({ refusal }) => refusal !== null);
  if (refused.length > 0) {
    const others = await blockers(system);
    const why = refused.some(({ refusal }) => refusal === REFUSAL) && others.length > 0 ? ` Migrations that block writes there: ${others.join(', ')}.` : ' Look at read-only settings of the database and of the admin user, and at its rights on these tables, then retry.';
    throw new MigrationError('WRITES_REFUSED', `${system.config.name}: writes that had to be accepted are refused on ${listed(refused)} (SQLSTATE ${refused[0]?.state ?? 'unknown'}).${why}`);
  }
  return { what: `A write was tried on ${counted(relations, 'table')} of ${system.config.name}: each was accepted.`, tried: relations, accepted: relations };
}

interface Attempted extends BlockedRelation { refusal: string | null; state: string | null }

/** How each relation answers a delete of no row. `refusal`: null when it was accepted, `caravan_write_block`, or anything else. */
async function tryWrites(system: PostgresSystem, tables: readonly BlockTable[], begin: string, missing: 'refused' | 'ignored' = 'refused'): Promise<{ relations: number; open: Attempted[] }> {
  return withAdmin(system, undefined, async (client) => {
    await client.query(`RESET ${WORKER_SETTING}`);
    await client.query(begin);
    try {
      await setLockTimeout(client, LOCK_MS);
      const relations = await relationsToBlock(client, '', tables, missing);
      const open: Attempted[] = [];
      for (const relation of relations) open.push({ ...relation, ...await tryWrite(client, relation) });
      return { relations: relations.length, open };
    } finally {
      await client.query('ROLLBACK').catch(() => undefined);
    }
  });
}

async function tryWrite(client: ClientBase, relation: BlockedRelation): Promise<{ refusal: string | null; state: string | null }> {
  await client.query('SAVEPOINT caravan_try');
  try {
    await client.query(`DELETE FROM ${qualified(relation)} WHERE false`);
    return { refusal: await passedBy(client, relation), state: null };
  } catch (error) {
    const state = sqlState(error);
    if (state === null) throw error;
    return { refusal: (error as { constraint?: string }).constraint ?? state, state };
  } finally {
    await client.query('ROLLBACK TO SAVEPOINT caravan_try');
  }
}

/** A rule that does something instead of a delete keeps the triggers from firing on it: there the trigger itself is looked at. */
async function passedBy(client: ClientBase, { oid }: BlockedRelation): Promise<string | null> {
  const [found] = await readRows<{ refuses: boolean }>(
    client,
    `SELECT EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = $1::oid AND w.ev_type = '4' AND w.is_instead)
       AND EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid AND f.proname = 'refuse_write' WHERE g.tgrelid = $1::oid AND g.tgenabled = 'A' AND f.pronamespace = pg_catalog.to_regnamespace('caravan')) AS refuses`, [oid]);
  return found?.refuses ? REFUSAL : null;
}

async function blockers(system: PostgresSystem): Promise<string[]> {
  return withAdmin(system, undefined, async (client) => (await readRows<{ migration: string }>(client, 'SELECT migration FROM caravan.write_block WHERE blocked ORDER BY 1').catch(() => [])).map(({ migration }) => migration));
}

import type { Client, ClientBase } from 'pg';
import { isMigrationError, MigrationError } from '../../../migration/errors';
import type { StepEvidence } from '../../../migration/protocol';
import { counted, inTransaction, setLockTimeout, withAdmin } from './admin-session';
import { readRows } from './catalog';
import { sqlState } from './errors';
import { qualified, quoteIdent, quoteLiteral } from './sql';
import type { PostgresSystem } from './system';
import { blockTrigger, DDL_BLOCK_SCHEMA, lockHolders, relationsToBlock, WRITE_BLOCK_SCHEMA, type BlockedRelation, type BlockTable } from './write-block-schema';

export type { BlockTable };
/** `epoch`: of the step that asks, as the control store gave it. `lockTimeoutMs`: longest wait for transactions under way, over all tables. */
export interface BlockRequest { migration: string; epoch: number; tables: readonly BlockTable[]; lockTimeoutMs: number; signal?: AbortSignal }
/** Without `tables`: everything that the migration blocks in this database. */
export interface AllowRequest { migration: string; epoch: number; tables?: readonly BlockTable[]; signal?: AbortSignal }
/** What a database knows of a migration's write block. */
export interface BlockState { epoch: number; blocked: boolean; tables: BlockTable[]; changedAt: string }

/** Key of the advisory lock under which schema `caravan` is made; the same as the control store's. */
const SCHEMA_LOCK = 3_118_122;
/** Lifting waits only for others who change the table's definition. */
const ALLOW_LOCK_MS = 30_000;
/** A trigger that refuses nothing any more may stay where readers hold the table for long. */
const TIDY_LOCK_MS = 500;

/**
 * Makes the database refuse every insert, update, delete and truncate on these tables, their partitions, children and parents, from anybody but Caravan's
 * own sessions, superusers and replication included. One transaction: all of it holds when this returns, or nothing does. It waits for transactions that
 * are writing (prepared ones, too). The same epoch again changes nothing where everything is in place. Where the admin user is a superuser, changes of
 * the tables' definitions are refused as well. Sequences cannot be blocked.
 * @throws MigrationError `SYSTEM_BUSY` (transient) with who holds the locks; `WRITES_NOT_BLOCKED` where rights are missing or a subscription writes past
 * triggers; `OBJECT_MISSING`; `FENCED` when a later step has written here.
 */
export async function blockWrites(system: PostgresSystem, { migration, epoch, tables, lockTimeoutMs, signal }: BlockRequest): Promise<StepEvidence> {
  return withAdmin(system, signal, async (client) => {
    const started = Date.now();
    let relations: BlockedRelation[] = [];
    const ddl = await install(client).then(() => inTransaction(client, async () => {
      relations = await relationsToBlock(client, migration, tables);
      await refuseSubscriptions(client, system, relations);
      const known = await lockState(client, migration);
      requireCurrent(known, { migration, epoch }, system);
      for (const relation of relations.filter(({ mark }) => mark !== 'A')) {
        signal?.throwIfAborted();
        await setLockTimeout(client, lockTimeoutMs - (Date.now() - started));
        await placeTrigger(client, migration, relation);
      }
      await storeState(client, system, { migration, epoch, tables: union(known?.tables ?? [], tables) });
      return blockDefinitions(client);
    })).catch(async (error: unknown) => { throw await explained(error, system, relations, lockTimeoutMs); });
    return {
      what: `Writes to ${counted(tables.length, 'table')} of ${system.config.name}${relations.length > tables.length ? ` (${relations.length} with partitions, children and parents)` : ''} are refused. ${ddl ? 'So are changes of their definitions.' : 'Changes of their definitions are not: the admin user is no superuser.'} Sequences cannot be blocked: numbers may still be drawn from them.`,
      tables: tables.length, relations: relations.length, waited_ms: Date.now() - started, definitions_blocked: ddl,
    };
  });
}

/**
 * Takes back what `blockWrites` did for this migration; what others block stays blocked. Waits for no reader. The same epoch again changes nothing.
 * @throws MigrationError `FENCED` when a later step has written here; `SYSTEM_BUSY` (transient).
 */
export async function allowWrites(system: PostgresSystem, { migration, epoch, tables, signal }: AllowRequest): Promise<StepEvidence> {
  return withAdmin(system, signal, async (client) => {
    const opened = await install(client).then(() => inTransaction(client, async () => {
      await setLockTimeout(client, ALLOW_LOCK_MS);
      const known = await lockState(client, migration);
      requireCurrent(known, { migration, epoch }, system);
      const left = tables ? (known?.tables ?? []).filter((one) => !tables.some((other) => same(one, other))) : [];
      const kept = new Set((await relationsToBlock(client, migration, left, 'ignored')).map(({ oid }) => oid));
      const marked = (await markedRelations(client, migration)).filter(({ oid, mark }) => mark !== 'D' && !kept.has(oid));
      for (const relation of marked) await client.query(`ALTER TABLE ONLY ${qualified(relation)} DISABLE TRIGGER ${quoteIdent(blockTrigger(migration))}`);
      await storeState(client, system, { migration, epoch, tables: left });
      await releaseDefinitions(client);
      return marked.length;
    })).catch(async (error: unknown) => { throw await explained(error, system, [], ALLOW_LOCK_MS); });
    await tidy(client, { migration, epoch });
    return { what: `Writes to ${tables ? counted(tables.length, 'table') : 'the tables'} of ${system.config.name} are allowed again, as far as this migration goes.`, relations: opened };
  });
}

/** What this database knows of the migration's write block; null when none was ever set here. Needs no admin rights beyond reading schema `caravan`. */
export async function blockState(system: PostgresSystem, migration: string): Promise<BlockState | null> {
  return withAdmin(system, undefined, async (client) => {
    const [there] = await readRows<{ there: boolean }>(client, `SELECT pg_catalog.to_regclass('caravan.write_block') IS NOT NULL AS there`);
    return there?.there ? readState(client, migration) : null;
  });
}

async function install(client: ClientBase): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('SELECT pg_catalog.pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
    const [there] = await readRows<{ there: boolean }>(client, `SELECT pg_catalog.to_regclass('caravan.write_block') IS NOT NULL AND pg_catalog.to_regproc('caravan.refuse_write') IS NOT NULL AS there`);
    if (!there?.there) await client.query(WRITE_BLOCK_SCHEMA);
  });
}

/** @returns whether definitions are blocked, too. */
async function blockDefinitions(client: ClientBase): Promise<boolean> {
  const [found] = await readRows<{ able: boolean; there: boolean }>(
    client, `SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS able, (SELECT count(*) = 2 FROM pg_catalog.pg_event_trigger WHERE evtname IN ('caravan_block_ddl', 'caravan_block_drop')) AS there`);
  if (found?.able && !found.there) {
    await client.query('SELECT pg_catalog.pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
    await client.query(DDL_BLOCK_SCHEMA);
  }
  return found !== undefined && (found.able || found.there);
}

/** When nobody blocks anything any more, nothing of it has to look at what others define. */
async function releaseDefinitions(client: ClientBase): Promise<void> {
  const [found] = await readRows<{ due: boolean }>(
    client, `SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AND NOT EXISTS (SELECT FROM caravan.write_block WHERE blocked) AS due`);
  if (found?.due) await client.query('DROP EVENT TRIGGER IF EXISTS caravan_block_ddl; DROP EVENT TRIGGER IF EXISTS caravan_block_drop');
}

async function placeTrigger(client: ClientBase, migration: string, relation: BlockedRelation): Promise<void> {
  const name = quoteIdent(blockTrigger(migration));
  if (relation.mark === null) {
    // Nobody can truncate a foreign table on servers that know no such trigger.
    const events = relation.kind === 'f' ? 'INSERT OR UPDATE OR DELETE' : 'INSERT OR UPDATE OR DELETE OR TRUNCATE';
    await client.query(`CREATE TRIGGER ${name} BEFORE ${events} ON ${qualified(relation)} FOR EACH STATEMENT EXECUTE FUNCTION caravan.refuse_write(${quoteLiteral(migration)})`);
  }
  await client.query(`ALTER TABLE ONLY ${qualified(relation)} ENABLE ALWAYS TRIGGER ${name}`);
}

/** A subscription writes rows past statement triggers. */
async function refuseSubscriptions(client: ClientBase, system: PostgresSystem, relations: readonly BlockedRelation[]): Promise<void> {
  const fed = await readRows<{ name: string; subscription: string }>(
    client,
    `SELECT r.srrelid::regclass::text AS name, s.subname AS subscription FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid = r.srsubid AND s.subenabled WHERE r.srrelid = ANY ($1::oid[])`,
    [relations.map(({ oid }) => oid)]);
  const [first] = fed;
  if (first) throw new MigrationError('WRITES_NOT_BLOCKED', `${system.config.name}: the subscription "${first.subscription}" writes to ${first.name}${fed.length > 1 ? ` and ${fed.length - 1} more tables` : ''}, and no trigger stops it. Disable it (ALTER SUBSCRIPTION … DISABLE), then retry.`);
}

/** Everything that carries this migration's trigger, whatever is named today. */
function markedRelations(client: ClientBase, migration: string): Promise<BlockedRelation[]> {
  return readRows<BlockedRelation>(
    client,
    `SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, g.tgenabled AS mark FROM pg_catalog.pg_trigger g
     JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE g.tgname = $1 ORDER BY 1`, [blockTrigger(migration)]);
}

/** Removes triggers that refuse nothing any more; those that somebody's long query holds stay, switched off. Not once a later step has been here. */
async function tidy(client: Client, { migration, epoch }: { migration: string; epoch: number }): Promise<void> {
  for (const relation of (await markedRelations(client, migration)).filter(({ mark }) => mark === 'D')) {
    await inTransaction(client, async () => {
      await setLockTimeout(client, TIDY_LOCK_MS);
      if ((await lockState(client, migration))?.epoch !== epoch) return;
      await client.query(`DROP TRIGGER IF EXISTS ${quoteIdent(blockTrigger(migration))} ON ${qualified(relation)}`);
    }).catch((error: unknown) => { if (sqlState(error) === null && !isMigrationError(error)) throw error; });
  }
}

const STATE = `SELECT epoch::int8 AS epoch, blocked, tables, to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "changedAt" FROM caravan.write_block WHERE migration = $1`;

async function readState(client: ClientBase, migration: string): Promise<BlockState | null> {
  const [state] = await readRows<BlockState>(client, STATE, [migration]);
  return state ?? null;
}

async function lockState(client: ClientBase, migration: string): Promise<BlockState | null> {
  await client.query('SELECT FROM caravan.write_block WHERE migration = $1 FOR UPDATE', [migration]);
  return readState(client, migration);
}

/** The first step of a migration finds no row to lock: a later one that came in meanwhile is found here, and this transaction taken back. */
async function storeState(client: ClientBase, system: PostgresSystem, { migration, epoch, tables }: Pick<BlockRequest, 'migration' | 'epoch' | 'tables'>): Promise<void> {
  const { rowCount } = await client.query(
    `INSERT INTO caravan.write_block (migration, epoch, blocked, tables, trigger_name) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (migration) DO UPDATE SET epoch = $2, blocked = $3, tables = $4, changed_at = CASE WHEN write_block.blocked = $3 AND write_block.tables = $4 THEN write_block.changed_at ELSE clock_timestamp() END
     WHERE write_block.epoch <= $2`, [migration, epoch, tables.length > 0, JSON.stringify(tables), blockTrigger(migration)]);
  if (rowCount !== 1) throw fenced({ migration, epoch }, system);
}

function requireCurrent(known: BlockState | null, { migration, epoch }: { migration: string; epoch: number }, system: PostgresSystem): void {
  if (known && known.epoch > epoch) throw fenced({ migration, epoch }, system);
}

function fenced({ migration, epoch }: { migration: string; epoch: number }, system: PostgresSystem): MigrationError {
  return new MigrationError('FENCED', `${system.config.name}: a later step of migration ${migration} has changed the write block; this one (epoch ${epoch}) changes nothing.`);
}

/** A busy lock with its holder's name, missing rights with what they are for. */
async function explained(error: unknown, system: PostgresSystem, relations: readonly BlockedRelation[], waitedMs: number): Promise<unknown> {
  const state = sqlState(error);
  if (state === '55P03') {
    const holders = await withAdmin(system, undefined, (client) => lockHolders(client, relations)).catch(() => []);
    const who = holders.length > 0 ? ` The locks are held by ${holders.join('; ')}.` : '';
    return new MigrationError('SYSTEM_BUSY', `${system.config.name}: transactions that write were not over after ${Math.ceil(waitedMs / 1000)} s.${who} End them, or allow a longer cutover.lock_timeout. Nothing was changed.`);
  }
  if (state === '42501') return new MigrationError('WRITES_NOT_BLOCKED', `${system.config.name}: the write block needs the owner of the tables: ${(error as Error).message}. Give the connection an admin_url whose user owns them (or is a superuser) and may create in schema caravan, then retry.`);
  return error;
}

function union(known: readonly BlockTable[], more: readonly BlockTable[]): BlockTable[] {
  return [...known, ...more.filter((one) => !known.some((other) => same(one, other)))];
}

function same(a: BlockTable, b: BlockTable): boolean {
  return a.schema === b.schema && a.table === b.table;
}

import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { readRows } from './catalog';
import { OWN_SCHEMA } from './own-schema';
import { displayName, quoteLiteral, type TableName } from './sql';

/** What the refusal of a write carries as its constraint: tells it from every other reason to refuse. */
export const REFUSAL = 'caravan_write_block';
/** The setting by which a session says that it is Caravan's own (`system.ts`). */
export const WORKER_SETTING = 'caravan.worker';

/**
 * What a write block needs in a database. `write_block` holds, per migration, the epoch of the last step that blocked or allowed anything, and which
 * tables are blocked. Statements are idempotent; run them in one transaction, under the lock of schema `caravan`.
 */
export const WRITE_BLOCK_SCHEMA = `
${OWN_SCHEMA}CREATE TABLE IF NOT EXISTS caravan.write_block (
  migration text PRIMARY KEY,
  epoch bigint NOT NULL,
  blocked boolean NOT NULL,
  -- As they were named: [{schema, table}].
  tables jsonb NOT NULL DEFAULT '[]',
  trigger_name text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE OR REPLACE FUNCTION caravan.refuse_write() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
  IF pg_catalog.current_setting('${WORKER_SETTING}', true) = 'on' THEN RETURN NULL; END IF;
  RAISE EXCEPTION USING ERRCODE = '25006', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = '${REFUSAL}',
    MESSAGE = pg_catalog.format('%I.%I is read-only: a data migration is under way or has moved it', TG_TABLE_SCHEMA, TG_TABLE_NAME),
    HINT = pg_catalog.format('The migration "%s" blocks writes on this side. Write to the other system, or ask who runs the migration.', TG_ARGV[0]);
END $$;
REVOKE ALL ON FUNCTION caravan.refuse_write() FROM PUBLIC;
`;

/** Only a superuser may make event triggers: changes of blocked tables' definitions, new partitions of theirs, and dropping them. */
export const DDL_BLOCK_SCHEMA = `
CREATE OR REPLACE FUNCTION caravan.refuse_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN
  IF pg_catalog.current_setting('${WORKER_SETTING}', true) = 'on' THEN RETURN; END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger_ddl_commands() c LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.objid
      JOIN pg_catalog.pg_trigger g ON g.tgrelid IN (c.objid, i.inhparent) JOIN caravan.write_block w ON w.blocked AND w.trigger_name = g.tgname
      WHERE c.classid = 'pg_catalog.pg_class'::regclass AND c.object_type IN ('table', 'foreign table')) THEN
    RAISE EXCEPTION USING ERRCODE = '25006', CONSTRAINT = '${REFUSAL}', MESSAGE = 'this table cannot be changed: a data migration blocks writes to it', HINT = 'Ask who runs the migration.';
  END IF;
END $$;
CREATE OR REPLACE FUNCTION caravan.refuse_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN
  IF pg_catalog.current_setting('${WORKER_SETTING}', true) = 'on' THEN RETURN; END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() o JOIN caravan.write_block w ON w.blocked AND o.address_names[3] = w.trigger_name WHERE o.object_type = 'trigger') THEN
    RAISE EXCEPTION USING ERRCODE = '25006', CONSTRAINT = '${REFUSAL}', MESSAGE = 'this table cannot be dropped: a data migration blocks writes to it', HINT = 'Ask who runs the migration.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION caravan.refuse_ddl(), caravan.refuse_drop() FROM PUBLIC;
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'caravan_block_ddl') THEN
    CREATE EVENT TRIGGER caravan_block_ddl ON ddl_command_end EXECUTE FUNCTION caravan.refuse_ddl();
    ALTER EVENT TRIGGER caravan_block_ddl ENABLE ALWAYS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'caravan_block_drop') THEN
    CREATE EVENT TRIGGER caravan_block_drop ON sql_drop EXECUTE FUNCTION caravan.refuse_drop();
    ALTER EVENT TRIGGER caravan_block_drop ENABLE ALWAYS;
  END IF;
END $$;
`;

/** Condition that leaves out the triggers by which Caravan blocks writes, of a row `g` of pg_trigger: they are no part of anybody's schema. */
export const NOT_WRITE_BLOCK = `NOT EXISTS (SELECT FROM pg_catalog.pg_proc block_f JOIN pg_catalog.pg_namespace block_n ON block_n.oid = block_f.pronamespace WHERE block_f.oid = g.tgfoid AND block_n.nspname = 'caravan')`;

/** Name of a migration's triggers: several migrations may block the same table, each lifts its own. */
export function blockTrigger(migration: string): string {
  return `caravan_block_${createHash('sha256').update(migration).digest('hex').slice(0, 16)}`;
}

/** A table by its exact names. */
export interface BlockTable { schema: string; table: string }

/** Something that a write could go to. `mark`: state of this migration's trigger on it (`A` refuses always), null without one. */
export interface BlockedRelation extends TableName { oid: number; kind: 'r' | 'p' | 'f'; mark: string | null }

/**
 * Every table through which rows of the named ones can change: themselves, all below them (partitions, inheriting tables), all above them (a statement on
 * a parent fires the parent's triggers only), and what views among them read. In the order of their oids.
 * @throws MigrationError `OBJECT_MISSING` for a name that is not there, unless `missing` is `ignored`.
 */
export async function relationsToBlock(client: ClientBase, migration: string, tables: readonly BlockTable[], missing: 'refused' | 'ignored' = 'refused'): Promise<BlockedRelation[]> {
  const named = await readRows<{ schema: string; name: string; oid: number | null }>(
    client, `SELECT s AS schema, t AS name, (SELECT c.oid::int8 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = s AND c.relname = t) AS oid FROM unnest($1::text[], $2::text[]) u(s, t)`,
    [tables.map(({ schema }) => schema), tables.map(({ table }) => table)]);
  const absent = named.filter(({ oid }) => oid === null);
  if (absent.length > 0 && missing === 'refused') throw new MigrationError('OBJECT_MISSING', `these tables are to be write-blocked and are not there: ${absent.map(displayName).join(', ')}. Correct their names in the plan.`);
  return readRows<BlockedRelation>(
    client,
    `WITH RECURSIVE reach(oid, down) AS (
       SELECT o, true FROM unnest($1::oid[]) o
       UNION
       SELECT next.oid, next.down FROM reach CROSS JOIN LATERAL (
         SELECT inhrelid AS oid, true AS down FROM pg_catalog.pg_inherits WHERE inhparent = reach.oid AND reach.down
         UNION ALL SELECT inhparent, false FROM pg_catalog.pg_inherits WHERE inhrelid = reach.oid
         UNION ALL SELECT d.refobjid, true FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
           JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> w.ev_class
           WHERE w.ev_class = reach.oid AND reach.down) next)
     SELECT DISTINCT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, g.tgenabled AS mark
     FROM reach JOIN pg_catalog.pg_class c ON c.oid = reach.oid AND c.relkind IN ('r', 'p', 'f') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'pg_catalog'
     LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND g.tgname = $2 ORDER BY 1`, [named.flatMap(({ oid }) => (oid === null ? [] : [oid])), blockTrigger(migration)]);
}

/** Who holds a lock that a write block of these tables has to wait for, in words: pid, application, since when. Empty when nobody does any more. */
export async function lockHolders(client: ClientBase, relations: readonly BlockedRelation[]): Promise<string[]> {
  const holders = await readRows<{ pid: number | null; application: string | null; since: string | null; gid: string | null; seconds: number | null }>(
    client,
    `SELECT DISTINCT l.pid, nullif(a.application_name, '') AS application, x.gid, to_char(coalesce(a.xact_start, x.prepared) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') AS since,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))::int AS seconds
     FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     LEFT JOIN pg_catalog.pg_prepared_xacts x ON l.pid IS NULL AND l.virtualtransaction = '-1/' || x.transaction
     WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) AND l.relation = ANY ($1::oid[])
       AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() ORDER BY 4 LIMIT 5`, [relations.map(({ oid }) => oid)]);
  return holders.map(({ pid, application, gid, since, seconds }) => {
    const who = pid === null ? `the prepared transaction ${quoteLiteral(gid ?? '(not readable)')}` : `pid ${pid} (${application ?? 'no application name'})`;
    return since === null ? who : `${who}, in a transaction since ${since} (${seconds ?? 0} s)`;
  });
}

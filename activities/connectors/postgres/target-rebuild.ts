import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { readRows, serverMajor, withEmptySearchPath } from './catalog';
import { toMigrationError } from './errors';
import { displayName, quoteIdent, quoteLiteral, qualified, type TableName } from './sql';
import type { DroppedObject } from './dropped-object';
import { NOT_WRITE_BLOCK } from './write-block-schema';

/**
 * Makes a dropped object again and proves it equal by deparsing it. Repeatable: an equal object is left, an invalid index is made anew,
 * a foreign key that was added but not validated is validated. Order: indexes and unique constraints first, then checks and foreign keys, then triggers.
 * @throws MigrationError `MAPPING_INVALID` when another object has the name; `ROW_REFUSED` (SQLSTATE 23505, 23503) when rows break it.
 */
export function rebuild(client: ClientBase, object: DroppedObject): Promise<void> {
  const place = `${object.kind.replace('_', ' ')} ${object.name} of ${object.schema}.${object.table}`;
  return withEmptySearchPath(client, async () => {
    try {
      if (object.kind === 'index') await rebuildIndex(client, object, object.name, object.definition, object.comment, place);
      else if (object.kind === 'unique') await rebuildUnique(client, object, place);
      else if (object.kind === 'foreign_key') await rebuildForeignKey(client, object, place);
      else if (object.kind === 'check') await rebuildCheck(client, object, place);
      else await restoreTrigger(client, object);
    } catch (error) {
      throw toMigrationError(error, place);
    }
  });
}

interface IndexState { definition: string; valid: boolean; constraint: string | null }

async function readIndex(client: ClientBase, schema: string, name: string): Promise<IndexState | null> {
  const [found] = await readRows<IndexState>(
    client,
    `SELECT pg_catalog.pg_get_indexdef(x.oid) AS definition, i.indisvalid AND i.indisready AS valid,
       (SELECT u.conname FROM pg_catalog.pg_constraint u WHERE u.conindid = x.oid AND u.contype IN ('p', 'u', 'x')) AS constraint
     FROM pg_catalog.pg_class x JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid
     WHERE n.nspname = $1 AND x.relname = $2`,
    [schema, name],
  );
  return found ?? null;
}

async function rebuildIndex(client: ClientBase, object: DroppedObject, name: string, definition: string, comment: string | undefined, place: string): Promise<void> {
  const index = { schema: object.schema, name };
  const found = await readIndex(client, object.schema, name);
  if (found && !sameIndex(found.definition, definition)) throw different(place, found.definition, definition);
  if (found && !found.valid) await client.query(`DROP INDEX ${qualified(index)}`);
  if (!found?.valid) await client.query(definition);
  if (comment !== undefined) await client.query(`COMMENT ON INDEX ${qualified(index)} IS ${quoteLiteral(comment)}`);
  if (object.clustered) await client.query(`ALTER TABLE ${qualified(tableOf(object))} CLUSTER ON ${quoteIdent(name)}`);
  for (const { position, target } of object.statistics ?? []) {
    await client.query(`ALTER INDEX ${qualified(index)} ALTER COLUMN ${Math.trunc(position)} SET STATISTICS ${Math.trunc(target)}`);
  }
  const made = await readIndex(client, object.schema, name);
  if (!made?.valid || !sameIndex(made.definition, definition)) throw notEqual(place);
}

/** The deparser may place casts and parentheses otherwise once its own text was read back (`IN` lists of char columns): only those may differ. */
function sameIndex(a: string, b: string): boolean {
  const bare = (text: string) => text.replace(/::("[^"]+"|[a-z_]+( varying| precision| without time zone| with time zone)?)(\(\d+(,\d+)?\))?(\[\])*/g, '').replace(/[()\s]/g, '');
  return a === b || bare(a) === bare(b);
}

/** The unique index first, then the constraint on top of it: only the second needs the strong lock, and only for a moment. */
async function rebuildUnique(client: ClientBase, object: DroppedObject, place: string): Promise<void> {
  const table = tableOf(object);
  const existing = await readConstraint(client, table, object.name);
  if (existing && existing.definition !== object.definition) throw different(place, existing.definition, object.definition);
  if (!existing) {
    await rebuildIndex(client, { ...object, clustered: false }, object.name, object.indexDefinition ?? '', object.indexComment, place);
    const timing = /\b(DEFERRABLE( INITIALLY DEFERRED)?)$/.exec(object.definition)?.[1] ?? '';
    await client.query(`ALTER TABLE ${qualified(table)} ADD CONSTRAINT ${quoteIdent(object.name)} UNIQUE USING INDEX ${quoteIdent(object.name)} ${timing}`);
  }
  if (object.comment !== undefined) await commentOnConstraint(client, table, object.name, object.comment);
  if (object.clustered) await client.query(`ALTER TABLE ${qualified(table)} CLUSTER ON ${quoteIdent(object.name)}`);
  if ((await readConstraint(client, table, object.name))?.definition !== object.definition) throw notEqual(place);
}

/** NOT VALID first: new rows are checked from then on; the check of all rows comes after, with a lock that lets others write. */
async function rebuildForeignKey(client: ClientBase, object: DroppedObject, place: string): Promise<void> {
  const table = tableOf(object);
  const wantsValid = !/\bNOT (VALID|ENFORCED)$/.test(object.definition);
  const existing = await readConstraint(client, table, object.name);
  if (existing && withoutValidity(existing.definition) !== withoutValidity(object.definition)) throw different(place, existing.definition, object.definition);
  // Before version 18 a partitioned table cannot have one that is not valid yet.
  const atOnce = wantsValid && !existing && await isPartitioned(client, table);
  if (!existing) {
    await client.query(`ALTER TABLE ${qualified(table)} ADD CONSTRAINT ${quoteIdent(object.name)} ${object.definition}${wantsValid && !atOnce ? ' NOT VALID' : ''}`);
  }
  if (wantsValid && !atOnce && !existing?.validated) await client.query(`ALTER TABLE ${qualified(table)} VALIDATE CONSTRAINT ${quoteIdent(object.name)}`);
  if (object.comment !== undefined) await commentOnConstraint(client, table, object.name, object.comment);
  const made = await readConstraint(client, table, object.name);
  if (made?.definition !== object.definition && !(made?.validated && withoutValidity(object.definition) === made.definition)) throw notEqual(place);
}

/** One that is not proved in the source either: it holds for new rows from here on. */
async function rebuildCheck(client: ClientBase, object: DroppedObject, place: string): Promise<void> {
  const table = tableOf(object);
  const existing = await readConstraint(client, table, object.name);
  if (existing && existing.definition !== object.definition) throw different(place, existing.definition, object.definition);
  if (!existing) await client.query(`ALTER TABLE ${qualified(table)} ADD CONSTRAINT ${quoteIdent(object.name)} ${object.definition}`);
  if (object.comment !== undefined) await commentOnConstraint(client, table, object.name, object.comment);
  if ((await readConstraint(client, table, object.name))?.definition !== object.definition) throw notEqual(place);
}

async function isPartitioned(client: ClientBase, table: TableName): Promise<boolean> {
  const found = await readRows(client, `SELECT 1 FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname = $2 AND t.relkind = 'p'`, [table.schema, table.name]);
  return found.length > 0;
}

function withoutValidity(definition: string): string {
  return definition.replace(/ NOT VALID$/, '');
}

interface ConstraintState { definition: string; validated: boolean }

async function readConstraint(client: ClientBase, table: TableName, name: string): Promise<ConstraintState | null> {
  const [found] = await readRows<ConstraintState>(
    client,
    `SELECT pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 AND k.conname = $3`,
    [table.schema, table.name, name],
  );
  return found ?? null;
}

async function commentOnConstraint(client: ClientBase, table: TableName, name: string, comment: string): Promise<void> {
  await client.query(`COMMENT ON CONSTRAINT ${quoteIdent(name)} ON ${qualified(table)} IS ${quoteLiteral(comment)}`);
}

/** From this version on a trigger of a partitioned table can be turned off for that table alone; before, its clones on the partitions always follow. */
const ALONE_SINCE = 15;

/**
 * Keeps the table's own triggers off during the load: they would change or multiply rows. Each is turned off by name, so that checks of foreign keys stay on.
 * Run it in a transaction that also stores the answer; `rebuild` turns them on again as they were.
 * @throws MigrationError `PRIVILEGE_MISSING` when there are triggers and the user does not own the table.
 */
export async function disableTriggers(client: ClientBase, table: TableName): Promise<DroppedObject[]> {
  const triggers = await enabledTriggers(client, table);
  const foreign = triggers.find((trigger) => !trigger.owned);
  if (foreign) {
    throw new MigrationError(
      'PRIVILEGE_MISSING',
      `${displayName(table)} has triggers (${[...new Set(triggers.map((trigger) => trigger.name))].join(', ')}) that must be off during the load, and only its owner may turn them off. Use a user that is a member of ${foreign.owner}, or turn them off yourself.`,
    );
  }
  const alone = await serverMajor(client) >= ALONE_SINCE;
  const dropped = triggers.map(({ schema, table: name, name: trigger, state }): DroppedObject => ({ kind: 'trigger', schema, table: name, name: trigger, definition: state, ...(alone && { alone }) }));
  for (const object of dropped) await client.query(alterTrigger(object, 'DISABLE'));
  return dropped;
}

interface EnabledTrigger { schema: string; table: string; name: string; state: string; owned: boolean; owner: string }

/** Triggers of the table and of its partitions, which have their own; rows that come in through the root fire those of their leaf. */
function enabledTriggers(client: ClientBase, table: TableName): Promise<EnabledTrigger[]> {
  return readRows<EnabledTrigger>(
    client,
    `SELECT pn.nspname AS schema, p.relname AS "table", g.tgname AS name, g.tgenabled AS state, pg_catalog.pg_has_role(p.relowner, 'USAGE') AS owned, pg_catalog.pg_get_userbyid(p.relowner) AS owner
     FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
     CROSS JOIN LATERAL (SELECT t.oid AS relid, 0 AS level WHERE t.relkind <> 'p' UNION ALL SELECT relid, level FROM pg_catalog.pg_partition_tree(t.oid) WHERE t.relkind = 'p') part
     JOIN pg_catalog.pg_class p ON p.oid = part.relid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace JOIN pg_catalog.pg_trigger g ON g.tgrelid = p.oid
     WHERE n.nspname = $1 AND t.relname = $2 AND NOT g.tgisinternal AND ${NOT_WRITE_BLOCK} AND g.tgenabled IN ('O', 'A') ORDER BY part.level, pn.nspname, p.relname, g.tgname`,
    [table.schema, table.name],
  );
}

/** ALTER TABLE for a trigger that was taken away: of its own table only, where the server can. */
export function alterTrigger(object: DroppedObject, change: string): string {
  return `ALTER TABLE ${object.alone ? 'ONLY ' : ''}${qualified(tableOf(object))} ${change} TRIGGER ${quoteIdent(object.name)}`;
}

async function restoreTrigger(client: ClientBase, object: DroppedObject): Promise<void> {
  const mode = object.definition === 'A' ? 'ENABLE ALWAYS' : object.definition === 'R' ? 'ENABLE REPLICA' : 'ENABLE';
  await client.query(alterTrigger(object, mode));
}

function tableOf(object: DroppedObject): TableName {
  return { schema: object.schema, name: object.table };
}

function different(place: string, found: string, wanted: string): MigrationError {
  return new MigrationError('MAPPING_INVALID', `${place}: something else has this name: ${found}. Expected: ${wanted}. Rename or drop it, then go on.`);
}

function notEqual(place: string): MigrationError {
  return new MigrationError('INTERNAL', `${place}: what was built differs from what was dropped. Please report it.`);
}

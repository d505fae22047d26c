import type { ClientBase } from 'pg';
import type { DroppedObject } from '../connectors/postgres/dropped-object';
import { sqlState } from '../connectors/postgres/errors';
import { qualified, quoteIdent, type TableName } from '../connectors/postgres/sql';
import { alterTrigger, rebuild } from '../connectors/postgres/target-objects';
import type { PostgresSystem } from '../connectors/postgres/system';
import { underFence, type DatasetFence } from './dataset-fence';

/**
 * An object taken away for the load; `dataset` took it. `rebuilt`: its own step (`closeDataset`, `settleReferences`) has done its work. Foreign keys, checks and
 * triggers that are only given back for the time being (`restoreObjects`) stay `dropped`: that step is still owed.
 */
export interface StoredObject { id: string; dataset: string; state: 'dropped' | 'rebuilt'; object: DroppedObject }

/** In the order they were taken; with `of`, those of that table, and foreign keys that lead to it. */
export async function readDropped(client: ClientBase, migration: string, kinds: readonly DroppedObject['kind'][], of?: TableName): Promise<StoredObject[]> {
  const own = '(o.table_schema = $3 AND o.table_name = $4)';
  const leading = "(o.kind = 'foreign_key' AND o.definition -> 'references' ->> 'schema' = $3 AND o.definition -> 'references' ->> 'name' = $4)";
  const where = of ? `AND (${kinds.includes('foreign_key') ? `${own} OR ${leading}` : own})` : '';
  const { rows } = await client.query<{ id: string; dataset: string; state: StoredObject['state']; definition: DroppedObject }>(
    `SELECT o.id::text AS id, dataset, state, definition FROM caravan.dropped_object o WHERE migration = $1 AND kind = ANY ($2) ${where} ORDER BY o.id`,
    [migration, kinds, ...(of ? [of.schema, of.name] : [])]);
  return rows.map((row) => ({ id: row.id, dataset: row.dataset, state: row.state, object: row.definition }));
}

/** Makes the object again and says so, in one fenced transaction: an attempt that dies leaves nothing half made. */
export async function rebuildDropped(system: PostgresSystem, held: DatasetFence, stored: StoredObject): Promise<void> {
  await underFence(system, held, async (client) => {
    await client.query('SET LOCAL statement_timeout = 0');
    await rebuild(client, stored.object);
    await client.query(`UPDATE caravan.dropped_object SET state = 'rebuilt' WHERE id = $1`, [stored.id]);
  });
}

/** How a foreign key, check or trigger stands now. `unproved`: a foreign key that is NOT VALID. Other kinds are where their state says. */
export async function standingOf(client: ClientBase, { object, state }: Pick<StoredObject, 'object' | 'state'>): Promise<'there' | 'unproved' | 'away'> {
  const { kind, schema, table, name } = object;
  if (kind === 'index' || kind === 'unique') return state === 'rebuilt' ? 'there' : 'away';
  const { rows } = await client.query<{ whole: boolean; away: boolean }>(
    kind === 'foreign_key' || kind === 'check'
      ? `SELECT k.convalidated AS whole, false AS away FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname = $2 AND k.conname = $3`
      : `SELECT true AS whole, g.tgenabled = 'D' AS away FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class t ON t.oid = g.tgrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname = $2 AND g.tgname = $3 AND NOT g.tgisinternal`,
    [schema, table, name]);
  const [row] = rows;
  if (!row || row.away) return 'away';
  return row.whole || / NOT (VALID|ENFORCED)$/.test(object.definition) ? 'there' : 'unproved';
}

/** Takes an object away once more, in the caller's transaction; its first definition is kept. What others have built on since stays. */
export async function takeAway(client: ClientBase, { id, object }: StoredObject): Promise<void> {
  await client.query('SAVEPOINT caravan_take');
  try {
    await client.query(removal(object));
    await client.query(`UPDATE caravan.dropped_object SET state = 'dropped' WHERE id = $1`, [id]);
  } catch (error) {
    // 2BP01: something else needs it. 42704: there is no such trigger any more.
    if (!['2BP01', '42704'].includes(sqlState(error) ?? '')) throw error;
    await client.query('ROLLBACK TO SAVEPOINT caravan_take');
  }
  await client.query('RELEASE SAVEPOINT caravan_take');
}

function removal(object: DroppedObject): string {
  const { kind, schema, table, name } = object;
  const owner = qualified({ schema, name: table });
  if (kind === 'index') return `DROP INDEX IF EXISTS ${qualified({ schema, name })}`;
  if (kind === 'trigger') return alterTrigger(object, 'DISABLE');
  return `ALTER TABLE ${owner} DROP CONSTRAINT IF EXISTS ${quoteIdent(name)}`;
}

import type { ClientBase } from 'pg';
import { isMigrationError } from '../../migration/errors';
import { readRows } from '../connectors/postgres/catalog';
import { emptyTable } from '../connectors/postgres/sink';
import { columnList, qualified, quoteIdent, type TableName } from '../connectors/postgres/sql';
import { disableTriggers, rebuild } from '../connectors/postgres/target-objects';
import { underFence, type DatasetFence } from '../reconciliation/dataset-fence';
import { targetFrom, type DatasetSides } from '../reconciliation/dataset-sides';
import type { UndoPass } from './judge-rows';
import { keyColumns, keyEquals, leavesOf, seenBy, writtenByCopy, type Leaf } from './row-origin';

/** Pages of 8 kB that one transaction takes back: a few hundred thousand narrow rows, a tenth of a second to a second. */
const BLOCKS = 2_000;
/** Journalled rows per transaction. */
const ROWS = 2_000;
const LOCK_TIMEOUT_MS = 30_000;

/** `overwrite`: what others changed goes back as well (`restore_old`). */
export interface TakeBack { sides: DatasetSides; held: DatasetFence; pass: UndoPass; overwrite: boolean; signal: AbortSignal }

/** Nobody else touched a table that was empty at the start: it is emptied in one step. False where something stands against it: then row by row. */
export async function emptyAtOnce({ sides, held }: TakeBack): Promise<boolean> {
  const table = tableOf(sides);
  return quietly(sides, held, async (client) => {
    const from = await targetFrom(client, sides);
    await client.query(`LOCK TABLE ${from} IN SHARE ROW EXCLUSIVE MODE`);
    const { rows: [row] } = await client.query<{ strange: boolean; conflicts: boolean; rows: string }>(
      `SELECT EXISTS (SELECT FROM ${from} t WHERE NOT (${writtenByCopy(held)})) AS strange, EXISTS (SELECT FROM caravan.rollback_conflict WHERE migration = $1 AND dataset = $2 AND generation = $3) AS conflicts,
         (SELECT count(*) FROM ${from}) AS rows`, [held.migration, held.dataset, held.generation]);
    if (row?.strange !== false || row.conflicts || await hasForeignKeysTo(client, table)) return false;
    await emptyTable(client, from);
    await count(client, held, { removed: Number(row.rows) });
    return true;
  });
}

/** A foreign key from elsewhere makes the emptying a delete of all rows in one transaction. */
async function hasForeignKeysTo(client: ClientBase, table: TableName): Promise<boolean> {
  const found = await readRows(client, `SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = to_regclass($1) AND k.conrelid <> k.confrelid LIMIT 1`, [qualified(table)]);
  return found.length > 0;
}

/** Every row goes that was there when the rows were judged and is no conflict; by places of the table, so that a repeat passes over what is gone. */
export async function removeRows(work: TakeBack): Promise<void> {
  const { sides, held, signal } = work;
  const leaves = await sides.ctx.target.use((client) => leavesOf(client, tableOf(sides)));
  for (const leaf of leaves) {
    for (let from = 0; from < Math.max(1, leaf.blocks); from += BLOCKS) {
      signal.throwIfAborted();
      await quietly(sides, held, async (client) => {
        await count(client, held, { removed: await removeBlocks(client, work, leaf, from) });
      });
    }
  }
}

async function removeBlocks(client: ClientBase, { held, pass, overwrite }: TakeBack, leaf: Leaf, from: number): Promise<number> {
  const kept = overwrite ? `AND c.kind <> 'changed'` : '';
  const { rowCount } = await client.query(
    `DELETE FROM ONLY ${qualified(leaf)} t WHERE t.ctid >= $4::tid AND t.ctid < $5::tid AND ${seenBy(pass.snapshot)}
       AND NOT EXISTS (SELECT FROM caravan.rollback_conflict c WHERE c.migration = $1 AND c.dataset = $2 AND c.generation = $3 AND c.relation = t.tableoid AND c.place = t.ctid ${kept})`,
    [held.migration, held.dataset, held.generation, `(${from},0)`, `(${from + BLOCKS},0)`]);
  return rowCount ?? 0;
}

/** In a table with rows of others: the rows that the journal says this migration brought, a page of keys at a time; what is taken back leaves the journal. */
export async function removeJournalled(work: TakeBack): Promise<void> {
  const { sides, held, pass } = work;
  const columns = keyColumns(sides);
  await inPages(work, `caravan.merged_key j WHERE j.migration = $1 AND j.dataset = $2 AND j.inserted`, async (client, keys) => {
    const { rowCount } = await client.query(
      `DELETE FROM ${await targetFrom(client, sides)} t USING jsonb_array_elements($1::jsonb) k(key) WHERE ${keyEquals(columns, (at) => `k.key ->> ${at}`)} AND ${seenBy(pass.snapshot)}`, [JSON.stringify(keys)]);
    await client.query(
      `DELETE FROM caravan.merged_key j USING jsonb_array_elements($3::jsonb) k(key) WHERE j.migration = $1 AND j.dataset = $2 AND j.inserted AND j.target_key = ${KEY_OF_JSON}
         AND NOT EXISTS (SELECT FROM ${await targetFrom(client, sides)} t WHERE ${keyEquals(columns, (at) => `j.target_key[${at + 1}]`)})`,
      [held.migration, held.dataset, JSON.stringify(keys)]);
    await count(client, held, { removed: rowCount ?? 0 });
  });
}

/** Rows of others that the migration changed go back to what they were, exactly; images that were put back leave the journal. */
export async function putImagesBack(work: TakeBack): Promise<void> {
  const { sides, held, pass } = work;
  const table = tableOf(sides);
  const columns = keyColumns(sides);
  const settable = await sides.ctx.target.use((client) => settableColumns(client, table, columns.map(({ name }) => name)));
  const whole = `CASE jsonb_typeof(b.image) WHEN 'string' THEN (b.image #>> '{}')::${qualified(table)} ELSE jsonb_populate_record(NULL::${qualified(table)}, b.image) END`;
  await inPages(work, `caravan.before_image j WHERE j.migration = $1 AND j.dataset = $2`, async (client, keys) => {
    const from = await targetFrom(client, sides);
    const page = `(SELECT b.target_key AS key, ${whole} AS old FROM caravan.before_image b JOIN jsonb_array_elements($3::jsonb) k(key) ON b.target_key = ${KEY_OF_JSON} WHERE b.migration = $1 AND b.dataset = $2)`;
    const parameters = [held.migration, held.dataset, JSON.stringify(keys)];
    const updated = settable.length === 0 ? 0 : (await client.query(
      `UPDATE ${from} t SET ${settable.map((name) => `${quoteIdent(name)} = (i.old).${quoteIdent(name)}`).join(', ')} FROM ${page} i
       WHERE ${keyEquals(columns, (at) => `i.key[${at + 1}]`)} AND ${seenBy(pass.snapshot)}`, parameters)).rowCount ?? 0;
    const written = [...columns.map(({ name }) => name), ...settable];
    const inserted = work.overwrite ? (await client.query(
      `INSERT INTO ${qualified(table)} (${columnList(written)}) OVERRIDING SYSTEM VALUE SELECT ${written.map((name) => `(i.old).${quoteIdent(name)}`).join(', ')} FROM ${page} i
       WHERE NOT EXISTS (SELECT FROM ${from} t WHERE ${keyEquals(columns, (at) => `i.key[${at + 1}]`)})`, parameters)).rowCount ?? 0 : 0;
    await client.query(`DELETE FROM caravan.before_image j USING jsonb_array_elements($3::jsonb) k(key) WHERE j.migration = $1 AND j.dataset = $2 AND j.target_key = ${KEY_OF_JSON}`, parameters);
    await count(client, held, { restored: updated + inserted });
  });
}

const KEY_OF_JSON = 'ARRAY(SELECT e FROM jsonb_array_elements_text(k.key) WITH ORDINALITY e(e, n) ORDER BY n)';

/** Keys of the journal that are no conflict, page by page in their order; each page is one transaction, and falls apart into rows where one is refused. */
async function inPages(work: TakeBack, journal: string, take: (client: ClientBase, keys: (string | null)[][]) => Promise<void>): Promise<void> {
  const { sides, held, signal, overwrite } = work;
  const spared = overwrite ? `c.kind NOT IN ('changed', 'deleted')` : 'true';
  let after: (string | null)[] | null = null;
  for (;;) {
    signal.throwIfAborted();
    const { rows } = await sides.ctx.target.use((client) => client.query<{ key: (string | null)[] }>(
      `SELECT j.target_key AS key FROM ${journal} AND ($3::text[] IS NULL OR j.target_key > $3)
         AND NOT EXISTS (SELECT FROM caravan.rollback_conflict c WHERE c.migration = $1 AND c.dataset = $2 AND c.generation = $4 AND c.key = j.target_key AND ${spared})
       ORDER BY j.target_key LIMIT ${ROWS}`, [held.migration, held.dataset, after, held.generation]));
    if (rows.length === 0) return;
    after = rows.at(-1)?.key ?? null;
    const keys = rows.map(({ key }) => key);
    try {
      await quietly(sides, held, (client) => take(client, keys));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      for (const key of keys) await oneByOne(sides, held, key, take);
    }
  }
}

/** A row that the table refuses to give up or to take back (a unique value that another row has by now, say) is a conflict of its own. */
async function oneByOne(sides: DatasetSides, held: DatasetFence, key: (string | null)[], take: (client: ClientBase, keys: (string | null)[][]) => Promise<void>): Promise<void> {
  try {
    await quietly(sides, held, (client) => take(client, [key]));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    await underFence(sides.ctx.target, held, (client) => client.query(
      `INSERT INTO caravan.rollback_conflict (migration, dataset, generation, attempt, kind, key)
       SELECT p.migration, p.dataset, p.generation, p.attempt, 'refused', $3 FROM caravan.undo_pass p WHERE p.migration = $1 AND p.dataset = $2`, [held.migration, held.dataset, key]));
  }
}

const isRefusal = (error: unknown): boolean => isMigrationError(error) && typeof error.details.sqlstate === 'string' && /^(22|23|44|P0)/.test(error.details.sqlstate);

/**
 * One fenced transaction in which the table's own triggers stay silent: a row that goes back must not be changed on its way. They are as they were at its end,
 * whatever happens.
 */
async function quietly<T>(sides: DatasetSides, held: DatasetFence, work: (client: ClientBase) => Promise<T>): Promise<T> {
  return underFence(sides.ctx.target, held, async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET CONSTRAINTS ALL DEFERRED`);
    const silenced = await disableTriggers(client, tableOf(sides));
    const result = await work(client);
    if (silenced.length > 0) await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    for (const trigger of silenced) await rebuild(client, trigger);
    return result;
  });
}

/** All columns that a statement may set, but those of the key. */
async function settableColumns(client: ClientBase, table: TableName, key: readonly string[]): Promise<string[]> {
  const rows = await readRows<{ name: string }>(
    client,
    `SELECT a.attname AS name FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' ORDER BY a.attnum`, [qualified(table)]);
  return rows.map(({ name }) => name).filter((name) => !key.includes(name));
}

async function count(client: ClientBase, { migration, dataset }: DatasetFence, { removed = 0, restored = 0 }: { removed?: number; restored?: number }): Promise<void> {
  await client.query('UPDATE caravan.undo_pass SET removed = removed + $3, restored = restored + $4 WHERE migration = $1 AND dataset = $2', [migration, dataset, removed, restored]);
}

function tableOf({ ctx }: DatasetSides): TableName {
  return { schema: ctx.targetTable.schema, name: ctx.targetTable.table };
}

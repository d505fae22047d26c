import type { Client, ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { DroppedObject } from '../connectors/postgres/dropped-object';
import { columnList, quoteIdent, qualified } from '../connectors/postgres/sql';
import type { DatasetFence } from './dataset-fence';
import { targetFrom, type DatasetSides } from './dataset-sides';
import { joinKey } from './known-absences';
import { ownRow } from './own-rows';
import { arrivedKey, asSourceKey, moveToQuarantine, placeColumns, sourceRowsOf, type PlacedRow } from './row-mover';

const PAGE = 500;

/** What must be unique: SQL expressions over the target table, for the rows of a predicate. */
export interface UniqueSubject { columns: string; expressions: string[]; predicate: string | null; nullsEqual: boolean }

export function subjectOf(columns: readonly string[]): UniqueSubject {
  return { columns: columns.join(', '), expressions: columns.map(quoteIdent), predicate: null, nullsEqual: false };
}

/** The nth column of index `i`, in the collation that the index has where it is not the column's own: the two may not find the same values equal. */
const IN_ITS_COLLATION = `pg_catalog.pg_get_indexdef(i.indexrelid, n, false) || coalesce((
  SELECT pg_catalog.format(' COLLATE %I.%I', s.nspname, c.collname) FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace s ON s.oid = c.collnamespace
  WHERE c.oid = i.indcollation[n - 1] AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[n - 1] AND a.attcollation = c.oid)), '')`;

/** The expressions of a dropped unique index, as the server itself takes it apart on an empty table of the same shape. */
export async function subjectOfIndex(client: ClientBase, sides: DatasetSides, object: DroppedObject): Promise<UniqueSubject | null> {
  const definition = object.kind === 'unique' ? object.indexDefinition : object.definition;
  if (definition === undefined || !definition.startsWith('CREATE UNIQUE INDEX ')) return null;
  const table = qualified({ schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table });
  await client.query(`CREATE TEMP TABLE caravan_shape (LIKE ${table}) ON COMMIT DROP`);
  await client.query(definition.replace(/^CREATE UNIQUE INDEX .*? ON (?:ONLY )?.*? USING /s, 'CREATE UNIQUE INDEX caravan_shape_index ON pg_temp.caravan_shape USING '));
  const { rows } = await client.query<{ names: string[]; expressions: string[]; predicate: string | null; definition: string }>(
    `SELECT ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnkeyatts) n ORDER BY n) AS names,
       ARRAY(SELECT ${IN_ITS_COLLATION} FROM generate_series(1, i.indnkeyatts) n ORDER BY n) AS expressions,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
     FROM pg_catalog.pg_index i WHERE i.indexrelid = 'pg_temp.caravan_shape_index'::regclass`);
  await client.query('DROP TABLE pg_temp.caravan_shape');
  const row = rows[0];
  return row ? { columns: row.names.join(', '), expressions: row.expressions, predicate: row.predicate, nullsEqual: row.definition.includes(' NULLS NOT DISTINCT') } : null;
}

/**
 * Moves to quarantine all rows but one of each set of equal ones. The keeper is the row with the lowest source key, by the source's own order;
 * without a key (or when a transform makes it) the first in the target's key or load order. Rows of others are always kept.
 * One fenced transaction of the caller; memory is one page. Answers how many moved.
 * @throws MigrationError `ROW_REFUSED` when the plan says `on_invalid: fail` and there are any.
 */
export async function enforceUnique(client: ClientBase, source: Client | null, sides: DatasetSides, held: DatasetFence, subject: UniqueSubject, signal: AbortSignal): Promise<number> {
  await collectDuplicates(client, sides, subject);
  const { rows: [found] } = await client.query<{ losers: string }>(`SELECT coalesce(sum(CASE WHEN own = rows THEN own - 1 ELSE own END), 0)::text AS losers
     FROM (SELECT count(*) FILTER (WHERE own) AS own, count(*) AS rows FROM pg_temp.caravan_duplicates GROUP BY caravan_group) g`);
  const losers = Number(found?.losers ?? 0);
  if (losers > 0 && sides.ctx.dataset.on_invalid === 'fail') {
    throw new MigrationError('ROW_REFUSED', `dataset ${sides.ctx.name}: ${losers} rows repeat a value of (${subject.columns}) that must be unique, and the plan says on_invalid: fail. Clean them in the source, or use on_invalid: quarantine.`);
  }
  let moved = 0;
  let carried: DuplicateRow | null = null;
  for (let after = 0; losers > 0;) {
    const { rows: page } = await client.query<DuplicateRow>(
      `SELECT caravan_n AS n, caravan_group AS grouped, part, place::text AS place, key, own FROM pg_temp.caravan_duplicates WHERE caravan_n > $1 ORDER BY caravan_n LIMIT ${PAGE}`, [after]);
    const last = page.at(-1);
    if (!last) break;
    after = Number(last.n);
    const judged: Judged = await judge(source, sides, carried ? [carried, ...page] : page, signal);
    carried = judged.lastKeeper;
    const reasons = [{ rule: 'unique', column: subject.columns }];
    moved += await moveToQuarantine(client, source, sides, held, judged.losers.map((row) => ({ ...row, reasons })), 'unique', signal);
  }
  await client.query('DROP TABLE pg_temp.caravan_duplicates');
  return moved;
}

interface DuplicateRow extends PlacedRow { n: string; grouped: string; own: boolean }
interface Judged { losers: DuplicateRow[]; lastKeeper: DuplicateRow | null }

/** All rows that share their values with another one, numbered so that equal ones stand together, the best candidate by the target's own order first. */
async function collectDuplicates(client: ClientBase, sides: DatasetSides, subject: UniqueSubject): Promise<void> {
  const table = await targetFrom(client, sides);
  await client.query(`LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`);
  const names = subject.expressions.map((_, at) => `caravan_e${at}`);
  const conditions = subject.nullsEqual ? [] : subject.expressions.map((expression) => `(${expression}) IS NOT NULL`);
  if (subject.predicate !== null) conditions.push(`(${subject.predicate})`);
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '';
  const same = subject.expressions.map((expression, at) => (subject.nullsEqual ? `(${expression}) IS NOT DISTINCT FROM caravan_e${at}` : `(${expression}) = caravan_e${at}`)).join(' AND ');
  const key = (sides.targetKey ?? []).map((at) => sides.targetColumns[at]?.name ?? '');
  const order = [...(key.length > 0 ? [columnList(key)] : []), 't.tableoid, t.ctid'].join(', ');
  await client.query(
    `CREATE TEMP TABLE caravan_duplicates ON COMMIT DROP AS
     WITH repeated AS (
       SELECT *, row_number() OVER () AS caravan_group
       FROM (SELECT ${subject.expressions.map((expression, at) => `(${expression}) AS caravan_e${at}`).join(', ')} FROM ${table}${where} GROUP BY ${names.map((_, at) => at + 1).join(', ')} HAVING count(*) > 1) r)
     SELECT row_number() OVER (ORDER BY caravan_group, ${order}) AS caravan_n, caravan_group, ${placeColumns(sides)}, ${await ownRow(client, sides)} AS own
     FROM ${table} t JOIN repeated ON ${same}${where}`);
  await client.query('CREATE INDEX ON pg_temp.caravan_duplicates (caravan_n)');
}

/** Rows come group by group; a group may go on in the next page, then its keeper so far comes along. */
async function judge(source: Client | null, sides: DatasetSides, rows: readonly DuplicateRow[], signal: AbortSignal): Promise<Judged> {
  const byKey = source !== null && arrivedKey(sides) !== null;
  const known = byKey ? await sourceRowsOf(source, sides, rows, signal) : new Map<string, unknown>();
  const ranks = new Map([...known.keys()].map((key, rank) => [key, rank]));
  const rankOf = (row: DuplicateRow): number => {
    // Somebody else's row stays, whatever its key; of ours one whose source row is gone comes last.
    if (!row.own) return -1;
    const rank = byKey && row.key ? ranks.get(joinKey(asSourceKey(sides, row.key))) : undefined;
    return rank ?? (byKey ? Number.MAX_SAFE_INTEGER : 0);
  };
  const losers: DuplicateRow[] = [];
  let keeper: DuplicateRow | null = null;
  for (const row of rows) {
    if (keeper?.grouped !== row.grouped) keeper = row;
    else if (rankOf(row) < rankOf(keeper)) {
      losers.push(keeper);
      keeper = row;
    } else losers.push(row);
  }
  return { losers, lastKeeper: keeper };
}

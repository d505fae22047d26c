import type { Client, ClientBase } from 'pg';
import type { Reason } from '../../migration/batch';
import { MigrationError } from '../../migration/errors';
import type { KeyText } from '../../migration/split';
import { qualified, quoteIdent } from '../connectors/postgres/sql';
import { textToValue, valueToText } from '../connectors/postgres/values-codec';
import { insertQuarantineRows, type QuarantineInsert } from '../stores/quarantine-store';
import { adjust, type DatasetFence } from './dataset-fence';
import type { DatasetSides } from './dataset-sides';
import { joinKey } from './known-absences';
import { forgetInserted, ownRow } from './own-rows';
import { readByKeys, type RawRow } from './row-streams';

const BATCH = 500;

/** A row of the target by its place; `key` as text of the target's columns that hold the source key, null when they do not. */
export interface PlacedRow { part: string; place: string; key: (string | null)[] | null }
export interface LeavingRow extends PlacedRow { reasons: Reason[] }

/** The target's columns that hold the source key unchanged, in key order; null when a transform stands between. */
export function arrivedKey(sides: DatasetSides): string[] | null {
  const names = sides.sourceKey?.map((at) => sides.sourceColumns[at]?.name ?? '').map((source) => sides.targetColumns.find((column) => sides.plainSource(column.name) === source)?.name);
  return names && names.every((name) => name !== undefined) ? names : null;
}

/** SQL for `PlacedRow`: select list over the target table called `t`. */
export function placeColumns(sides: DatasetSides): string {
  const key = arrivedKey(sides);
  return `t.tableoid::text AS part, t.ctid AS place, ${key ? `ARRAY[${key.map((name) => `t.${quoteIdent(name)}::text`).join(', ')}]` : 'NULL::text[]'} AS key`;
}

/** A key read from the target, spelled as the ledger spells source keys. */
export function asSourceKey(sides: DatasetSides, key: readonly (string | null)[]): KeyText {
  return key.map((text, part) => {
    const kind = sides.sourceColumns[sides.sourceKey?.[part] ?? -1]?.kind ?? 'opaque';
    return valueToText(kind, textToValue(kind, text)) ?? '';
  });
}

/** Source rows by their joined key, in the source's key order. Empty when the key does not arrive in the target. */
export async function sourceRowsOf(source: Client | null, sides: DatasetSides, rows: readonly PlacedRow[], signal: AbortSignal): Promise<Map<string, RawRow>> {
  const found = new Map<string, RawRow>();
  if (!source) return found;
  const keys = rows.flatMap((row) => (row.key ? [asSourceKey(sides, row.key)] : []));
  for (const row of await readByKeys(source, sides, keys, signal)) found.set(joinKey(row.key), row);
  return found;
}

/**
 * Moves rows of the target to quarantine, with the source's own content where the key finds it, else with the target's. One adjustment per call.
 * Runs in the caller's fenced transaction, under a lock that keeps places valid. Rows of others stay: by the ledger, not by what the source holds.
 * Answers how many moved.
 */
export async function moveToQuarantine(client: ClientBase, source: Client | null, sides: DatasetSides, held: DatasetFence, rows: readonly LeavingRow[], cause: string, signal: AbortSignal): Promise<number> {
  let moved = 0;
  for (let from = 0; from < rows.length; from += BATCH) {
    const part = await ownOf(client, sides, rows.slice(from, from + BATCH));
    const known = await sourceRowsOf(source, sides, part, signal);
    const leaving: LeavingRow[] = [];
    const entries: QuarantineInsert[] = [];
    const unknown: LeavingRow[] = [];
    for (const row of part) {
      const found = row.key ? known.get(joinKey(asSourceKey(sides, row.key))) : undefined;
      if (found) {
        leaving.push(row);
        entries.push({ sourceKey: found.key, reasons: row.reasons, side: 'source', columns: sides.sourceColumns.map((column) => column.name), content: found.content });
      } else unknown.push(row);
    }
    entries.push(...await contentOfTarget(client, sides, unknown));
    leaving.push(...unknown);
    await insertQuarantineRows(client, held, entries);
    await removeRows(client, sides, leaving);
    moved += leaving.length;
  }
  await adjust(client, held, cause, { written: -moved, quarantined: moved });
  return moved;
}

/** A connection to the source for as long as `work` runs; null where this worker has none. */
export async function withSource<T>(sides: DatasetSides, work: (source: Client | null) => Promise<T>): Promise<T> {
  if (!sides.sourceReached) return work(null);
  const source = await sides.ctx.source.connect();
  try {
    return await work(source);
  } finally {
    await source.end().catch(() => undefined);
  }
}

async function contentOfTarget(client: ClientBase, sides: DatasetSides, rows: readonly LeavingRow[]): Promise<QuarantineInsert[]> {
  if (rows.length === 0) return [];
  const columns = sides.targetColumns.map((column) => column.name);
  const { rows: found } = await client.query<{ part: string; place: string; content: (string | null)[] }>(
    `SELECT tableoid::text AS part, ctid::text AS place, ARRAY[${columns.map((name) => `${quoteIdent(name)}::text`).join(', ')}] AS content
     FROM ${tableOf(sides)} WHERE ctid = ANY ($1::tid[])`, [rows.map((row) => row.place)]);
  const byPlace = new Map(found.map((row) => [`${row.part}/${row.place}`, row.content]));
  return rows.map((row) => ({ sourceKey: row.key ? asSourceKey(sides, row.key) : null, reasons: row.reasons, side: 'target', columns, content: byPlace.get(`${row.part}/${row.place}`) ?? [] }));
}

async function ownOf(client: ClientBase, sides: DatasetSides, rows: readonly LeavingRow[]): Promise<readonly LeavingRow[]> {
  if (sides.ledger.base === 'empty') return rows;
  const { rows: own } = await client.query<{ part: string; place: string }>(
    `SELECT t.tableoid::text AS part, t.ctid::text AS place FROM ${tableOf(sides)} t, unnest($1::oid[], $2::tid[]) AS asked(part, place)
     WHERE t.tableoid = asked.part AND t.ctid = asked.place AND ${await ownRow(client, sides)}`,
    [rows.map((row) => row.part), rows.map((row) => row.place)]);
  const places = new Set(own.map((row) => `${row.part}/${row.place}`));
  return rows.filter((row) => places.has(`${row.part}/${row.place}`));
}

async function removeRows(client: ClientBase, sides: DatasetSides, rows: readonly PlacedRow[]): Promise<void> {
  const key = sides.targetKey?.map((at) => `t.${quoteIdent(sides.targetColumns[at]?.name ?? '')}::text`) ?? [];
  const { rows: gone, rowCount } = await client.query<{ key: (string | null)[] }>(
    `DELETE FROM ${tableOf(sides)} t USING unnest($1::oid[], $2::tid[]) AS gone(part, place) WHERE t.tableoid = gone.part AND t.ctid = gone.place
     RETURNING ARRAY[${key.join(', ')}]::text[] AS key`,
    [rows.map((row) => row.part), rows.map((row) => row.place)]);
  await forgetInserted(client, sides, gone.map((row) => row.key));
  if (rowCount === rows.length) return;
  throw new MigrationError('ACCOUNTING_BROKEN', `dataset ${sides.ctx.name}: ${rows.length} rows were to leave the target, ${rowCount ?? 0} did. Nothing was kept; look for triggers or row security on the table.`);
}

function tableOf(sides: DatasetSides): string {
  return qualified({ schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table });
}

import type { ClientBase } from 'pg';
import { findArbiter, keyText, rowImage } from '../connectors/postgres/merge';
import { qualified, quoteIdent, quoteLiteral } from '../connectors/postgres/sql';
import type { Value } from '../../migration/value';
import { valueToText } from '../connectors/postgres/values-codec';
import type { DatasetSides } from './dataset-sides';

/** A key of the target, as text of its columns. */
export type TargetKey = readonly (string | null)[];

const journalling = new WeakMap<DatasetSides, Promise<boolean>>();

/**
 * Whether the ledger knows row by row what this migration brought: only where rows of others were there before, and only by a key that the target
 * itself keeps unique. Elsewhere in a table with foreign rows nothing counts as ours: such rows are never removed.
 */
export function journals(client: ClientBase, sides: DatasetSides): Promise<boolean> {
  const known = journalling.get(sides);
  if (known) return known;
  const names = keyNames(sides);
  const { schema, table } = sides.ctx.targetTable;
  const found = sides.ledger.base === 'foreign' && names.length > 0
    ? findArbiter(client, { schema, name: table }, names).then((arbiter) => arbiter !== null)
    : Promise.resolve(false);
  journalling.set(sides, found);
  found.catch(() => journalling.delete(sides));
  return found;
}

/** SQL condition over the target table called `t`: this migration brought the row, and may take it away. */
export async function ownRow(client: ClientBase, sides: DatasetSides): Promise<string> {
  if (sides.ledger.base === 'empty') return 'true';
  if (!(await journals(client, sides))) return 'false';
  return `EXISTS (SELECT FROM caravan.merged_key m WHERE m.migration = ${quoteLiteral(sides.ctx.ref.migration)} AND m.dataset = ${quoteLiteral(sides.ctx.name)}
    AND m.inserted AND m.target_key = ${keyText(keyNames(sides), 't')})`;
}

/** Which of these keys belong to rows that this migration brought (`inserted`) or changed (`updated`), by position. Others are not in the answer. */
export async function journalledKeys(client: ClientBase, sides: DatasetSides, keys: readonly TargetKey[]): Promise<Map<number, 'inserted' | 'updated'>> {
  if (keys.length === 0 || !(await journals(client, sides))) return new Map();
  const { rows } = await client.query<{ at: number; inserted: boolean }>(
    `WITH wanted AS (SELECT ordinal::int - 1 AS at, ${castKey(sides)} AS key FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY k(key, ordinal))
     SELECT w.at, m.target_key IS NOT NULL AS inserted FROM wanted w
     LEFT JOIN caravan.merged_key m ON m.migration = $1 AND m.dataset = $2 AND m.inserted AND m.target_key = w.key
     LEFT JOIN caravan.before_image b ON b.migration = $1 AND b.dataset = $2 AND b.target_key = w.key
     WHERE m.target_key IS NOT NULL OR b.target_key IS NOT NULL`,
    [sides.ctx.ref.migration, sides.ctx.name, JSON.stringify(keys)]);
  return new Map(rows.map(({ at, inserted }) => [at, inserted ? 'inserted' : 'updated']));
}

/** Remembers rows that went into a table with foreign rows outside the copy, in the transaction that wrote them. */
export async function journalInserted(client: ClientBase, sides: DatasetSides, rows: readonly (readonly Value[])[]): Promise<void> {
  if (rows.length === 0 || !(await journals(client, sides))) return;
  const keys = rows.map((values) => (sides.targetKey ?? []).map((at) => valueToText(sides.targetColumns[at]?.kind ?? 'opaque', values[at] ?? null)));
  await client.query(
    `INSERT INTO caravan.merged_key (migration, dataset, target_key, inserted)
     SELECT DISTINCT $1, $2, ${castKey(sides)}, true FROM jsonb_array_elements($3::jsonb) k(key)
     ON CONFLICT (migration, dataset, target_key) DO UPDATE SET inserted = true`,
    [sides.ctx.ref.migration, sides.ctx.name, JSON.stringify(keys)]);
}

/** The rows are gone: whoever uses the keys next is somebody else. */
export async function forgetInserted(client: ClientBase, sides: DatasetSides, keys: readonly TargetKey[]): Promise<void> {
  if (keys.length === 0 || !(await journals(client, sides))) return;
  await client.query(
    `DELETE FROM caravan.merged_key m USING jsonb_array_elements($3::jsonb) k(key) WHERE m.migration = $1 AND m.dataset = $2 AND m.inserted AND m.target_key = ${castKey(sides)}`,
    [sides.ctx.ref.migration, sides.ctx.name, JSON.stringify(keys)]);
}

/** Keeps a row of somebody else as it is, before it is changed for the first time: under its lock, and the first image wins. */
export async function journalImage(client: ClientBase, sides: DatasetSides, key: TargetKey): Promise<void> {
  if (!(await journals(client, sides))) return;
  const { schema, table } = sides.ctx.targetTable;
  const typed = keyNames(sides).map((name, part) => `t.${quoteIdent(name)} IS NOT DISTINCT FROM ($3::text[])[${part + 1}]::${sides.targetColumns[sides.targetKey?.[part] ?? -1]?.type ?? 'text'}`).join(' AND ');
  await client.query(
    `WITH locked AS MATERIALIZED (SELECT ${keyText(keyNames(sides), 't')} AS key, ${rowImage('t')} AS image FROM ${qualified({ schema, name: table })} t WHERE ${typed} FOR UPDATE)
     INSERT INTO caravan.before_image (migration, dataset, target_key, image) SELECT $1, $2, key, image FROM locked
     ON CONFLICT (migration, dataset, target_key) DO NOTHING`,
    [sides.ctx.ref.migration, sides.ctx.name, key]);
}

function keyNames(sides: DatasetSides): string[] {
  return (sides.targetKey ?? []).map((at) => sides.targetColumns[at]?.name ?? '');
}

/** A key as COPY spells it (`t`, blanks of char(n) kept) to the ledger's spelling. Needs `k.key`, a JSON array. */
function castKey(sides: DatasetSides): string {
  return `ARRAY[${(sides.targetKey ?? []).map((at, part) => `((k.key ->> ${part})::${sides.targetColumns[at]?.type ?? 'text'})::text`).join(', ')}]`;
}

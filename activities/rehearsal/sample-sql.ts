import type { Column } from '../../migration/value';
import { columnList, quoteIdent, quoteLiteral } from '../connectors/postgres/sql';

/** Columns with the types that texts of their values become again. */
export type TypedColumn = Pick<Column, 'name' | 'type'>;

/** Rows whose values of `columns` are among `values` (texts, one list per row). Such lists are joined, not tried one by one. */
export function amongSql(columns: readonly TypedColumn[], values: readonly (readonly string[])[]): string {
  if (values.length === 0) return 'false';
  const arrays = columns.map((_, at) => `${quoteLiteral(arrayText(values.map((row) => row[at] ?? '')))}::text[]`);
  const names = columns.map((_, at) => `v${at}`);
  const typed = columns.map(({ type }, at) => `v${at}::${type}`);
  return `(${columnList(columns.map(({ name }) => name))}) IN (SELECT ${typed.join(', ')} FROM unnest(${arrays.join(', ')}) AS caravan_values(${names.join(', ')}))`;
}

/** `{"a","b\"c"}`. */
function arrayText(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
}

const hashOf = (columns: readonly string[], seed: number): string => `md5(ROW(${columnList(columns)})::text || ${quoteLiteral(`/${seed}`)})`;

/** Keys of `size` rows of a SELECT, drawn by a hash of key and seed: the same seed draws the same rows, and every row is as likely as any other. */
export function drawSql(select: string, key: readonly string[], size: number, seed: number): string {
  return `SELECT ${texts(key)} FROM (${select}) caravan_source ORDER BY ${hashOf(key, seed)}, ${columnList(key)} LIMIT ${Math.trunc(size)}`;
}

/** A condition that holds for about `size` of `rows` rows without a key, by a hash of the whole row: equal rows come all or none. */
export function shareSql(columns: readonly string[], rows: number, size: number, seed: number): string {
  if (rows <= size || columns.length === 0) return 'true';
  const limit = Math.max(1, Math.ceil((size / rows) * 2 ** 31));
  return `('x' || substr(${hashOf(columns, seed)}, 1, 8))::bit(32)::int8 & 2147483647 < ${limit}`;
}

/** The distinct values of these columns in a SELECT, as text; rows with a NULL among them refer to nothing. */
export function referredSql(select: string, columns: readonly string[]): string {
  return `SELECT DISTINCT ${texts(columns)} FROM (${select}) caravan_child WHERE ${columns.map((name) => `${quoteIdent(name)} IS NOT NULL`).join(' AND ')}`;
}

/** Keys of the rows of a SELECT, as text. */
export function keysSql(select: string, key: readonly string[]): string {
  return `SELECT ${texts(key)} FROM (${select}) caravan_source`;
}

const texts = (columns: readonly string[]): string => columns.map((name, at) => `${quoteIdent(name)}::text AS v${at}`).join(', ');

import type { ClientBase } from 'pg';
import { columnList } from '../connectors/postgres/sql';

export interface TableDigest { rows: number; digest: string }

/**
 * Rows of a table, counted and digested by the server, whatever their order: the sum over all rows of 120 bits of the SHA-256 of the row's text in UTF-8.
 * Equal rows count as often as they are there. `from`: a FROM item. Costs one scan.
 */
export async function digestTable(client: ClientBase, from: string, columns: readonly string[]): Promise<TableDigest> {
  const row = columns.length === 0 ? `''` : `ROW(${columnList(columns)})::text`;
  const part = (at: number): string => `coalesce(sum(('x' || substr(caravan_hash, ${at}, 15))::bit(60)::int8), 0)::text`;
  const { rows } = await client.query<{ rows: string; low: string; high: string }>(
    `SELECT count(*)::text AS rows, ${part(1)} AS low, ${part(16)} AS high
     FROM (SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.textsend(${row})), 'hex') AS caravan_hash FROM ${from} OFFSET 0) caravan_rows`);
  const found = rows[0];
  return { rows: Number(found?.rows ?? 0), digest: `${found?.low ?? '0'}:${found?.high ?? '0'}` };
}

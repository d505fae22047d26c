import type { ClientBase } from 'pg';
import { readRows } from '../connectors/postgres/catalog';
import { qualified, quoteIdent, sameTable, type TableName } from '../connectors/postgres/sql';

interface Reference { schema: string; name: string; columns: string[]; referenced: string[] }

/** SQL conditions on a row `t`, one per foreign key to its table from a table that is not in `leaving`: rows of others lean on it. */
export async function leanedOn(client: ClientBase, table: TableName, leaving: readonly TableName[]): Promise<string[]> {
  const references = await readRows<Reference>(
    client,
    `SELECT n.nspname AS schema, c.relname AS name,
       ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY u(attnum, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.at) AS columns,
       ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY u(attnum, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.at) AS referenced
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_class t ON t.oid = k.confrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     WHERE k.contype = 'f' AND k.conparentid = 0 AND tn.nspname = $1 AND t.relname = $2 ORDER BY k.oid`, [table.schema, table.name]);
  return references.filter((one) => !sameTable(one, table) && !leaving.some((other) => sameTable(other, one)))
    .map((one) => `EXISTS (SELECT FROM ${qualified(one)} o WHERE ${one.columns.map((column, at) => `o.${quoteIdent(column)} = t.${quoteIdent(one.referenced[at] ?? '')}`).join(' AND ')})`);
}

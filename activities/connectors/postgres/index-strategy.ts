import type { ClientBase } from 'pg';
import type { IndexDecision } from '../../../migration/preparation/findings';
import { ownRowsOf, readRows, withEmptySearchPath } from './catalog';
import type { TableName } from './sql';
import { foreseeDrop, type DropOptions } from './target-objects';

export interface StrategyRequest extends DropOptions {
  /** The plan merges into rows that are there, or adds to them: then nothing of the table is dropped. */
  keepsRows: boolean;
}

interface TableObject { name: string; constraint: string | null; kind: IndexDecision['kind']; primary: boolean; identity: boolean; valid: boolean; partitioned: boolean; columns: string[]; unique: boolean; bytes: number }

/**
 * Every index, unique constraint, foreign key and trigger of a target table with what becomes of it while rows are loaded, and why.
 * What is dropped is decided by the code that drops (`foreseeDrop`). Changes nothing; a table that is not there has none.
 */
export function indexStrategy(client: ClientBase, table: TableName, request: StrategyRequest): Promise<Omit<IndexDecision, 'dataset'>[]> {
  return withEmptySearchPath(client, async () => {
    const objects = await readObjects(client, table);
    if (objects.length === 0) return [];
    const filled = request.keepsRows && (await hasRows(client, table));
    const dropped = filled ? [] : await foreseeDrop(client, table, request);
    const gone = new Set(dropped.map(({ name, kind }) => `${kind === 'foreign_key' ? 'foreign_key' : 'index'} ${name}`));
    return objects.map(({ name, constraint, kind, bytes, ...facts }) => {
      const shown = constraint ?? name;
      if (kind === 'trigger') return { name: shown, kind, bytes: 0, ...(filled ? { action: 'kept' as const, why: 'rows of others are in the table' } : { action: 'disabled' as const, why: 'it would fire for every loaded row; it is turned on again after the load' }) };
      const goes = gone.has(kind === 'foreign_key' ? `foreign_key ${shown}` : `index ${shown}`);
      if (goes) return { name: shown, kind, bytes, action: 'dropped' as const, why: kind === 'foreign_key' ? 'added and proved again when all tables are loaded, orphans in quarantine first' : 'built again in one go after the load, which is faster than row by row' };
      return { name: shown, kind, bytes, action: 'kept' as const, why: filled ? 'rows of others are in the table: it must hold for them all the time' : reasonToKeep(kind, facts, request.arbiter) };
    });
  });
}

function reasonToKeep(kind: IndexDecision['kind'], facts: Omit<TableObject, 'name' | 'kind' | 'bytes' | 'constraint'>, arbiter: string[] | undefined): string {
  if (facts.primary) return 'the primary key finds rows in repeats, merges and comparisons';
  if (kind === 'foreign_key') return 'its other table is not loaded by this migration and holds rows';
  if (kind === 'exclusion') return 'exclusion constraints cannot be told apart row by row after the load';
  if (!facts.valid) return 'it is not valid already: whoever made it has to finish or drop it';
  if (facts.identity) return 'it is the replica identity of the table';
  if (facts.partitioned) return 'indexes of partitions hang together with those of their root';
  if (facts.unique && arbiter && arbiter.length === facts.columns.length && facts.columns.every((name) => arbiter.includes(name))) return 'it decides conflicts (target.key)';
  return 'a foreign key that stays leans on it';
}

async function hasRows(client: ClientBase, table: TableName): Promise<boolean> {
  const { rows } = await client.query<{ filled: boolean }>(`SELECT EXISTS (SELECT FROM ${await ownRowsOf(client, table)}) AS filled`);
  return rows[0]?.filled === true;
}

function readObjects(client: ClientBase, table: TableName): Promise<TableObject[]> {
  return readRows<TableObject>(
    client,
    `WITH own AS (SELECT c.oid, c.relkind, c.relispartition FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)
     SELECT x.relname AS name, u.conname AS constraint, CASE u.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' WHEN 'x' THEN 'exclusion' ELSE 'index' END AS kind,
       i.indisprimary AS primary, i.indisreplident AS identity, i.indisvalid AS valid, own.relkind = 'p' OR own.relispartition AS partitioned, i.indisunique AS unique,
       (SELECT coalesce(json_agg(a.attname ORDER BY a.attname), '[]'::json) FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])) AS columns,
       pg_catalog.pg_relation_size(x.oid) AS bytes
     FROM own JOIN pg_catalog.pg_index i ON i.indrelid = own.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
     LEFT JOIN pg_catalog.pg_constraint u ON u.conindid = x.oid AND u.contype IN ('p', 'u', 'x')
     UNION ALL
     SELECT f.conname, f.conname, 'foreign_key', false, false, true, false, false, '[]'::json, 0 FROM own JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.conparentid = 0 AND f.conrelid = own.oid
     UNION ALL
     SELECT g.tgname, NULL, 'trigger', false, false, true, false, false, '[]'::json, 0 FROM own JOIN pg_catalog.pg_trigger g ON g.tgrelid = own.oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgname NOT LIKE 'caravan\\_%'
     ORDER BY 3, 1`,
    [table.schema, table.name],
  );
}

import type { ClientBase } from 'pg';
import { ownRowsOf, readRows, withEmptySearchPath } from './catalog';
import type { DroppedObject } from './dropped-object';
import { quoteIdent, qualified, sameTable, type TableName } from './sql';

export type { DroppedObject } from './dropped-object';
export { alterTrigger, disableTriggers, rebuild } from './target-rebuild';

export interface DropOptions {
  /** Columns that decide a conflict on write: a unique index over exactly these stays. */
  arbiter?: string[];
  /** Whether a table is loaded in the same migration. A foreign key goes only if its other side is, or holds no rows. */
  isLoading(table: TableName): boolean | Promise<boolean>;
}

interface FoundIndex {
  name: string;
  definition: string;
  unique: boolean;
  columns: string[];
  constraint: string | null;
  constraintDefinition: string | null;
  constraintKind: string | null;
  comment: string | null;
  constraintComment: string | null;
  clustered: boolean;
  statistics: { position: number; target: number }[] | null;
  /** Foreign keys that lean on it, by oid. A partitioned one counts with its parts. */
  referencedBy: number[];
}

interface FoundForeignKey {
  oid: number; name: string; schema: string; table: string; definition: string; comment: string | null; refSchema: string; refTable: string;
  /** The root of a partition, else the table itself. */
  root: TableName; refRoot: TableName;
}

/**
 * Drops what slows or hinders a load: secondary indexes, unique constraints and foreign keys of and to the table. Kept are the primary key,
 * the arbiter, the replica identity, exclusion constraints, unique ones without overlaps, invalid indexes, what a kept foreign key leans on,
 * and indexes of partitioned tables and partitions: their parts hang together.
 * Run it in a transaction that also stores the answer: then both or neither happen. Takes ACCESS EXCLUSIVE locks.
 */
export function dropForLoad(client: ClientBase, table: TableName, options: DropOptions): Promise<DroppedObject[]> {
  return withEmptySearchPath(client, async () => {
    const { foreignKeys, indexes } = await droppable(client, table, options);
    for (const key of foreignKeys) await client.query(`ALTER TABLE ${qualified({ schema: key.schema, name: key.table })} DROP CONSTRAINT ${quoteIdent(key.name)}`);
    for (const index of indexes) {
      await client.query(index.constraint === null
        ? `DROP INDEX ${qualified({ schema: table.schema, name: index.name })}`
        : `ALTER TABLE ${qualified(table)} DROP CONSTRAINT ${quoteIdent(index.constraint)}`);
    }
    return [...foreignKeys.map(droppedForeignKey), ...indexes.map((index) => droppedIndex(table, index))];
  });
}

/** What `dropForLoad` would drop, and nothing is. */
export function foreseeDrop(client: ClientBase, table: TableName, options: DropOptions): Promise<DroppedObject[]> {
  return withEmptySearchPath(client, async () => {
    const { foreignKeys, indexes } = await droppable(client, table, options);
    return [...foreignKeys.map(droppedForeignKey), ...indexes.map((index) => droppedIndex(table, index))];
  });
}

async function droppable(client: ClientBase, table: TableName, options: DropOptions): Promise<{ foreignKeys: FoundForeignKey[]; indexes: FoundIndex[] }> {
  const foreignKeys: FoundForeignKey[] = [];
  for (const key of await readForeignKeys(client, table)) if (await mayDrop(client, table, key, options)) foreignKeys.push(key);
  const gone = foreignKeys.map(({ oid }) => oid);
  const indexes = (await readIndexes(client, table)).filter((index) => isCandidate(index, gone, options.arbiter));
  return { foreignKeys, indexes };
}

/** `gone`: foreign keys that no index has to stay for. */
function isCandidate(index: FoundIndex, gone: readonly number[], arbiter: string[] | undefined): boolean {
  if (index.referencedBy.some((key) => !gone.includes(key))) return false;
  if (index.constraint !== null && index.constraintKind !== 'u') return false;
  return !(index.unique && arbiter !== undefined && sameSet(index.columns, arbiter));
}

function sameSet(a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}

function droppedForeignKey(key: FoundForeignKey): DroppedObject {
  return {
    kind: 'foreign_key', schema: key.schema, table: key.table, name: key.name, definition: key.definition,
    references: { schema: key.refSchema, name: key.refTable }, ...(key.comment !== null && { comment: key.comment }),
  };
}

function droppedIndex(table: TableName, index: FoundIndex): DroppedObject {
  const shared = { schema: table.schema, table: table.name, ...(index.clustered && { clustered: true }), ...(index.statistics && { statistics: index.statistics }) };
  if (index.constraint === null || index.constraintDefinition === null) {
    return { ...shared, kind: 'index', name: index.name, definition: index.definition, ...(index.comment !== null && { comment: index.comment }) };
  }
  return {
    ...shared, kind: 'unique', name: index.constraint, definition: index.constraintDefinition, indexDefinition: index.definition,
    ...(index.constraintComment !== null && { comment: index.constraintComment }), ...(index.comment !== null && { indexComment: index.comment }),
  };
}

/**
 * Takes off the checks of a table that are not proved (NOT VALID): rows of the source may break them, and are carried all the same. With a parent's go those that
 * children have from it. In the transaction of `dropForLoad`, before it.
 */
export function dropUnprovedChecks(client: ClientBase, table: TableName): Promise<DroppedObject[]> {
  return withEmptySearchPath(client, async () => {
    const checks = await readRows<{ name: string; definition: string; comment: string | null; schema: string; table: string }>(
      client,
      `WITH own AS (SELECT t.oid FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE tn.nspname = $1 AND t.relname = $2
         UNION SELECT p.relid FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace CROSS JOIN pg_catalog.pg_partition_tree(t.oid) p
           WHERE tn.nspname = $1 AND t.relname = $2 AND t.relkind = 'p')
       SELECT k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition, pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment, n.nspname AS schema, c.relname AS table
       FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE k.conrelid IN (SELECT oid FROM own) AND k.contype = 'c' AND NOT k.convalidated AND k.coninhcount = 0 AND pg_catalog.pg_get_constraintdef(k.oid) LIKE '% NOT VALID' ORDER BY k.conname`,
      [table.schema, table.name],
    );
    for (const check of checks) await client.query(`ALTER TABLE ${qualified({ schema: check.schema, name: check.table })} DROP CONSTRAINT ${quoteIdent(check.name)}`);
    return checks.map(({ comment, ...check }): DroppedObject => ({ kind: 'check', ...check, ...(comment !== null && { comment }) }));
  });
}

const ROOT = (relation: string): string => `(SELECT json_build_object('schema', an.nspname, 'name', a.relname) FROM pg_catalog.pg_class a JOIN pg_catalog.pg_namespace an ON an.oid = a.relnamespace
         WHERE a.oid = CASE WHEN ${relation}.relispartition THEN pg_catalog.pg_partition_root(${relation}.oid)::oid ELSE ${relation}.oid END)`;

/** Foreign keys from and to the table, and from and to its partitions; what they have from their root goes with that of the root. */
function readForeignKeys(client: ClientBase, table: TableName): Promise<FoundForeignKey[]> {
  return readRows<FoundForeignKey>(
    client,
    `WITH own AS (SELECT t.oid FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE tn.nspname = $1 AND t.relname = $2
       UNION SELECT p.relid FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace CROSS JOIN pg_catalog.pg_partition_tree(t.oid) p
         WHERE tn.nspname = $1 AND t.relname = $2 AND t.relkind = 'p')
     SELECT f.oid::int8 AS oid, f.conname AS name, n.nspname AS schema, c.relname AS "table", pg_catalog.pg_get_constraintdef(f.oid) AS definition,
       pg_catalog.obj_description(f.oid, 'pg_constraint') AS comment, rn.nspname AS "refSchema", r.relname AS "refTable",
       ${ROOT('c')} AS root, ${ROOT('r')} AS "refRoot"
     FROM pg_catalog.pg_constraint f
     JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     WHERE f.contype = 'f' AND f.conparentid = 0 AND (c.oid IN (SELECT oid FROM own) OR r.oid IN (SELECT oid FROM own))
     ORDER BY n.nspname, c.relname, f.conname`,
    [table.schema, table.name],
  );
}

async function mayDrop(client: ClientBase, table: TableName, key: FoundForeignKey, options: DropOptions): Promise<boolean> {
  const other = sameTable(key.root, table) ? key.refRoot : key.root;
  if (sameTable(other, table) || await options.isLoading(other)) return true;
  const [found] = await readRows<{ empty: boolean }>(client, `SELECT NOT EXISTS (SELECT FROM ${await ownRowsOf(client, other)}) AS empty`);
  return found?.empty ?? false;
}

/** Complete, live, non-primary indexes of an ordinary table that nothing else needs. */
function readIndexes(client: ClientBase, table: TableName): Promise<FoundIndex[]> {
  return readRows<FoundIndex>(
    client,
    `SELECT x.relname AS name, pg_catalog.pg_get_indexdef(x.oid) AS definition, i.indisunique AS unique, i.indisclustered AS clustered,
       (SELECT coalesce(json_agg(a.attname ORDER BY k.ordinal), '[]'::json) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, ordinal)
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 WHERE k.ordinal <= i.indnkeyatts) AS columns,
       u.conname AS constraint, u.contype AS "constraintKind", pg_catalog.pg_get_constraintdef(u.oid) AS "constraintDefinition",
       pg_catalog.obj_description(x.oid, 'pg_class') AS comment, pg_catalog.obj_description(u.oid, 'pg_constraint') AS "constraintComment",
       (SELECT json_agg(json_build_object('position', s.attnum, 'target', s.attstattarget) ORDER BY s.attnum)
          FROM pg_catalog.pg_attribute s WHERE s.attrelid = x.oid AND s.attstattarget >= 0) AS statistics,
       (SELECT coalesce(json_agg(CASE WHEN f.conparentid = 0 THEN f.oid::int8 ELSE f.conparentid::int8 END), '[]'::json) FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conindid = x.oid) AS "referencedBy"
     FROM pg_catalog.pg_index i
     JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
     JOIN pg_catalog.pg_class t ON t.oid = i.indrelid AND t.relkind = 'r' AND NOT t.relispartition
     JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
     LEFT JOIN pg_catalog.pg_constraint u ON u.conindid = x.oid AND u.contype IN ('p', 'u', 'x')
     WHERE n.nspname = $1 AND t.relname = $2 AND NOT i.indisprimary AND NOT i.indisreplident AND i.indisvalid AND i.indisready AND i.indislive
       AND (u.contype IS DISTINCT FROM 'u' OR m.amname = 'btree')
     ORDER BY x.relname`,
    [table.schema, table.name],
  );
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import { readRows, withEmptySearchPath } from '../connectors/postgres/catalog';
import { columnList, displayName, quoteIdent, quoteLiteral, qualified, type TableName } from '../connectors/postgres/sql';

/** `standing`: a condition for rows of the target table that stand in the scratch table, too, before anything is copied: those that the copy would meet. */
export interface ScratchTable { dataset: string; like: TableName; scratch: TableName; columns: string[]; standing?: string }

const MARK = 'Caravan rehearsal of ';

/**
 * Makes the scratch schema with a table like each target table: columns, defaults, keys, checks and indexes, and the foreign keys among them. What an earlier rehearsal of this
 * migration left in it goes first. In the caller's transaction.
 * @throws MigrationError `REHEARSAL_FAILED` when the schema is somebody else's.
 */
export async function makeScratch(client: ClientBase, schema: string, migration: string, tables: readonly ScratchTable[]): Promise<void> {
  await withEmptySearchPath(client, async () => {
    await removeScratch(client, schema, migration);
    await client.query(`CREATE SCHEMA ${quoteIdent(schema)}`);
    await client.query(`COMMENT ON SCHEMA ${quoteIdent(schema)} IS ${quoteLiteral(MARK + migration)}`);
    for (const { like, scratch } of tables) {
      await client.query(`CREATE TABLE ${qualified(scratch)} (LIKE ${qualified(like)} INCLUDING ALL)`);
      await unproveChecks(client, like, scratch);
    }
    for (const table of tables) if (table.standing !== undefined) await copyStanding(client, table, table.standing);
    for (const { like, scratch, standing } of tables) for (const key of await foreignKeys(client, like)) {
      const parent = tables.find((one) => one.like.schema === key.refSchema && one.like.name === key.refTable);
      if (parent) await client.query(`ALTER TABLE ${qualified(scratch)} ADD CONSTRAINT ${quoteIdent(key.name)} ${key.before}${qualified(parent.scratch)}${notProved(key.after, standing !== undefined)}`);
    }
  });
}

/** Their parents are not all there. */
function notProved(definition: string, standing: boolean): string {
  return standing && !definition.endsWith(' NOT VALID') ? `${definition} NOT VALID` : definition;
}

async function copyStanding(client: ClientBase, { like, scratch, columns }: ScratchTable, standing: string): Promise<void> {
  if (columns.length === 0) return;
  await client.query(`INSERT INTO ${qualified(scratch)} (${columnList(columns)}) OVERRIDING SYSTEM VALUE SELECT ${columnList(columns)} FROM ${qualified(like)} WHERE ${standing}`);
}

/** Removes the schema of an earlier rehearsal of this migration; nothing where there is none. @throws MigrationError `REHEARSAL_FAILED` when it is somebody else's. */
export async function removeScratch(client: ClientBase, schema: string, migration: string): Promise<void> {
  const [found] = await readRows<{ comment: string | null }>(client, `SELECT pg_catalog.obj_description(oid, 'pg_namespace') AS comment FROM pg_catalog.pg_namespace WHERE nspname = $1`, [schema]);
  if (!found) return;
  if (found.comment !== MARK + migration) {
    throw new MigrationError('REHEARSAL_FAILED', `the schema ${schema} of the target is not a rehearsal's of this migration${found.comment?.startsWith(MARK) ? ` (${found.comment})` : ''}. Name another one under rehearsal.schema and carry it over (\`caravan amend PLAN\`), then retry.`);
  }
  await client.query(`DROP SCHEMA ${quoteIdent(schema)} CASCADE`);
}

/** LIKE takes every check for proved: those that are not are made so again, as the copy treats them otherwise. */
async function unproveChecks(client: ClientBase, like: TableName, scratch: TableName): Promise<void> {
  const checks = await readRows<{ name: string; definition: string }>(
    client,
    `SELECT k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND k.contype = 'c' AND NOT k.convalidated`, [like.schema, like.name]);
  for (const { name, definition } of checks) await client.query(`ALTER TABLE ${qualified(scratch)} DROP CONSTRAINT ${quoteIdent(name)}, ADD CONSTRAINT ${quoteIdent(name)} ${definition}`);
}

interface ScratchKey { name: string; refSchema: string; refTable: string; before: string; after: string }

/** Definitions cut where the other table's name stands. */
async function foreignKeys(client: ClientBase, table: TableName): Promise<ScratchKey[]> {
  const keys = await readRows<{ name: string; definition: string; refSchema: string; refTable: string; spelled: string }>(
    client,
    `SELECT f.conname AS name, pg_catalog.pg_get_constraintdef(f.oid) AS definition, rn.nspname AS "refSchema", r.relname AS "refTable",
       'REFERENCES ' || pg_catalog.quote_ident(rn.nspname) || '.' || pg_catalog.quote_ident(r.relname) AS spelled
     FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     WHERE f.contype = 'f' AND f.conparentid = 0 AND n.nspname = $1 AND c.relname = $2 ORDER BY f.conname`, [table.schema, table.name]);
  return keys.map(({ name, definition, refSchema, refTable, spelled }) => {
    const at = definition.indexOf(spelled);
    if (at < 0) throw new MigrationError('INTERNAL', `the foreign key ${name} of ${displayName(table)} cannot be read`);
    return { name, refSchema, refTable, before: `${definition.slice(0, at)}REFERENCES `, after: definition.slice(at + spelled.length) };
  });
}

import type { ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import type { Value } from '../../migration/value';
import { keyText } from '../connectors/postgres/merge';
import type { TableName } from '../connectors/postgres/sql';
import { quoteIdent } from '../connectors/postgres/sql';
import { valueToText } from '../connectors/postgres/values-codec';
import { compareSides, type DifferenceBatch } from '../reconciliation/compare-sides';
import { underFence, type DatasetFence } from '../reconciliation/dataset-fence';
import { targetFrom, targetKeyText, type DatasetSides } from '../reconciliation/dataset-sides';
import { journals } from '../reconciliation/own-rows';
import { storeWriter } from '../stores/stored-text';
import { leanedOn } from './outside-references';
import { filenodesOf, keyColumns, keyEquals, wholeRowColumns, writtenByCopy } from './row-origin';
import { installUndo } from './undo-schema';

/** `exporting`: the new side was in use, so every difference is a write of its own and is kept as well. `leaving`: tables that are taken back with this one. */
export interface JudgeOptions { attempt: number; exporting: boolean; leaving: readonly TableName[]; signal: AbortSignal }

/** One look at the rows of a dataset. `strangers`: rows that no commit of the copy wrote as they are. */
export interface UndoPass { snapshot: string; strangers: number; removed: number; restored: number }

const CHUNK = 500;

/**
 * Looks at every row of a dataset's table before any is taken back, and stores which ones are not as the migration wrote them: those that no commit of the
 * copy wrote as they are, and that differ from what the source says. With `exporting`, all that the new side wrote since. The same attempt again answers
 * what it found the first time, so that it may go on while the source is in use again. Memory is that of a comparison.
 * @throws MigrationError `FENCED`; those of a comparison.
 */
export async function judgeRows(sides: DatasetSides, held: DatasetFence, options: JudgeOptions): Promise<UndoPass> {
  const { target } = sides.ctx;
  await installUndo(target);
  const table: TableName = { schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table };
  const known = await target.use((client) => knownPass(client, held, options.attempt, table));
  if (known && (known.exported || !options.exporting)) return known;
  await requireJournal(sides, held);
  const { snapshot, filenodes, strangers } = await target.use(async (client) => ({
    snapshot: (await client.query<{ now: string }>('SELECT pg_catalog.pg_current_snapshot()::text AS now')).rows[0]?.now ?? '',
    filenodes: await filenodesOf(client, table), strangers: await countStrangers(client, sides, held),
  }));
  await underFence(target, held, (client) => forget(client, held));
  if (strangers > 0 || options.exporting) await compare(sides, held, options);
  await underFence(target, held, async (client) => {
    await storeLeanedOn(client, sides, held, options, table);
    await storeMissingImages(client, sides, held, options);
    await client.query(
      `INSERT INTO caravan.undo_pass (migration, dataset, generation, attempt, snapshot, filenodes, strangers, exported) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
       ON CONFLICT (migration, dataset) DO UPDATE SET generation = excluded.generation, attempt = excluded.attempt, snapshot = excluded.snapshot, filenodes = excluded.filenodes,
         strangers = excluded.strangers, exported = excluded.exported, judged_at = clock_timestamp(),
         removed = CASE WHEN undo_pass.generation = excluded.generation THEN undo_pass.removed ELSE 0 END, restored = CASE WHEN undo_pass.generation = excluded.generation THEN undo_pass.restored ELSE 0 END`,
      [held.migration, held.dataset, held.generation, options.attempt, snapshot, filenodes, strangers, options.exporting]);
  });
  const pass = await target.use((client) => knownPass(client, held, options.attempt, table));
  if (!pass) throw new MigrationError('SYSTEM_BUSY', `dataset ${held.dataset}: its table was rewritten (VACUUM FULL or CLUSTER) while its rows were looked at; they are looked at again`);
  return pass;
}

/** The pass of this attempt, unless rows have moved since. */
async function knownPass(client: ClientBase, held: DatasetFence, attempt: number, table: TableName): Promise<(UndoPass & { exported: boolean }) | null> {
  const { rows: [row] } = await client.query<{ snapshot: string; filenodes: string; strangers: string; removed: string; restored: string; exported: boolean }>(
    'SELECT snapshot, filenodes, strangers, removed, restored, exported FROM caravan.undo_pass WHERE migration = $1 AND dataset = $2 AND generation = $3 AND attempt = $4',
    [held.migration, held.dataset, held.generation, attempt]);
  if (!row || row.filenodes !== (await filenodesOf(client, table))) return null;
  return { snapshot: row.snapshot, strangers: Number(row.strangers), removed: Number(row.removed), restored: Number(row.restored), exported: row.exported };
}

/** In a table with rows of others, what is not on record cannot be told from theirs. @throws MigrationError `UNDO_MISSING`. */
async function requireJournal(sides: DatasetSides, held: DatasetFence): Promise<void> {
  if (sides.ledger.base === 'empty') return;
  const { rows: [row] } = await sides.ctx.target.use((client) => client.query<{ purged: boolean; begun: boolean; wrote: string; kept: string; erased: string }>(
    `SELECT d.undo_purged_at IS NOT NULL AS purged, EXISTS (SELECT FROM caravan.undo_pass p WHERE p.migration = $1 AND p.dataset = $2 AND p.generation = d.generation) AS begun,
       ((SELECT coalesce(sum(written_rows), 0) FROM caravan.split s WHERE s.migration = $1 AND s.dataset = $2 AND s.generation = d.generation)
         + (SELECT coalesce(sum(written_rows), 0) FROM caravan.adjustment a WHERE a.migration = $1 AND a.dataset = $2 AND a.generation = d.generation))::text AS wrote,
       ((SELECT count(*) FROM caravan.merged_key m WHERE m.migration = $1 AND m.dataset = $2 AND m.inserted) + (SELECT count(*) FROM caravan.before_image b WHERE b.migration = $1 AND b.dataset = $2))::text AS kept, d.undo_erased::text AS erased
     FROM caravan.dataset d WHERE d.migration = $1 AND d.dataset = $2`, [held.migration, held.dataset]));
  const missing = Number(row?.wrote ?? 0) - Number(row?.kept ?? 0) - Number(row?.erased ?? 0);
  if (!row?.purged && (row?.begun || missing <= 0)) return;
  const why = row?.purged ? 'its undo data was removed (its retention was over, or somebody asked for it)' : `the ledger has undo data for ${row?.kept ?? 0} of the ${row?.wrote ?? 0} rows that it wrote`;
  throw new MigrationError('UNDO_MISSING', `dataset ${held.dataset}: its rows were written among rows of others, and ${why}, so they cannot be told from theirs. Nothing was changed. Put the table back to the verified backup (--set from_backup=true; what was written since is gone then), or leave this dataset migrated: a partial rollback takes back the others.`);
}

/** Forgets what an earlier look found; what was exported stays, unless this attempt begins anew. */
async function forget(client: ClientBase, held: DatasetFence): Promise<void> {
  await client.query(`DELETE FROM caravan.rollback_conflict WHERE migration = $1 AND dataset = $2 AND generation = $3`, [held.migration, held.dataset, held.generation]);
  await client.query(`DELETE FROM caravan.exported_row e WHERE e.migration = $1 AND e.dataset = $2 AND e.generation = $3
    AND NOT EXISTS (SELECT FROM caravan.undo_pass p WHERE p.migration = e.migration AND p.dataset = e.dataset AND p.generation = e.generation AND p.attempt = e.attempt AND p.exported)`, [held.migration, held.dataset, held.generation]);
}

async function countStrangers(client: ClientBase, sides: DatasetSides, held: DatasetFence): Promise<number> {
  const from = await targetFrom(client, sides);
  const strange = `NOT (${writtenByCopy(held)})`;
  const sql = sides.ledger.base === 'empty'
    ? `SELECT count(*) AS rows FROM ${from} t WHERE ${strange}`
    : `SELECT count(*) AS rows FROM ${JOURNAL} j JOIN ${from} t ON ${keyEquals(keyColumns(sides), (at) => `j.key[${at + 1}]`)} WHERE ${strange}`;
  if (sides.ledger.base !== 'empty' && !(await journals(client, sides))) return 0;
  const { rows } = await client.query<{ rows: string }>(sql, sides.ledger.base === 'empty' ? [] : [held.migration, held.dataset]);
  return Number(rows[0]?.rows ?? 0);
}

/** Every key that this migration is known to have brought or changed. */
const JOURNAL = `(SELECT target_key AS key FROM caravan.merged_key WHERE migration = $1 AND dataset = $2 AND inserted
  UNION SELECT target_key FROM caravan.before_image WHERE migration = $1 AND dataset = $2)`;

async function compare(sides: DatasetSides, held: DatasetFence, options: JudgeOptions): Promise<void> {
  const store = async (batch: DifferenceBatch): Promise<void> => {
    await storeFound(sides, held, options, 'changed', batch.different.map(({ found }) => found.content));
    await storeFound(sides, held, options, 'inserted', batch.extra.map(({ content }) => content));
    if (options.exporting) await storeDeleted(sides, held, options, batch.missing.map(({ values }) => values));
  };
  await compareSides(sides, { signal: options.signal, onDifferences: store });
}

/** Rows of the target that are not what the source says: those that no commit left so are conflicts, all of them are exported. */
async function storeFound(sides: DatasetSides, held: DatasetFence, options: JudgeOptions, kind: 'changed' | 'inserted', contents: readonly (string | null)[][]): Promise<void> {
  const keyed = sides.targetKey !== null;
  for (let from = 0; from < contents.length; from += CHUNK) {
    const part = contents.slice(from, from + CHUNK);
    await underFence(sides.ctx.target, held, async (client) => {
      if (keyed) return storeKeyed(client, sides, held, options, kind, part);
      for (const content of part) await storeKeyless(client, sides, held, options, content);
    });
  }
}

async function storeKeyed(client: ClientBase, sides: DatasetSides, held: DatasetFence, options: JudgeOptions, kind: 'changed' | 'inserted', contents: readonly (string | null)[][]): Promise<void> {
  const columns = keyColumns(sides);
  const journalled = sides.ledger.base === 'empty' ? 'true' : `EXISTS (SELECT FROM ${JOURNAL} j WHERE j.key = f.key)`;
  await client.query(
    `WITH found AS (
       SELECT t.tableoid AS relation, t.ctid AS place, (t.*)::text AS content, ${keyText(columns.map(({ name }) => name), 't')} AS key, ${writtenByCopy(held)} AS ours
       FROM jsonb_array_elements($3::jsonb) k(key) JOIN ${await targetFrom(client, sides)} t ON ${keyEquals(columns, (at) => `k.key ->> ${at}`)}),
     exported AS (
       INSERT INTO caravan.exported_row (migration, dataset, generation, attempt, kind, key, columns, content, relation, place)
       SELECT $1, $2, $4, $5, $7, f.key, $6, f.content, f.relation, f.place FROM found f WHERE $8)
     INSERT INTO caravan.rollback_conflict (migration, dataset, generation, attempt, kind, key, columns, content, relation, place)
     SELECT $1, $2, $4, $5, $9, f.key, $6, f.content, f.relation, f.place FROM found f WHERE NOT f.ours AND ${journalled}`,
    [held.migration, held.dataset, JSON.stringify(contents.map((content) => targetKeyText(sides, content))), held.generation, options.attempt, await wholeRow(client, sides),
      kind === 'changed' ? 'updated' : 'inserted', options.exporting, kind]);
}

/** Without a key a row is told by all of its columns; of equal ones, one that the copy did not leave so. */
async function storeKeyless(client: ClientBase, sides: DatasetSides, held: DatasetFence, options: JudgeOptions, content: readonly (string | null)[]): Promise<void> {
  const same = sides.targetColumns.map((column, at) => `t.${quoteIdent(column.name)}::text IS NOT DISTINCT FROM (($3::text[])[${at + 1}]::${column.type})::text`).join(' AND ') || 'true';
  const id = 'c.migration = $1 AND c.dataset = $2 AND c.generation = $4 AND c.relation = t.tableoid AND c.place = t.ctid';
  await client.query(
    `WITH found AS (
       SELECT t.tableoid AS relation, t.ctid AS place, (t.*)::text AS content, ${writtenByCopy(held)} AS ours FROM ${await targetFrom(client, sides)} t
       WHERE ${same} AND NOT EXISTS (SELECT FROM caravan.rollback_conflict c WHERE ${id}) AND NOT EXISTS (SELECT FROM caravan.exported_row c WHERE ${id} AND c.attempt = $5)
       ORDER BY ours LIMIT 1),
     exported AS (
       INSERT INTO caravan.exported_row (migration, dataset, generation, attempt, kind, columns, content, relation, place) SELECT $1, $2, $4, $5, 'inserted', $6, f.content, f.relation, f.place FROM found f WHERE $7)
     INSERT INTO caravan.rollback_conflict (migration, dataset, generation, attempt, kind, columns, content, relation, place)
     SELECT $1, $2, $4, $5, 'inserted', $6, f.content, f.relation, f.place FROM found f WHERE NOT f.ours`,
    [held.migration, held.dataset, content, held.generation, options.attempt, await wholeRow(client, sides), options.exporting]);
}

/** Rows that the new side deleted: their content is what the old side still has. */
async function storeDeleted(sides: DatasetSides, held: DatasetFence, options: JudgeOptions, rows: readonly (readonly Value[])[]): Promise<void> {
  if (rows.length === 0) return;
  await underFence(sides.ctx.target, held, async (client) => {
    const stored = await storeWriter(client);
    const keys = rows.map((values) => sides.targetKey && stored(sides.targetKey.map((at) => valueToText(sides.targetColumns[at]?.kind ?? 'opaque', values[at] ?? null))));
    await client.query(
      `INSERT INTO caravan.exported_row (migration, dataset, generation, attempt, kind, key)
       SELECT $1, $2, $3, $4, 'deleted', CASE WHEN jsonb_typeof(k.key) = 'array' THEN ARRAY(SELECT e FROM jsonb_array_elements_text(k.key) WITH ORDINALITY e(e, n) ORDER BY n) END FROM jsonb_array_elements($5::jsonb) k(key)`,
      [held.migration, held.dataset, held.generation, options.attempt, JSON.stringify(keys)]);
  });
}

/** Rows of ours that rows of tables outside this rollback refer to: they cannot go. */
async function storeLeanedOn(client: ClientBase, sides: DatasetSides, held: DatasetFence, options: JudgeOptions, table: TableName): Promise<void> {
  const conditions = await leanedOn(client, table, options.leaving);
  if (conditions.length === 0) return;
  const names = keyColumns(sides).map(({ name }) => name);
  const own = sides.ledger.base === 'empty' || names.length === 0 ? 'true' : `EXISTS (SELECT FROM caravan.merged_key m WHERE m.migration = $1 AND m.dataset = $2 AND m.inserted AND m.target_key = ${keyText(names, 't')})`;
  await client.query(
    `INSERT INTO caravan.rollback_conflict (migration, dataset, generation, attempt, kind, key, columns, content, relation, place)
     SELECT $1, $2, $3, $4, 'referenced', ${names.length > 0 ? keyText(names, 't') : 'NULL'}, $5, (t.*)::text, t.tableoid, t.ctid FROM ${await targetFrom(client, sides)} t
     WHERE (${conditions.join(' OR ')}) AND ${own}
       AND NOT EXISTS (SELECT FROM caravan.rollback_conflict c WHERE c.migration = $1 AND c.dataset = $2 AND c.relation = t.tableoid AND c.place = t.ctid AND c.kind <> 'changed')`,
    [held.migration, held.dataset, held.generation, options.attempt, await wholeRow(client, sides)]);
}

/** Rows of others that the migration changed and that somebody has deleted since. */
async function storeMissingImages(client: ClientBase, sides: DatasetSides, held: DatasetFence, options: JudgeOptions): Promise<void> {
  if (!(await journals(client, sides))) return;
  await client.query(
    `INSERT INTO caravan.rollback_conflict (migration, dataset, generation, attempt, kind, key)
     SELECT $1, $2, $3, $4, 'deleted', b.target_key FROM caravan.before_image b WHERE b.migration = $1 AND b.dataset = $2
       AND NOT EXISTS (SELECT FROM ${await targetFrom(client, sides)} t WHERE ${keyEquals(keyColumns(sides), (at) => `b.target_key[${at + 1}]`)})`,
    [held.migration, held.dataset, held.generation, options.attempt]);
}

function wholeRow(client: ClientBase, { ctx }: DatasetSides): Promise<string[]> {
  return wholeRowColumns(client, { schema: ctx.targetTable.schema, name: ctx.targetTable.table });
}

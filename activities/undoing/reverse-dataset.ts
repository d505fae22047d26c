import type { Client, ClientBase } from 'pg';
import { isMigrationError, MigrationError } from '../../migration/errors';
import { compileMapping, type Mapping } from '../../migration/mapping';
import { validationSchema, type Plan } from '../../migration/plan/schema';
import { fieldMappings } from '../../migration/plan/transformations';
import { irreversible, reverseMappings } from '../../migration/reverse-mapping';
import type { Column, Value } from '../../migration/value';
import { valuesKernel } from '../../migration/values-kernel';
import { inTransaction, withAdmin } from '../connectors/postgres/admin-session';
import { describe } from '../connectors/postgres/describe';
import { sqlState } from '../connectors/postgres/errors';
import { advanceSequences, readSequences } from '../connectors/postgres/sequences';
import { columnList, parseTableName, qualified, quoteIdent, type TableName } from '../connectors/postgres/sql';
import { disableTriggers, rebuild } from '../connectors/postgres/target-objects';
import { valueToText } from '../connectors/postgres/values-codec';
import type { ActivityDependencies } from '../dependencies';
import { compareSides, type ColumnDifference, type Comparison, type DifferenceBatch } from '../reconciliation/compare-sides';
import { decodeRow, digesterFor, type DatasetSides } from '../reconciliation/dataset-sides';
import type { ExpectedRow } from '../reconciliation/difference-finder';
import { asPostgres } from '../connectors/postgres/system';
import { loadDatasetRow } from '../stores/ledger';

const BATCH = 500;

/** Rows of the old side that became what the new side says. `kept`: rows of the new side that cannot come home, and old rows whose deletion nothing proves. */
export interface BroughtHome { inserted: number; updated: number; deleted: number; kept: number }

/** `upserts` parents first, `deletes` children first: keys between tables of the old side hold all the while. `epoch`: of the step; a later one fences this one. */
export interface ReverseWork { deps: ActivityDependencies; sides: DatasetSides; epoch: number; part: 'upserts' | 'deletes'; provedEqual: boolean; signal: AbortSignal }

/** Why writes of the new side could not come home, from the plan and the tables as they are; empty: they can. */
export async function reverseProblems(deps: ActivityDependencies, plan: Plan, name: string): Promise<string[]> {
  const dataset = plan.datasets[name];
  if (!dataset) return [];
  const problems = irreversible(fieldMappings(dataset, deps.transforms), deps.transforms).map((problem) => `${name}: ${problem}`);
  if (dataset.source.query !== undefined) problems.push(`${name}: it is read by a query, and no row can be written through one`);
  const ledger = await asPostgres(deps.systems.open(dataset.target.connection)).use((client) => loadDatasetRow(client, plan.migration, name)).catch(() => null);
  if (!ledger || ledger.state === 'undone') return [];
  if (!ledger.keyed) problems.push(`${name}: the old table has no key by which a row could be found again`);
  if (ledger.base === 'foreign') problems.push(`${name}: its target held rows of others, from which new ones cannot be told`);
  return problems;
}

/**
 * Makes the old side say what the new one says, from a comparison of both while neither is written: sets only columns whose value changed, adds rows that
 * the new side brought, and deletes rows that were proved equal before the new side opened and are gone there. Bounded transactions, each fenced by the
 * epoch of the old side's write block. A repeat finds only what is left. @throws MigrationError `FENCED`, `ROLLBACK_REFUSED`.
 */
export async function reverseDataset(work: ReverseWork): Promise<BroughtHome> {
  const { sides, signal } = work;
  const way = await wayBack(work);
  const brought: BroughtHome = { inserted: 0, updated: 0, deleted: 0, kept: 0 };
  await withAdmin(sides.ctx.source, signal, async (client) => {
    await compareSides(sides, { signal, onDifferences: (batch) => applyBatch(client, work, way, batch, brought) });
    if (work.part === 'upserts') await forwardOld(client, work, way);
  });
  return brought;
}

/** Both sides once more, after everything came home. */
export function compareHome(sides: DatasetSides, signal: AbortSignal): Promise<Comparison> {
  return compareSides(sides, { signal });
}

interface WayBack { table: TableName; mapping: Mapping; /** Column of the new side by that of the old one. */ origin: Map<string, string>; back(rows: Value[][]): (Value[] | null)[]; columns: Column[] }

async function wayBack({ deps, sides }: ReverseWork): Promise<WayBack> {
  const { ctx } = sides;
  const source = await ctx.source.use((client) => describe(client, ctx.sourceSelection, `datasets.${ctx.name}.source`));
  const mappings = reverseMappings(fieldMappings(ctx.dataset, deps.transforms), source.columns, sides.targetColumns, deps.transforms);
  const written = source.columns.filter(({ name }) => mappings.some(({ outputs }) => outputs[0] === name)).map((column) => ({ ...column, nullable: true }));
  const compiled = compileMapping({ source: sides.targetColumns, target: written, mappings, validation: validationSchema.parse({}), accept: written.map(({ name }) => name), catalog: deps.transforms, constants: deps.constants });
  if (!compiled.mapping) {
    const reasons = compiled.problems.filter(({ severity }) => severity === 'error').map(({ place, message }) => `${place}: ${message}`);
    throw new MigrationError('ROLLBACK_REFUSED', `dataset ${ctx.name}: there is no way back for ${reasons.join('; ')}`);
  }
  const kernel = valuesKernel(compiled.mapping);
  return {
    table: parseTableName(ctx.dataset.source.table ?? ctx.name), mapping: compiled.mapping, columns: compiled.mapping.write,
    origin: new Map(mappings.map(({ inputs, outputs }) => [outputs[0] ?? '', inputs[0] ?? ''])),
    back(rows) {
      const moved = kernel.transform({ encoding: 'values', rows, rowCount: rows.length, byteCount: 0 });
      const answer: (Value[] | null)[] = rows.map(() => null);
      const made = moved.batch.encoding === 'values' ? moved.batch : null;
      made?.rows.forEach((row, at) => { answer[made.origin?.[at] ?? at] = row; });
      return answer;
    },
  };
}

async function applyBatch(client: Client, work: ReverseWork, way: WayBack, batch: DifferenceBatch, brought: BroughtHome): Promise<void> {
  if (work.part === 'deletes') {
    if (!work.provedEqual) brought.kept += batch.missing.length;
    else await inParts(client, work, way, batch.missing, async (row) => { brought.deleted += await deleteOld(client, work.sides, way, row); });
    return;
  }
  await inParts(client, work, way, batch.different, async (row) => {
    if (await updateOld(client, work.sides, way, row)) brought.updated += 1;
    else brought.kept += 1;
  });
  await inParts(client, work, way, batch.extra, async ({ content }) => {
    if (await insertOld(client, work.sides, way, decodeRow(work.sides.targetColumns, content))) brought.inserted += 1;
    else brought.kept += 1;
  });
}

/** Fenced transactions in which the old table's own triggers stay silent: values come home as they are. */
async function inParts<T>(client: Client, work: ReverseWork, way: WayBack, rows: readonly T[], each: (row: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < rows.length; from += BATCH) {
    work.signal.throwIfAborted();
    await inTransaction(client, async () => {
      await requireEpoch(client, work);
      const silenced = await disableTriggers(client, way.table);
      for (const row of rows.slice(from, from + BATCH)) await each(row);
      if (silenced.length > 0) await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      for (const trigger of silenced) await rebuild(client, trigger);
    });
  }
}

async function requireEpoch(client: ClientBase, { sides, epoch }: ReverseWork): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM caravan.write_block WHERE migration = $1 AND epoch = $2 AND blocked FOR SHARE', [sides.ctx.ref.migration, epoch]);
  if (rowCount !== 1) throw new MigrationError('FENCED', `dataset ${sides.ctx.name}: a later step has the old side by now; this one changes nothing more`);
}

/** Sets what the change of the new side means on the old one. False where the way back does not lead to the same value again. */
async function updateOld(client: Client, sides: DatasetSides, way: WayBack, { expected, found, columns }: ColumnDifference): Promise<boolean> {
  const fresh = decodeRow(sides.targetColumns, found.content);
  const [old] = way.back([fresh]);
  const changed = way.columns.flatMap((column, at) => (columns.includes(way.origin.get(column.name) ?? '') ? [{ column, at }] : []));
  if (!old || changed.length === 0) return false;
  const before = decodeRow(sides.sourceColumns, expected.content);
  const after = sides.sourceColumns.map((column, at) => {
    const set = changed.find((one) => one.column.name === column.name);
    return set ? (old[set.at] ?? null) : (before[at] ?? null);
  });
  if (!comesBack(sides, after, fresh, columns)) return false;
  const key = expected.sourceKey ?? [];
  const texts = changed.map(({ column, at }) => valueToText(column.kind, old[at] ?? null));
  const sql = `UPDATE ${qualified(way.table)} SET ${changed.map(({ column }, at) => `${quoteIdent(column.name)} = $${at + 1}`).join(', ')} WHERE ${keyCondition(sides, texts.length)}`;
  return (await tried(client, sql, [...texts, ...key])) === 1;
}

async function insertOld(client: Client, sides: DatasetSides, way: WayBack, fresh: Value[]): Promise<boolean> {
  const [old] = way.back([fresh]);
  if (!old) return false;
  const after = sides.sourceColumns.map((column) => old[way.columns.findIndex(({ name }) => name === column.name)] ?? null);
  if (!comesBack(sides, after, fresh, sides.targetColumns.filter(({ name }) => [...way.origin.values()].includes(name)).map(({ name }) => name))) return false;
  const sql = `INSERT INTO ${qualified(way.table)} (${columnList(way.columns.map(({ name }) => name))}) OVERRIDING SYSTEM VALUE VALUES (${way.columns.map((_, at) => `$${at + 1}`).join(', ')})`;
  return (await tried(client, sql, way.columns.map((column, at) => valueToText(column.kind, old[at] ?? null)))) === 1;
}

async function deleteOld(client: Client, sides: DatasetSides, way: WayBack, { sourceKey }: ExpectedRow): Promise<number> {
  return tried(client, `DELETE FROM ${qualified(way.table)} WHERE ${keyCondition(sides, 0)}`, sourceKey ?? []);
}

/** What the mapping makes of the old row is what the new side has. */
function comesBack(sides: DatasetSides, old: Value[], fresh: Value[], columns: readonly string[]): boolean {
  const digester = digesterFor(sides);
  const made = sides.mapRows([old]).rows[0];
  return made !== undefined && sides.targetColumns.every(({ name }, at) => !columns.includes(name) || digester.same(made[at] ?? null, fresh[at] ?? null, at));
}

function keyCondition(sides: DatasetSides, before: number): string {
  return (sides.sourceKey ?? []).map((at, part) => `${quoteIdent(sides.sourceColumns[at]?.name ?? '')} = $${before + part + 1}::${sides.sourceColumns[at]?.type ?? 'text'}`).join(' AND ');
}

/** Rows changed; 0 when the old table refuses it. */
async function tried(client: Client, sql: string, parameters: (string | null)[]): Promise<number> {
  await client.query('SAVEPOINT caravan_home');
  try {
    const { rowCount } = await client.query(sql, parameters);
    await client.query('RELEASE SAVEPOINT caravan_home');
    return rowCount ?? 0;
  } catch (error) {
    const state = isMigrationError(error) ? null : sqlState(error);
    if (state === null || !/^(22|23|44|P0)/.test(state)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT caravan_home');
    return 0;
  }
}

/** Numbers that the new side handed out are not handed out again. */
async function forwardOld(client: Client, work: ReverseWork, way: WayBack): Promise<void> {
  const { ctx } = work.sides;
  const states = await ctx.target.use((target) => readSequences(target, { schema: ctx.targetTable.schema, name: ctx.targetTable.table }));
  const renamed = states.flatMap((state) => [...way.origin].filter(([, fresh]) => fresh === state.column).map(([old]) => ({ ...state, column: old })));
  await inTransaction(client, async () => {
    await requireEpoch(client, work);
    await advanceSequences(client, way.table, renamed);
  });
}

import type { ClientBase } from 'pg';
import type { DatasetDescription, Selection } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import type { Column } from '../../../migration/value';
import {
  readColumns, readKeys, readRows, requireRelation, suggestColumn, toColumn, TYPE_BASE, TYPE_FACTS, withEmptySearchPath, type Relation,
} from './catalog';
import { looseEncoding } from './copy-text';
import { toMigrationError } from './errors';
import { isNoKey, typeTraits, type TypeFacts } from './kinds';
import { columnList, displayName, embedded, oneStatement, parseTableName, qualified, type TableName } from './sql';

/** Tables below this size that were never analysed are counted exactly. */
const COUNTED_BYTES = 64 * 1024 * 1024;

/**
 * Columns, key and size of a table or query, as the catalog has them now.
 * `place` begins every message. Reads no rows, except to count a small table that was never analysed.
 * @throws MigrationError `OBJECT_MISSING` (with the nearest name), `MAPPING_INVALID` (foreign table, unusable key), `PRIVILEGE_MISSING`, `SQL_INVALID`.
 */
export async function describe(client: ClientBase, selection: Selection, place: string): Promise<DatasetDescription> {
  try {
    if (selection.query === undefined && selection.table === undefined) throw new MigrationError('PLAN_INVALID', `${place}: name a table or a query`);
    const described = selection.query === undefined ? await describeTable(client, parseTableName(selection.table ?? ''), selection, place) : await describeQuery(client, selection.query, selection, place);
    return await looseEncoding(client) === null ? described : { ...described, undefinedCharacters: true };
  } catch (error) {
    throw toMigrationError(error, place);
  }
}

async function describeTable(client: ClientBase, table: TableName, selection: Selection, place: string): Promise<DatasetDescription> {
  const relation = await requireRelation(client, table, place);
  refuseForeign(relation, place);
  const { columns, keys } = await withEmptySearchPath(client, async () => ({
    columns: (await readColumns(client, [relation.oid])).map(toColumn),
    keys: await readKeys(client, [relation.oid]),
  }));
  const readable = columns.filter((column) => !column.unreadable).map((column) => column.name);
  const key = keys.find((candidate) => candidate.columns.every((name) => readable.includes(name)))?.columns ?? null;
  const declared = selection.key ? declaredKey(selection.key, columns, place) : null;
  if (declared && isStored(relation)) refuseNullableKey(declared, columns, place);
  return { columns, key: declared ?? key, ...(await estimate(client, relation, selection, readable)) };
}

function refuseForeign(relation: Relation, place: string): void {
  if (relation.kind !== 'foreign' && !relation.foreignLeaves) return;
  throw new MigrationError(
    'MAPPING_INVALID',
    `${place}: ${displayName(relation)} ${relation.kind === 'foreign' ? 'is a foreign table' : 'has foreign partitions'}: its rows live on another server. Use a connection to that server.`,
  );
}

function isStored(relation: Relation): boolean {
  return relation.kind === 'table' || relation.kind === 'partitioned';
}

function declaredKey(key: string[], columns: Column[], place: string): string[] {
  const names = columns.map((column) => column.name);
  for (const column of key) {
    if (!names.includes(column)) throw new MigrationError('OBJECT_MISSING', `${place}: key column ${column} does not exist.${suggestColumn(column, names)}`);
  }
  const unfit = columns.find((column) => key.includes(column.name) && isNoKey(column));
  if (unfit) throw new MigrationError('MAPPING_INVALID', `${place}: key column ${unfit.name} is of type ${unfit.type}, and rows cannot be read on from such a value. Declare other columns, or leave key out: the rows are then copied in one piece.`);
  return key;
}

function refuseNullableKey(key: string[], columns: Column[], place: string): void {
  const nullable = columns.filter((column) => key.includes(column.name) && column.nullable).map((column) => column.name);
  if (nullable.length === 0) return;
  throw new MigrationError('MAPPING_INVALID', `${place}: key column ${nullable.join(', ')} may be NULL, and rows with a NULL key would be missed. Declare other columns, or leave key out: the table is then copied in one piece.`);
}

async function describeQuery(client: ClientBase, query: string, selection: Selection, place: string): Promise<DatasetDescription> {
  // Nothing runs, but the server says what would come.
  const { fields } = await client.query(oneStatement(`SELECT * FROM (${embedded(query)}) caravan_query LIMIT 0`));
  const twice = fields.find((field, at) => fields.findIndex((other) => other.name === field.name) !== at);
  if (twice) throw new MigrationError('SQL_INVALID', `${place}: the query gives two columns called ${twice.name}. Name them apart with AS.`);
  const types = await withEmptySearchPath(client, () => readRows<TypeFacts & { type: string }>(
    client,
    `SELECT pg_catalog.format_type(f.type, f.modifier) AS type, ${TYPE_FACTS}
     FROM unnest($1::oid[], $2::int[]) WITH ORDINALITY f(type, modifier, ordinal) JOIN pg_catalog.pg_type t ON t.oid = f.type ${TYPE_BASE} ORDER BY f.ordinal`,
    [fields.map((field) => field.dataTypeID), fields.map((field) => field.dataTypeModifier)],
  ));
  const columns = fields.map((field, at): Column => {
    const facts = types[at];
    if (!facts) throw new MigrationError('INTERNAL', `${place}: the server does not know the type of column ${field.name}`);
    return {
      name: field.name, type: facts.type, ...typeTraits(facts), nullable: !(selection.key ?? []).includes(field.name), typeModifier: field.dataTypeModifier,
    };
  });
  if (columns.length === 0) throw new MigrationError('SQL_INVALID', `${place}: the query gives no columns`);
  const key = selection.key ? declaredKey(selection.key, columns, place) : null;
  return { columns, key, ...(await estimatePlanned(client, selectAll(selection))) };
}

/** The whole selection as one SELECT of these columns (absent: of all): table or query, and `where`. */
export function selectAll(selection: Selection, only = false, columns?: readonly string[]): string {
  const from = selection.query === undefined
    ? `${only ? 'ONLY ' : ''}${qualified(parseTableName(selection.table ?? ''))}`
    : `(${embedded(selection.query)}) caravan_query`;
  return `SELECT ${columns ? columnList(columns) : '*'} FROM ${from}${selection.where === undefined ? '' : ` WHERE (${embedded(selection.where)})`}`;
}

interface Estimate { rowsEstimate: number; bytesEstimate: number }

async function estimate(client: ClientBase, relation: Relation, selection: Selection, columns: readonly string[]): Promise<Estimate> {
  if (!relation.readable) return { rowsEstimate: relation.analysedRows ?? 0, bytesEstimate: relation.bytes };
  if (selection.where !== undefined || !isStored(relation)) return estimatePlanned(client, selectAll(selection, relation.hasChildren, columns));
  return { rowsEstimate: await rowsOf(client, relation), bytesEstimate: relation.bytes };
}

/** Analysed rows; counted when small and never analysed; else the planner's guess from the size. */
export async function rowsOf(client: ClientBase, relation: Relation): Promise<number> {
  if (relation.analysedRows !== null) return relation.analysedRows;
  const rows = `SELECT FROM ${relation.hasChildren ? 'ONLY ' : ''}${qualified(relation)}`;
  if (relation.bytes > COUNTED_BYTES) return (await estimatePlanned(client, rows)).rowsEstimate;
  const [counted] = await readRows<{ rows: number }>(client, `SELECT count(*) AS rows FROM ${relation.hasChildren ? 'ONLY ' : ''}${qualified(relation)}`);
  return counted?.rows ?? 0;
}

interface ExplainedPlan { 'Plan Rows': number; 'Plan Width': number }

async function estimatePlanned(client: ClientBase, select: string): Promise<Estimate> {
  const { rows } = await client.query<{ 'QUERY PLAN': string | { Plan: ExplainedPlan }[] }>(oneStatement(`EXPLAIN (FORMAT JSON) ${select}`));
  const answer = rows[0]?.['QUERY PLAN'];
  const plan = (typeof answer === 'string' ? (JSON.parse(answer) as { Plan: ExplainedPlan }[]) : answer)?.[0]?.Plan;
  if (!plan) return { rowsEstimate: 0, bytesEstimate: 0 };
  return { rowsEstimate: plan['Plan Rows'], bytesEstimate: plan['Plan Rows'] * plan['Plan Width'] };
}

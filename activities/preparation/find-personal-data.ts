import type { Column } from '../../migration/value';
import { classesOfName, classOfValues } from '../../migration/preparation/personal-data';
import type { PersonalDataFinding } from '../../migration/preparation/findings';
import type { Problem } from '../../migration/protocol';
import { rowsOf } from '../connectors/postgres/selection-sql';
import { quoteIdent } from '../connectors/postgres/sql';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { sourceSelection } from '../run-context';
import type { DescribedDataset } from './describe-datasets';

/** Rows of a dataset whose values are looked at. */
const SAMPLE_ROWS = 400;
const SAMPLE_MS = 20_000;
/** Longer texts are no address, number or name. */
const VALUE_CHARS = 330;

/** Columns that look like personal data by name or by content, and those that the plan declares. Values are judged in here and go nowhere. */
export async function findPersonalData(deps: ActivityDependencies, described: DescribedDataset): Promise<PersonalDataFinding[]> {
  const { name, dataset, source, target, mapping } = described;
  const declared = new Set(dataset.pii);
  const contents = await sampleClasses(deps, described);
  const found = source.columns.flatMap((column): PersonalDataFinding[] => {
    // Declared under the name of either side: both are masked.
    const arrivesAs = mapping.fields.filter((field) => field.inputs.some((input) => mapping.read[input]?.name === column.name)).map((field) => field.column.name);
    return finding(name, column, 'source', declared.has(column.name) || arrivesAs.some((other) => declared.has(other)), contents.get(column.name) ?? null);
  });
  const known = new Set(source.columns.map((column) => column.name));
  const made = target.columns.filter((column) => !known.has(column.name));
  return [...found, ...made.flatMap((column) => finding(name, column, 'target', declared.has(column.name), null))];
}

function finding(dataset: string, column: Column, side: 'source' | 'target', declared: boolean, content: ReturnType<typeof classOfValues>): PersonalDataFinding[] {
  const named = ['text', 'opaque', 'json', 'date', 'datetime', 'instant', 'integer', 'bytes', 'decimal', 'float'].includes(column.kind) ? classesOfName(column.name) : [];
  if (named.length === 0 && content === null && !declared) return [];
  const by = named.length > 0 && content ? 'both' : content ? 'content' : named.length > 0 ? 'name' : 'plan';
  return [{ dataset, column: column.name, side, classes: [...new Set([...named, ...(content ? [content.kind] : [])])], by, declared, share: content ? Math.round(content.share * 100) / 100 : null }];
}

/** By column of the source; a column that may not be read, and a table that takes too long, has none. */
async function sampleClasses(deps: ActivityDependencies, { name, dataset, source }: DescribedDataset): Promise<Map<string, ReturnType<typeof classOfValues>>> {
  const columns = source.columns.filter((column) => !column.unreadable && (column.kind === 'text' || column.kind === 'opaque') && !column.composite);
  if (columns.length === 0) return new Map();
  const rows = await asPostgres(deps.systems.open(dataset.source.connection)).transaction(async (client) => {
    await client.query(`SET LOCAL statement_timeout = ${SAMPLE_MS}`);
    const list = columns.map((column, at) => `left(${quoteIdent(column.name)}::text, ${VALUE_CHARS}) AS c${at}`).join(', ');
    const sample = await client.query<Record<string, string | null>>(`SELECT ${list} FROM (${await rowsOf(client, sourceSelection(name, dataset), columns.map((column) => column.name))}) caravan_sample LIMIT ${SAMPLE_ROWS}`);
    return sample.rows;
  }, 'BEGIN READ ONLY');
  return new Map(columns.map((column, at) => [column.name, classOfValues(rows.map((row) => row[`c${at}`] ?? null))]));
}

/** Both ways: what looks like personal data and is not declared, and what is declared and in neither side. */
export function personalDataProblems({ name, dataset, source, target }: DescribedDataset, found: readonly PersonalDataFinding[]): Problem[] {
  const place = `datasets.${name}.pii`;
  const open = found.filter((one) => !one.declared && (one.by !== 'name' || one.classes.some((kind) => kind !== 'credential' || one.side === 'source')));
  const there = new Set([...source.columns, ...target.columns].map((column) => column.name));
  const lost = dataset.pii.filter((column) => !there.has(column));
  return [
    ...open.map((one): Problem => ({
      severity: 'warning', place, message: `column ${one.column} looks like personal data (${one.classes.join(', ').replaceAll('_', ' ')}, by its ${one.by === 'both' ? 'name and content' : one.by}) and is not declared`,
      remedy: `Add it: pii: [..., ${one.column}]. It is then masked wherever it is shown.`,
    })),
    ...lost.map((column): Problem => ({ severity: 'warning', place, message: `column ${column} is declared as personal data and is in neither side`, remedy: 'Correct its name, or take it out.' })),
  ];
}

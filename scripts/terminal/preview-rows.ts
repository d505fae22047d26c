import type { Preview } from '../../workers/door';
import { countOf } from './quantities';
import { fitText, textWidth, visibleText } from './text-width';
import type { Terminal } from './terminal';

const CELL_COLUMNS_MAX = 48;

/**
 * A preview, row by row: one line per target column with its value, and the source columns of that row that changed or went.
 * Values are cut to the terminal and made visible: control characters never reach it.
 */
export function renderPreview(preview: Preview, terminal: Terminal): string[] {
  const { color } = terminal;
  const title = `${color.bold(preview.dataset)}  ${color.dim(`${countOf(preview.rows.length, 'row')}, before and after`)}`;
  if (preview.rows.length === 0) return [title, color.dim('  no rows')];
  return [title, ...preview.rows.flatMap((row, index) => ['', ...renderRow(preview, row, index + 1, terminal)])];
}

function renderRow(preview: Preview, row: Preview['rows'][number], number: number, terminal: Terminal): string[] {
  const { color, marks } = terminal;
  const quarantined = row.after === null;
  const head = `  ${color.dim(`row ${number}`)}${quarantined ? color.yellow(`  ${marks.warning} quarantine: ${row.reasons.map((reason) => (reason.column ? `${reason.column} (${reason.rule})` : reason.rule)).join(', ')}`) : ''}`;
  const pairs = pairColumns(preview, row);
  const nameWidth = Math.max(...pairs.map(({ name }) => textWidth(name)));
  const room = Math.max(12, Math.min(CELL_COLUMNS_MAX, Math.floor((terminal.columns - nameWidth - 10) / 2)));
  const cell = (value: string | null): string => (value === null ? 'NULL' : fitText(visibleText(value), room, marks.ellipsis));
  const beforeWidth = Math.max(...pairs.map(({ before }) => (before === undefined ? 0 : textWidth(cell(before)))));
  const arrow = terminal.unicode ? '→' : '->';
  const lines = pairs.map(({ name, before, after }) => {
    const left = before === undefined ? '' : cell(before);
    const filled = left + ' '.repeat(beforeWidth - textWidth(left));
    const label = name + ' '.repeat(nameWidth - textWidth(name));
    if (after === undefined) return `    ${color.dim(label)}  ${before === null ? color.dim(filled) : filled}${quarantined ? '' : color.dim(`  ${arrow} not carried over`)}`;
    const right = cell(after);
    return before === after ? `    ${color.dim(label)}  ${color.dim(filled)}` : `    ${color.dim(label)}  ${color.dim(filled)}  ${color.dim(arrow)} ${color.cyan(right)}`;
  });
  return [head, ...lines.map((line) => line.trimEnd())];
}

interface Pair { name: string; before?: string | null; after?: string | null }

/** Columns of the same name share a line; columns on one side only have their own. Source order first, then what is new. */
function pairColumns(preview: Preview, row: Preview['rows'][number]): Pair[] {
  const pairs: Pair[] = preview.sourceColumns.map((name, index) => {
    const at = preview.targetColumns.indexOf(name);
    return { name, before: row.before[index] ?? null, after: row.after && at >= 0 ? (row.after[at] ?? null) : undefined };
  });
  if (row.after) {
    preview.targetColumns.forEach((name, index) => {
      if (!preview.sourceColumns.includes(name)) pairs.push({ name, after: row.after?.[index] ?? null });
    });
  }
  return pairs;
}

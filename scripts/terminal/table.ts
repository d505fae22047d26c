import { textWidth } from './text-width';

export interface TableColumn {
  title: string;
  align?: 'left' | 'right';
}

const GAP = '  ';

/**
 * Aligned columns, one string per line, the titles first (dim is the caller's choice through `title`).
 * Cells may hold colour codes. Nothing is cut: fit long cells first.
 */
export function renderTable(columns: TableColumn[], rows: string[][], title: (text: string) => string = (text) => text): string[] {
  const widths = columns.map((column, index) => Math.max(textWidth(column.title), ...rows.map((row) => textWidth(row[index] ?? ''))));
  const line = (cells: string[]): string =>
    cells
      .map((cell, index) => {
        const fill = ' '.repeat(Math.max(0, (widths[index] ?? 0) - textWidth(cell)));
        return columns[index]?.align === 'right' ? fill + cell : cell + fill;
      })
      .join(GAP)
      .trimEnd();
  return [title(line(columns.map((column) => column.title))), ...rows.map(line)];
}

/** `name   value` pairs with aligned values. */
export function renderPairs(pairs: [string, string][], name: (text: string) => string = (text) => text): string[] {
  const width = Math.max(0, ...pairs.map(([key]) => textWidth(key)));
  return pairs.map(([key, value]) => `${name(key + ' '.repeat(width - textWidth(key)))}${GAP}${value}`);
}

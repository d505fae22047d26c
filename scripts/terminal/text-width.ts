// Enough of Unicode for aligned columns: combining marks take no cell, East Asian wide characters and emoji take two.
const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const WIDE = /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]$/u;
const COLOR_CODES = /\u001b\[[0-9;]*m/g;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Cells that a text takes on a terminal. Colour codes take none. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text.replace(COLOR_CODES, '')) {
    if (ZERO_WIDTH.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** Cuts an uncoloured text to at most `columns` cells, `ellipsis` included when something was cut. */
export function fitText(text: string, columns: number, ellipsis: string): string {
  if (textWidth(text) <= columns) return text;
  const room = Math.max(0, columns - textWidth(ellipsis));
  let kept = '';
  let width = 0;
  for (const character of text) {
    const next = width + textWidth(character);
    if (next > room) break;
    kept += character;
    width = next;
  }
  return kept + ellipsis;
}

/** Foreign text made safe for a terminal: line ends, tabs, escapes and direction overrides become visible `\n`, `\t`, `\u{1b}`. */
export function visibleText(text: string): string {
  return text.replace(CONTROLS, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    if (character === '\r') return '\\r';
    return `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`;
  });
}

/** Lines of at most `columns` cells, broken at blanks. The first begins with `lead`, later ones with as many blanks. A longer word stays whole: commands and addresses must stay copyable. */
export function wrapText(text: string, columns: number, lead = ''): string[] {
  const indent = ' '.repeat(textWidth(lead));
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = lines.length === 0 ? lead : indent;
    let empty = true;
    for (const word of paragraph.split(' ')) {
      if (!empty && textWidth(line) + 1 + textWidth(word) > columns) {
        lines.push(line);
        line = indent;
        empty = true;
      }
      line += empty ? word : ` ${word}`;
      empty = false;
    }
    lines.push(line.trimEnd());
  }
  return lines;
}

/**
 * Elements of a PostgreSQL array in text form (`{1,NULL,"a\"b"}`, `[0:1]={{a},{b}}`), in order, all dimensions in one list; null for NULL.
 * The text is the server's own: it is not checked.
 */
export function arrayElements(text: string): (string | null)[] {
  const elements: (string | null)[] = [];
  let at = text.startsWith('[') ? text.indexOf('=') + 1 : 0;
  while (at < text.length) {
    const c = text.charAt(at);
    if (c === '{' || c === '}' || c === ',') {
      at += 1;
    } else if (c === '"') {
      const { value, end } = quoted(text, at + 1);
      elements.push(value);
      at = end;
    } else {
      let end = at;
      while (end < text.length && text.charAt(end) !== ',' && text.charAt(end) !== '}') end += 1;
      const word = text.slice(at, end);
      elements.push(word === 'NULL' ? null : word);
      at = end;
    }
  }
  return elements;
}

function quoted(text: string, start: number): { value: string; end: number } {
  let value = '';
  let at = start;
  while (at < text.length && text.charAt(at) !== '"') {
    if (text.charAt(at) === '\\') at += 1;
    value += text.charAt(at);
    at += 1;
  }
  return { value, end: at + 1 };
}

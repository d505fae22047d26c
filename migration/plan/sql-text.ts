/** Looks at SQL of a plan without running it: enough of PostgreSQL's lexical rules to tell code from strings and comments. */

interface Token { kind: 'word' | 'name' | 'string' | 'number' | 'operator' | 'other'; text: string }

const LEXER = new RegExp(
  [
    String.raw`(?<space>\s+|--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<string>[eE]'(?:[^'\\]|''|\\[\s\S])*(?:'|$)|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$)|\$(?<tag>[A-Za-z_]*)\$[\s\S]*?(?:\$\k<tag>\$|$))`,
    String.raw`(?<name>"(?:[^"]|"")*(?:"|$))`,
    String.raw`(?<word>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)`,
    String.raw`(?<number>\d+(?:\.\d+)?)`,
    String.raw`(?<operator>::|<=|>=|<>|!=|[<>=])`,
    String.raw`(?<other>[\s\S])`,
  ].join('|'),
  'gy',
);

function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (const match of sql.matchAll(LEXER)) {
    const groups = match.groups ?? {};
    const kind = (['string', 'name', 'word', 'number', 'operator', 'other'] as const).find((key) => groups[key] !== undefined);
    if (!kind) continue;
    const text = kind === 'word' ? match[0].toLowerCase() : kind === 'name' ? match[0].slice(1, -1) : match[0];
    found.push({ kind, text });
  }
  return found;
}

const isWord = (token: Token | undefined, ...words: string[]): boolean => token?.kind === 'word' && words.includes(token.text);
const isColumnPart = (token: Token | undefined): boolean => token?.kind === 'word' || token?.kind === 'name';

/** True when a `;` stands outside strings and comments. */
export function hasSemicolon(sql: string): boolean {
  return tokens(sql).some((token) => token.kind === 'other' && token.text === ';');
}

/** True when the SQL reads: it starts like a query. */
export function looksLikeQuery(sql: string): boolean {
  const first = tokens(sql).find((token) => token.text !== '(');
  return isWord(first, 'select', 'with', 'table', 'values');
}

/**
 * True when the SQL holds `NOT IN (SELECT ...)` (also `NOT x IN (SELECT ...)` and `<> ALL (SELECT ...)`):
 * a single NULL in the subquery makes the condition unknown for every row.
 */
export function hasNotInSubquery(sql: string): boolean {
  const list = tokens(sql);
  return list.some((token, at) => {
    const all = isWord(token, 'all') && ['<>', '!='].includes(list[at - 1]?.text ?? '');
    if (!all && !isWord(token, 'in')) return false;
    let next = at + 1;
    if (list[next]?.text !== '(') return false;
    while (list[next]?.text === '(') next++;
    if (!isWord(list[next], 'select', 'with', 'table', 'values') || isWord(list[next], 'values')) return false;
    return all || negatedBefore(list, at);
  });
}

function negatedBefore(list: readonly Token[], at: number): boolean {
  let before = at - 1;
  if (isWord(list[before], 'not')) return true;
  if (!isColumnPart(list[before])) return false;
  while (list[before - 1]?.text === '.' && isColumnPart(list[before - 2])) before -= 2;
  before -= 1;
  while (list[before]?.text === '(') before -= 1;
  return isWord(list[before], 'not');
}

const TIME_COLUMN = /^(?:(?:row_?)?(?:last_?)?(?:update|updated|modify|modified|mod|change|changed|create|created|insert|inserted|sync|synced|touched)(?:_?(?:at|on|ts|time|date|timestamp|utc|dt))?|(?:last_?)(?:update|updated|modified|change|changed|seen|synced)\w*|mtime|ctime|timestamp|ts|xmin)$/i;
const SERIAL_COLUMN = /^(?:id|seq|seqno|sequence|serial|rowid|row_id|version|lsn|offset|\w*(?:_seq|_version))$/i;

const FLIPPED: Record<string, string> = { '<': '>', '<=': '>=' };

/**
 * The column of a bare watermark: a time or serial column that must be greater than a constant (`updated_at > '2026-01-01'`, `'...' < id`).
 * A date cast, `timestamp '...'`, `now()` and `current_date` count as constants. Undefined when there is none.
 */
export function watermarkColumn(sql: string): string | undefined {
  const list = tokens(sql);
  for (let at = 0; at < list.length; at++) {
    const token = list[at];
    if (token?.kind === 'word' && token.text === 'between') {
      const column = list[at - 1];
      if (column && isMark(column) && isConstant(list, at + 1)) return column.text;
    }
    if (token?.kind !== 'operator') continue;
    const left = list[at - 1];
    const right = list[at + 1];
    if (['>', '>='].includes(token.text) && left && isMark(left) && isConstant(list, at + 1)) return left.text;
    if (FLIPPED[token.text] && left && ['string', 'number'].includes(left.kind)) {
      const last = columnEnd(list, at + 1);
      if (last && isMark(last)) return last.text;
    }
    if (FLIPPED[token.text] && left?.text === ')' && right && isMark(right) && list.slice(Math.max(0, at - 3), at).some((t) => isWord(t, 'now'))) return right.text;
  }
  return undefined;
}

const isMark = (token: Token): boolean => isColumnPart(token) && (TIME_COLUMN.test(token.text) || SERIAL_COLUMN.test(token.text));

function columnEnd(list: readonly Token[], at: number): Token | undefined {
  let end = at;
  while (list[end + 1]?.text === '.' && isColumnPart(list[end + 2])) end += 2;
  return list[end];
}

function isConstant(list: readonly Token[], at: number): boolean {
  const first = list[at];
  if (first?.kind === 'string' || first?.kind === 'number') return true;
  if (isWord(first, 'current_date', 'current_timestamp', 'now', 'to_timestamp', 'to_date', 'cast')) return true;
  return isWord(first, 'timestamp', 'timestamptz', 'date', 'interval') && list[at + 1]?.kind === 'string';
}

/** A relation as a statement names it, and the rights that the statement needs on it. */
export interface TouchedRelation { schema: string; name: string; rights: string[] }

/**
 * The tables and views that a plain INSERT, UPDATE, DELETE or SELECT names, with the rights that it needs. Names without a schema count as those of `public`.
 * What functions touch stays unseen, and of a list behind FROM only the first is told.
 */
export function relationsOfStatement(sql: string): TouchedRelation[] {
  const list = tokens(sql);
  const own = new Set(list.filter((token, at) => isColumnPart(token) && isWord(list[at + 1], 'as') && list[at + 2]?.text === '(').map(({ text }) => text));
  const rewrites = list.some((token, at) => isWord(token, 'do') && isWord(list[at + 1], 'update'));
  return list.flatMap((token, at): TouchedRelation[] => {
    const before = list[at - 1];
    const rights = isWord(token, 'update') && !isWord(before, 'do', 'for', 'key') ? ['SELECT', 'UPDATE']
      : isWord(token, 'into') && isWord(before, 'insert') ? ['INSERT', ...(rewrites ? ['SELECT', 'UPDATE'] : [])]
      : isWord(token, 'from') && isWord(before, 'delete') ? ['SELECT', 'DELETE']
      : isWord(token, 'from', 'join', 'using') && !isWord(before, 'distinct') ? ['SELECT'] : null;
    if (!rights) return [];
    const start = isWord(list[at + 1], 'only') ? at + 2 : at + 1;
    const first = list[start];
    if (!first || !isColumnPart(first) || isWord(first, 'select', 'lateral', 'set') || own.has(first.text)) return [];
    const second = list[start + 1]?.text === '.' ? list[start + 2] : undefined;
    const isFunction = rights.length === 1 && rights[0] === 'SELECT' && list[second ? start + 3 : start + 1]?.text === '(';
    return isFunction ? [] : [second ? { schema: first.text, name: second.text, rights } : { schema: 'public', name: first.text, rights }];
  });
}

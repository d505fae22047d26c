import picocolors from 'picocolors';

/** What the place that output goes to can do. Decided once per command. */
export interface Terminal {
  /** A person sits there: lines may be redrawn, questions may be asked. */
  interactive: boolean;
  unicode: boolean;
  columns: number;
  rows: number;
  color: ReturnType<typeof picocolors.createColors>;
  marks: Marks;
}

export interface Marks { ok: string; bad: string; warning: string; none: string; active: string; branch: string; last: string; rule: string; dot: string; ellipsis: string }

const UNICODE_MARKS: Marks = { ok: '✓', bad: '✗', warning: '!', none: '·', active: '›', branch: '├──', last: '└──', rule: '─', dot: '·', ellipsis: '…' };
const ASCII_MARKS: Marks = { ok: 'ok', bad: 'x', warning: '!', none: '-', active: '>', branch: '|--', last: '`--', rule: '-', dot: '-', ellipsis: '...' };

const COLUMNS_DEFAULT = 100;
/** A file or another program takes lines of any length: nothing is broken or cut there. */
const COLUMNS_UNLIMITED = 10_000;
const ROWS_DEFAULT = 24;

/**
 * Colour follows NO_COLOR and FORCE_COLOR, then whether the stream is a terminal. Unicode needs a UTF-8 locale
 * (LC_ALL, LC_CTYPE, LANG in that order; macOS and Windows Terminal always have it) and not the Linux console.
 */
export function terminalOf(stream: { isTTY?: boolean; columns?: number; rows?: number }, env: NodeJS.ProcessEnv = process.env, platform: string = process.platform): Terminal {
  const isTerminal = stream.isTTY === true && env['TERM'] !== 'dumb';
  const unicode = canUnicode(env, platform);
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0';
  return {
    interactive: isTerminal && !env['CI'],
    unicode,
    columns: stream.isTTY !== true ? COLUMNS_UNLIMITED : stream.columns && stream.columns > 0 ? stream.columns : COLUMNS_DEFAULT,
    rows: stream.rows && stream.rows > 0 ? stream.rows : ROWS_DEFAULT,
    color: picocolors.createColors(!env['NO_COLOR'] && (forced || isTerminal)),
    marks: unicode ? UNICODE_MARKS : ASCII_MARKS,
  };
}

function canUnicode(env: NodeJS.ProcessEnv, platform: string): boolean {
  if (platform === 'win32') return Boolean(env['WT_SESSION']) || env['TERM_PROGRAM'] === 'vscode';
  if (env['TERM'] === 'linux' || env['TERM'] === 'dumb') return false;
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return /utf-?8/i.test(locale) || (platform === 'darwin' && locale === '');
}

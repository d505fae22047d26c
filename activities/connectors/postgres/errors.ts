import { isMigrationError, MigrationError } from '../../../migration/errors';
import type { ErrorCode } from '../../../migration/protocol';

const UNREACHABLE_SOCKET = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN',
]);
const REFUSED_TLS = /^(CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED_CERT|DEPTH_ZERO_|UNABLE_TO_)/;

/** SQLSTATE, longest prefix first. */
const CODES: readonly [prefix: string, code: ErrorCode][] = [
  ['42501', 'PRIVILEGE_MISSING'], ['25006', 'PRIVILEGE_MISSING'],
  ['42P01', 'OBJECT_MISSING'], ['42703', 'OBJECT_MISSING'], ['3F000', 'OBJECT_MISSING'], ['42704', 'OBJECT_MISSING'],
  ['3D000', 'CONNECTION_REFUSED'], ['57P04', 'CONNECTION_REFUSED'],
  ['57P01', 'SYSTEM_UNREACHABLE'], ['57P02', 'SYSTEM_UNREACHABLE'], ['57P03', 'SYSTEM_UNREACHABLE'],
  ['40001', 'SYSTEM_BUSY'], ['40P01', 'SYSTEM_BUSY'], ['55P03', 'SYSTEM_BUSY'], ['55006', 'SYSTEM_BUSY'], ['57014', 'SYSTEM_BUSY'], ['57P05', 'SYSTEM_BUSY'],
  ['25P03', 'SYSTEM_BUSY'], ['25P04', 'SYSTEM_BUSY'], ['P0001', 'ROW_REFUSED'], ['54000', 'ROW_REFUSED'],
  ['08', 'SYSTEM_UNREACHABLE'], ['28', 'CONNECTION_REFUSED'], ['53', 'SYSTEM_BUSY'],
  ['22', 'ROW_REFUSED'], ['23', 'ROW_REFUSED'], ['44', 'ROW_REFUSED'],
  ['42', 'SQL_INVALID'], ['0A', 'SQL_INVALID'],
];

/** Classes whose server message speaks of names and states only, never of row values. A syntax error quotes the SQL, literals included. */
const MESSAGE_IS_SAFE = /^(08|0A|25|28|3D|3F|40|42(?!601)|53|55|57)/;

/** A function in the database (a trigger, a check, a policy) raised it or ran SQL of its own: any SQLSTATE, and texts and names made from the row. */
function isFromFunction({ where, file }: ServerError): boolean {
  return /\bPL\/|\bSQL[ -]\w*f[uo]n/i.test(where ?? '') || /^(pl[_a-z]|functions\.c)/.test(file ?? '');
}

const REMEDIES: Partial<Record<ErrorCode, string>> = {
  CONNECTION_REFUSED: 'Check user, password and database of this connection.',
  SYSTEM_UNREACHABLE: 'Check that the server runs and that its host and port can be reached from this worker.',
  SYSTEM_BUSY: 'It is tried again; if it stays, look for locks or missing resources on the server.',
  PRIVILEGE_MISSING: 'Grant the missing right: `caravan check PLAN --grants` prints the statements.',
  OBJECT_MISSING: 'Check the name in the plan.',
};

function tlsProblem(code: string | null, message: string): string {
  if (/does not support SSL/i.test(message)) return 'the server offers no TLS, and this connection asks for it. Turn ssl on at the server, or take tls and sslmode out of the connection.';
  if (code === 'CERT_HAS_EXPIRED') return 'the certificate of the server has expired. Renew it at the server, or check this machine\'s clock.';
  if (code === 'CERT_NOT_YET_VALID') return 'the certificate of the server is not valid yet. Check this machine\'s clock.';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'the certificate of the server is for another host name. Use the name that the certificate carries in the address of the connection.';
  if (code !== null && /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO)/.test(code)) return 'the certificate of the server comes from an authority that is not trusted here. Name it in the connection: tls: { ca: PATH }.';
  return 'the TLS connection was refused. Check the connection\'s tls settings.';
}

/** Where the state itself tells more than its class. */
const STATE_REMEDIES: Record<string, string> = {
  '53100': 'The disk of the server is full: free space, or add some. It is tried again.',
  '53300': 'Every connection that the server allows is taken: close some, or raise max_connections, or the CONNECTION LIMIT of the role or database.',
};

interface ServerError { code: string; message: string; schema?: string; table?: string; column?: string; constraint?: string; dataType?: string; severity: string; where?: string; file?: string }

/** SQLSTATE of an error that the server reported; null for all others. */
export function sqlState(error: unknown): string | null {
  return isServerError(error) ? error.code : null;
}

/** About a row: data exceptions, integrity violations, cardinality, view checks, RAISE in a trigger, a value too long for an index. */
const ROW_ERROR = /^(21|22|23|44|P0001|54000)/;
/** A value that names an object which is not there (regclass, aclitem), or that its type cannot parse (tsquery, jsonpath). */
const VALUE_ERROR = /^(42601|42602|42622|42704|42725|42883|42P01|3F000)$/;

/**
 * The server refused one row, and would take others. Where a state may also speak of the statement or of a trigger's code, only an error that came
 * up while COPY read a value counts: its context has the COPY line (whose first word is the same in every language), and no function before it.
 */
export function isRowError(error: unknown): boolean {
  const state = sqlState(error);
  if (state === null) return false;
  if (ROW_ERROR.test(state) || !VALUE_ERROR.test(state)) return ROW_ERROR.test(state);
  const lines = ((error as { where?: string }).where ?? '').split('\n');
  const copy = lines.findIndex((line) => line.startsWith('COPY '));
  return copy >= 0 && !lines.slice(0, copy).some((line) => /SQL|PL\//.test(line));
}

/**
 * Makes any error of the driver fit to cross a border. `place` tells what was being done, and where.
 * `detail`, `where` and `hint` are always dropped, the message too where it may quote a row or the plan's SQL; names of table, column and constraint stay,
 * unless a function of the database gave them.
 * A MigrationError passes unchanged.
 */
export function toMigrationError(error: unknown, place: string): MigrationError {
  if (isMigrationError(error)) return error;
  if (isServerError(error)) return fromServer(error, place);
  const code = socketCode(error);
  const message = error instanceof Error ? error.message : '';
  if (code !== null && UNREACHABLE_SOCKET.has(code)) return told('SYSTEM_UNREACHABLE', place, `the server cannot be reached (${code})`);
  if ((code !== null && REFUSED_TLS.test(code)) || /does not support SSL|server certificate/i.test(message)) {
    return new MigrationError('CONNECTION_REFUSED', `${place}: ${tlsProblem(code, message)}${code ? ` (${code})` : ''}`);
  }
  if (/^SASL|password must be a string/i.test(message)) return told('CONNECTION_REFUSED', place, 'the password is missing or was refused');
  if (/terminat|timeout|not queryable|connection error|client was closed|ended/i.test(message)) return told('SYSTEM_UNREACHABLE', place, 'the connection broke');
  // The name tells a programmer where to look; the message may hold anything.
  return new MigrationError('INTERNAL', `${place}: unexpected ${error instanceof Error ? error.name : 'failure'}. Please report it.`, code ? { cause: code } : {});
}

function fromServer(error: ServerError, place: string): MigrationError {
  const code = CODES.find(([prefix]) => error.code.startsWith(prefix))?.[1] ?? 'INTERNAL';
  const details: Record<string, string> = { sqlstate: error.code };
  if (isFromFunction(error)) return new MigrationError(code, `${place}: a function in the database refused it (SQLSTATE ${error.code}). Its own words are not repeated, for they may hold values of the row.`, details);
  for (const name of ['schema', 'table', 'column', 'constraint'] as const) if (error[name]) details[name] = error[name];
  // While COPY reads a value, the name that is missing is the value (regclass and its kin).
  const isSafe = MESSAGE_IS_SAFE.test(error.code) && !(error.code.startsWith('42') && error.where?.startsWith('COPY '));
  const said = isSafe ? error.message : error.code === '42601' ? 'the SQL cannot be read' : `the server refused it${namesOf(error)}`;
  const remedy = STATE_REMEDIES[error.code] ?? REMEDIES[code];
  return new MigrationError(code, `${place}: ${said} (SQLSTATE ${error.code}).${remedy ? ` ${remedy}` : ''}`, details);
}

function namesOf(error: ServerError): string {
  const names = [
    error.table && `table ${error.schema ? `${error.schema}.` : ''}${error.table}`,
    error.column && `column ${error.column}`,
    error.constraint && `constraint ${error.constraint}`,
  ].filter(Boolean);
  return names.length > 0 ? `: ${names.join(', ')}` : '';
}

function told(code: ErrorCode, place: string, what: string): MigrationError {
  return new MigrationError(code, `${place}: ${what}. ${REMEDIES[code] ?? ''}`.trimEnd());
}

function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string' && error.code.length === 5;
}

/** Node wraps the attempts on several addresses of one host in an AggregateError. */
function socketCode(error: unknown): string | null {
  if (typeof error !== 'object' || error === null) return null;
  // By shape, not by class: errors of Node's own modules may come from another realm (test runners, embedders).
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) return socketCode(error.errors[0]);
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

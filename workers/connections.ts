import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { connectorFor } from '../activities/connectors/registry';
import type { Systems } from '../activities/dependencies';
import type { ConnectionConfig, System } from '../migration/connector';
import { MigrationError } from '../migration/errors';
import { redactUrl } from './redact';

export type Environment = Record<string, string | undefined>;

export const DEFAULT_FILE = 'caravan.connections.yaml';
const VARIABLE = 'CARAVAN_CONNECTION_';

const secretSchema = z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })], 'write { env: VARIABLE } or { file: PATH }; a password itself does not belong here');
const connectionSchema = z.strictObject({
  url: z.string().min(1),
  admin_url: z.string().min(1).optional(),
  tls: z.strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() }).optional(),
  password: secretSchema.optional(),
  connections_max: z.number().int().min(2).max(1000).optional(),
});
const fileSchema = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, 'letters, digits, _ and - only'), connectionSchema);

/** A connection before its secrets are looked up. */
interface Entry { name: string; url: string; from: string; folder: string; file?: z.output<typeof connectionSchema> }

/** Name of the variable that can hold a connection: `legacy-db` -> `CARAVAN_CONNECTION_LEGACY_DB`. */
export const variableOf = (connection: string): string => VARIABLE + envSuffix(connection);
export const envSuffix = (name: string): string => name.toUpperCase().replaceAll('-', '_');

export interface ConnectionBook {
  /** Sorted by name. Holds no secrets. */
  list(): { name: string; address: string; url: string; from: string }[];
  /** With secrets resolved. @throws MigrationError `CONNECTION_UNKNOWN`. */
  config(connection: string): ConnectionConfig;
}

/**
 * Connections from variables (`CARAVAN_CONNECTION_<NAME>=URL`) and a YAML file (the given one, CARAVAN_CONNECTIONS, or `caravan.connections.yaml`
 * in the working directory when it exists). A variable wins over the file. Secrets are read when a connection is opened.
 * @throws MigrationError `CONNECTION_UNKNOWN` for a file that is missing or wrong; no message ever holds an address with its user and password.
 */
export function readConnections(options: { file?: string; env?: Environment; cwd?: string } = {}): ConnectionBook {
  const env = options.env ?? process.env;
  const cwd = options.cwd ?? process.cwd();
  const named = options.file ?? (env['CARAVAN_CONNECTIONS'] || undefined);
  const file = path.resolve(cwd, named ?? DEFAULT_FILE);
  const entries = new Map<string, Entry>();
  if (named !== undefined || existsSync(file)) for (const entry of readFile(file)) entries.set(entry.name, entry);
  for (const [variable, url] of Object.entries(env)) {
    if (!variable.startsWith(VARIABLE) || variable.length === VARIABLE.length || !url) continue;
    const same = [...entries.keys()].find((name) => variableOf(name) === variable);
    const name = same ?? variable.slice(VARIABLE.length).toLowerCase();
    entries.set(name, { name, url, from: variable, folder: cwd, ...(same ? { file: entries.get(same)?.file } : {}) });
  }
  const find = (connection: string): Entry | undefined => entries.get(connection) ?? [...entries.values()].find((entry) => entry.from === variableOf(connection));
  return {
    list: () => [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, url, from }) => ({ name, url, address: redactUrl(url), from })),
    config: (connection) => {
      const entry = find(connection);
      if (!entry) throw unknownConnection(connection, [...entries.keys()], named ?? DEFAULT_FILE);
      return resolve({ ...entry, name: connection }, env);
    },
  };
}

function unknownConnection(connection: string, known: string[], file: string): MigrationError {
  const there = known.length > 0 ? `There are: ${known.sort().join(', ')}.` : 'There are none yet.';
  return new MigrationError('CONNECTION_UNKNOWN', `connection ${connection} is not known here. ${there} Set ${variableOf(connection)}=URL, or add it to ${file}.`, { connection });
}

function readFile(file: string): Entry[] {
  const fail = (problem: string): MigrationError => new MigrationError('CONNECTION_UNKNOWN', `connections file ${file}: ${problem}`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw fail(missing ? 'there is no such file' : `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
  // The parser's own messages quote the text, which may hold secrets: only place and code are told.
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: true, logLevel: 'silent' });
  const [broken] = [...document.errors, ...document.warnings];
  if (broken) throw fail(`line ${text.slice(0, broken.pos[0]).split('\n').length} is not valid YAML (${broken.code})`);
  const parsed = fileSchema.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (!parsed.success) throw fail(parsed.error.issues.map((issue) => `\n  ${issue.path.join('.') || 'the file'}: ${issue.message}`).join(''));
  return Object.entries(parsed.data).map(([name, entry]) => ({ name, url: entry.url, from: file, folder: path.dirname(file), file: entry }));
}

function resolve(entry: Entry, env: Environment): ConnectionConfig {
  const password = entry.file?.password ? secret(entry, entry.file.password, env) : undefined;
  const tls = entry.file?.tls;
  return {
    name: entry.name,
    url: address(entry, entry.url, password, tls !== undefined),
    ...(entry.file?.admin_url === undefined ? {} : { adminUrl: address(entry, entry.file.admin_url, password, tls !== undefined) }),
    ...(tls ? { tls: Object.fromEntries(Object.entries(tls).map(([part, value]) => [part, pem(entry, part, value)])) } : {}),
    ...(entry.file?.connections_max === undefined ? {} : { connectionsMax: entry.file.connections_max }),
  };
}

/** The password goes where the address has none. With `tls`, the address may not weaken or replace it. */
function address(entry: Entry, text: string, password: string | undefined, tls: boolean): string {
  connectorFor(entry.name, text);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong(entry, 'its url cannot be understood. Write it like postgres://user@host:5432/database, special characters of a password as %XX');
  }
  const mode = url.searchParams.get('sslmode');
  if (mode === 'no-verify') throw wrong(entry, 'sslmode=no-verify would accept any server. Name the certificate authority instead: tls: { ca: PATH }');
  if (tls && mode !== null) {
    if (mode === 'disable') throw wrong(entry, 'it has tls settings and sslmode=disable; take one of them out');
    // The driver lets the address overrule the tls settings.
    url.searchParams.delete('sslmode');
  }
  if (password !== undefined && url.password === '') url.password = encodeURIComponent(password);
  return url.href;
}

function secret(entry: Entry, from: z.output<typeof secretSchema>, env: Environment): string {
  if ('env' in from) {
    const value = env[from.env];
    if (value === undefined) throw wrong(entry, `its password should come from the variable ${from.env}, which is not set`);
    return value;
  }
  return readPart(entry, 'password', from.file).replace(/\r?\n$/, '');
}

const pem = (entry: Entry, part: string, value: string): string => (value.startsWith('-----BEGIN') ? value : readPart(entry, `tls.${part}`, value));

function readPart(entry: Entry, part: string, file: string): string {
  try {
    return readFileSync(path.resolve(entry.folder, file), 'utf8');
  } catch (error) {
    throw wrong(entry, `its ${part} file ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

const wrong = (entry: Entry, problem: string): MigrationError => new MigrationError('CONNECTION_UNKNOWN', `connection ${entry.name} (${entry.from}): ${problem}`, { connection: entry.name });

/** Opens each connection once, at its first use. */
export function openSystems(book: ConnectionBook): Systems {
  const opened = new Map<string, System>();
  return {
    names: () => book.list().map((entry) => entry.name),
    open(connection) {
      const known = opened.get(connection);
      if (known) return known;
      const config = book.config(connection);
      const system = connectorFor(connection, config.url).open(config);
      opened.set(connection, system);
      return system;
    },
    async close() {
      const systems = [...opened.values()];
      opened.clear();
      await Promise.allSettled(systems.map((system) => system.close()));
    },
  };
}

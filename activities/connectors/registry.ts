import type { Connector } from '../../migration/connector';
import { MigrationError } from '../../migration/errors';
import { postgresConnector } from './postgres';

/** One line per connector. */
const CONNECTORS: readonly Connector[] = [
  postgresConnector,
];

/** Schemes of connectors that are planned, so that they are refused by name. */
const NOT_BUILT: Readonly<Record<string, string>> = { mongodb: 'MongoDB', 'mongodb+srv': 'MongoDB', s3: 'S3', file: 'files', redis: 'Redis', rediss: 'Redis' };

/** The connector for an address, by its scheme. @throws MigrationError `CONNECTION_UNKNOWN`; the message holds the scheme only, never the address. */
export function connectorFor(connection: string, url: string): Connector {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(url)?.[1]?.toLowerCase();
  const found = CONNECTORS.find((connector) => scheme !== undefined && connector.schemes.includes(scheme));
  if (found) return found;
  const known = CONNECTORS.flatMap((connector) => connector.schemes).map((name) => `${name}:`).join(', ');
  if (scheme === undefined) throw new MigrationError('CONNECTION_UNKNOWN', `connection ${connection} has no scheme in its url. Write it like postgres://user@host:5432/database`);
  const planned = Object.hasOwn(NOT_BUILT, scheme) ? NOT_BUILT[scheme] : undefined;
  throw new MigrationError('CONNECTION_UNKNOWN', planned === undefined
    ? `connection ${connection}: nothing here can open ${scheme}: addresses. Known: ${known}`
    : `connection ${connection}: the connector for ${planned} (${scheme}:) is not built yet. Built so far: ${known}`);
}

import type { Connector } from '../../../migration/connector';
import { PostgresSystem } from './system';

/** PostgreSQL 13 to 18, by URL `postgres://user:password@host:port/database`. */
export const postgresConnector: Connector = {
  name: 'postgres',
  schemes: ['postgres', 'postgresql'],
  capabilities: { transactions: true, encodings: ['pgcopy', 'values'], roles: ['source', 'sink'] },
  open: (config) => new PostgresSystem(config, postgresConnector),
};

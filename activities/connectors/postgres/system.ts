import { Client, Pool, TypeOverrides, type ClientBase, type ClientConfig, type PoolClient, type QueryResult } from 'pg';
import type { ConnectionConfig, Connector, ServerIdentity, System } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import { toMigrationError } from './errors';
import { StallWatch } from './stall-watch';

/**
 * One text form for every value, whatever is set for the server, the database or the role. A database without an encoding (SQL_ASCII) gives its bytes
 * as they are (`database-text.ts`). Hidden rows are an error, a table of a terabyte takes its time, and a fence needs to see what others committed.
 * A write block (`write-block.ts`) lets sessions pass that say they are Caravan's own.
 */
const SESSION = `SET statement_timeout = 0; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = content; SET array_nulls = on; SET quote_all_identifiers = off;
SET standard_conforming_strings = on; SET transform_null_equals = off; SET row_security = off;
SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = 0;
SET default_transaction_isolation = 'read committed'; SET caravan.worker = 'on';
SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('transaction_timeout', 'idle_session_timeout');
SELECT set_config('client_encoding', CASE current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)`;

/** How long an identity is believed: a failover may put another server behind the same address. */
const IDENTITY_TRUST_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_DELAY_MS = 10_000;
const SESSION_TIMEOUT_MS = 30_000;
/** A worker that stalls in a transaction lets go of its locks after this long. Connections of one's own may hold a snapshot for longer. */
const POOLED_SESSION = `SET idle_in_transaction_session_timeout = '5min'`;
const DATE_OIDS = [1082, 1114, 1184];

/** A PostgreSQL database of the plan. Connections are made on first use. 64-bit integers, numerics and dates arrive as text. */
export class PostgresSystem implements System {
  private readonly pool: Pool;
  private known: { identity: Promise<ServerIdentity>; until: number } | null = null;
  /** Pooled connections whose session is set up. */
  private readonly prepared = new WeakSet<PoolClient>();
  private readonly stalls: StallWatch;

  /** `silentMs`: how long a connection may be silent before the server is asked about it. */
  constructor(
    readonly config: ConnectionConfig,
    readonly connector: Connector,
    silentMs?: number,
  ) {
    const direct = clientConfig(config, config.url);
    this.stalls = new StallWatch(direct, silentMs);
    this.pool = new Pool({ ...direct, max: config.connectionsMax ?? 16, idleTimeoutMillis: 30_000 });
    // An idle connection that breaks is replaced at the next use; unheard, the event would end the process.
    this.pool.on('error', () => undefined);
    this.pool.on('connect', (client) => client.on('error', () => undefined));
  }

  /** System identifier and database: equal for every way to reach the same database. Asked again every minute. */
  identity(): Promise<ServerIdentity> {
    const now = Date.now();
    if (!this.known || this.known.until <= now) {
      const identity = this.readIdentity().catch((error: unknown) => {
        this.known = null;
        throw error;
      });
      this.known = { identity, until: now + IDENTITY_TRUST_MS };
    }
    return this.known.identity;
  }

  private async readIdentity(): Promise<ServerIdentity> {
    return this.use(async (client) => {
      const { rows } = await client.query<{ system: string; database: string }>(
        `SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system, current_database() AS database`,
      ).catch(() => client.query<{ system: string; database: string }>(
        // Managed services may refuse pg_control_system: the database's own oid and birth tell it apart well enough.
        `SELECT (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = current_database()) AS system, current_database() AS database`,
      ));
      const row = rows[0];
      if (!row) throw new MigrationError('INTERNAL', `${this.config.name}: the server did not tell its identity`);
      return { system: row.system, database: row.database };
    });
  }

  /** Runs `work` on a pooled connection. Driver errors leave as MigrationError. A connection that failed is not reused. */
  async use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    let client: PoolClient;
    try {
      client = await this.checkOut();
    } catch (error) {
      throw toMigrationError(error, `connection ${this.config.name}`);
    }
    let failure: unknown;
    try {
      return await work(client);
    } catch (error) {
      failure = error;
      throw toMigrationError(error, `connection ${this.config.name}`);
    } finally {
      client.release(failure !== undefined);
    }
  }

  private async checkOut(): Promise<PoolClient> {
    const client = await this.pool.connect();
    if (this.prepared.has(client)) return client;
    try {
      await this.prepareSession(client, `${SESSION};\n${POOLED_SESSION}`);
      this.prepared.add(client);
      return client;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** One transaction: commits when `work` returns, rolls back when it throws. */
  transaction<T>(work: (client: PoolClient) => Promise<T>, begin = 'BEGIN'): Promise<T> {
    return this.use(async (client) => {
      await client.query(begin);
      try {
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  /** A connection of its own, for COPY streams and held snapshots. The caller ends it. */
  async connect(): Promise<Client> {
    return this.connectTo(this.config.url);
  }

  /** With the rights of `admin_url`, where the plan's connection has one. The caller ends it. */
  async connectAdmin(): Promise<Client> {
    return this.connectTo(this.config.adminUrl ?? this.config.url);
  }

  private async connectTo(url: string): Promise<Client> {
    const client = new Client(clientConfig(this.config, url));
    // The query in flight is rejected too; the event alone must not end the process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await this.prepareSession(client, SESSION);
      // A server that sorts for minutes would not notice that its client is gone. Not every server or platform can look.
      await client.query(`SET client_connection_check_interval = '5s'`).catch(() => undefined);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw toMigrationError(error, `connection ${this.config.name}`);
    }
  }

  private async prepareSession(client: ClientBase, settings: string): Promise<void> {
    // The driver knows this limit; its types do not.
    const limited = { text: `${settings}; SELECT pg_backend_pid() AS pid`, query_timeout: SESSION_TIMEOUT_MS };
    const results = await client.query(limited) as unknown as QueryResult<{ pid: number }>[];
    const pid = results.at(-1)?.rows[0]?.pid;
    if (pid !== undefined) this.stalls.add(client, pid);
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}

function clientConfig(config: ConnectionConfig, url: string): ClientConfig {
  const types = new TypeOverrides();
  for (const oid of DATE_OIDS) types.setTypeParser(oid, (text: string) => text);
  return {
    connectionString: url,
    ...(config.tls ? { ssl: { ...config.tls, rejectUnauthorized: true } } : {}),
    application_name: 'caravan',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
    types,
  };
}

/** @throws MigrationError `CONNECTION_UNKNOWN` when the connection belongs to another kind of system. */
export function asPostgres(system: System): PostgresSystem {
  if (system instanceof PostgresSystem) return system;
  throw new MigrationError('CONNECTION_UNKNOWN', `connection ${system.config.name} is not a PostgreSQL database, which this step needs`);
}

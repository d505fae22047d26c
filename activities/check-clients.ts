import type { Client } from 'pg';
import { toMigrationError } from './connectors/postgres/errors';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';

/**
 * Connections of one check, apart from the pools: one for each system that is asked, used for one question after the other. One on which something failed is
 * thrown away: what it leaves behind (settings, a broken transaction) ends with it.
 */
export class CheckClients {
  private readonly idle = new Map<string, Client>();

  constructor(private readonly deps: Pick<ActivityDependencies, 'systems'>) {}

  /** Runs `work` on the connection of that name. @throws MigrationError for all that the driver throws. */
  async on<T>(connection: string, work: (client: Client) => Promise<T>): Promise<T> {
    const kept = this.idle.get(connection);
    this.idle.delete(connection);
    const client = kept ?? (await asPostgres(this.deps.systems.open(connection)).connect());
    try {
      const result = await work(client);
      this.idle.set(connection, client);
      return result;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw toMigrationError(error, `connection ${connection}`);
    }
  }

  async close(): Promise<void> {
    for (const client of this.idle.values()) await client.end().catch(() => undefined);
    this.idle.clear();
  }
}

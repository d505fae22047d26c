import type { ClientBase } from 'pg';
import type { RunRef } from '../migration/protocol';
import { pairsOf, prepareObjects } from './carry-objects';
import { createTables, type CreatedTables } from './connectors/postgres/create-schema';
import { displayName } from './connectors/postgres/sql';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { loadRun } from './run-context';
import { CREATE_LOCK, requestsByPair } from './schema-requests';
import { audit } from './stores/control-store';
import { installLedger } from './stores/ledger';

/**
 * Makes the target tables of all datasets with `schema: create`, one transaction per pair of connections that also records ownership and what is to be built after the load.
 * Repeatable: equal tables are left alone. What is not carried is logged and kept in the audit.
 * @throws MigrationError `MAPPING_INVALID` (another table has the name), `OBJECT_MISSING`, `PRIVILEGE_MISSING`; as `loadRun`.
 */
export function createSchema(deps: ActivityDependencies, ref: RunRef): Promise<{ created: string[] }> {
  return withHeartbeat({ step: 'schema' }, () => makeTables(deps, ref));
}

async function makeTables(deps: ActivityDependencies, ref: RunRef): Promise<{ created: string[] }> {
  const { plan, control } = await loadRun(deps, ref);
  const created: string[] = [];
  for (const { sourceName, targetName, requests } of await requestsByPair(deps, plan)) {
    const source = asPostgres(deps.systems.open(sourceName));
    const target = asPostgres(deps.systems.open(targetName));
    await installLedger(target);
    const result = await source.use((from) => target.transaction(async (to) => {
      await to.query('SELECT pg_catalog.pg_advisory_xact_lock($1)', [CREATE_LOCK]);
      const made = await createTables(from, to, requests);
      await record(to, ref.migration, made);
      return made;
    }));
    created.push(...result.created.map(({ table }) => displayName(table)));
    if (result.created.length === 0) continue;
    const leftOut = result.leftOut.map(({ dataset, what, name, reason }) => ({ dataset, what, name, reason }));
    for (const item of leftOut) deps.log.warn({ migration: ref.migration, ...item }, 'not carried to the target');
    await control.transaction((client) => audit(client, ref.migration, 'caravan', 'schema_created', {
      connection: targetName, created: result.created.map(({ table }) => displayName(table)), left_out: leftOut,
    }));
  }
  for (const [sourceName, targetName] of pairsOf(plan)) {
    await installLedger(asPostgres(deps.systems.open(targetName)));
    const left = await prepareObjects(deps, ref, plan, sourceName, targetName);
    for (const item of left) deps.log.warn({ migration: ref.migration, ...item }, 'not carried to the target');
  }
  return { created };
}


async function record(client: ClientBase, migration: string, made: CreatedTables): Promise<void> {
  for (const { dataset, table } of made.created) {
    // The table is new: a mark that is there belongs to one that was dropped.
    await client.query(
      `INSERT INTO caravan.owned_table (table_schema, table_name, migration, dataset, created) VALUES ($1, $2, $3, $4, true)
       ON CONFLICT (table_schema, table_name) DO UPDATE SET migration = EXCLUDED.migration, dataset = EXCLUDED.dataset, created = true, marked_at = now()`,
      [table.schema, table.name, migration, dataset]);
  }
  for (const { dataset, object } of made.deferred) {
    await client.query(
      `INSERT INTO caravan.dropped_object (migration, dataset, kind, table_schema, table_name, name, definition) VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
       ON CONFLICT (migration, kind, table_schema, table_name, name) DO UPDATE SET dataset = EXCLUDED.dataset, definition = EXCLUDED.definition, state = 'dropped'`,
      [migration, dataset, object.kind, object.schema, object.table, object.name, JSON.stringify(object)]);
  }
}

import { firstNames } from '../migration/name-list';
import type { CheckOutcome } from '../migration/protocol';
import { qualified } from './connectors/postgres/sql';
import { sequencesBehind } from './connectors/postgres/sequences';
import type { PostgresSystem } from './connectors/postgres/system';
import { readDropped, standingOf, type StoredObject } from './reconciliation/dropped-objects';
import { hasTable } from './stores/control-store';

const KINDS = ['index', 'unique', 'foreign_key', 'check', 'trigger'] as const;

/**
 * Whether a target has everything again that the copy took away, whole and valid, and no sequence stands behind the rows of its column.
 * What a step still owes (`settleReferences` of a dataset that was left out, say) is a warning: the run says it by itself.
 */
export async function compareObjects(target: PostgresSystem, migration: string): Promise<CheckOutcome[]> {
  if (!(await target.use((client) => hasTable(client, 'dropped_object')))) return [];
  return [await rebuiltObjects(target, migration), await sequencesOf(target, migration)];
}

async function rebuiltObjects(target: PostgresSystem, migration: string): Promise<CheckOutcome> {
  const lost: string[] = [];
  const owed: string[] = [];
  const all = await target.use(async (client) => {
    const objects = await readDropped(client, migration, KINDS);
    for (const stored of objects) {
      if (await isWhole(client, stored)) continue;
      (stored.state === 'rebuilt' ? lost : owed).push(nameOf(stored));
    }
    return objects.length;
  });
  const outcome = { name: `indexes and constraints on ${target.config.name}`, kind: 'objects' as const, side: 'target' as const };
  if (lost.length > 0) return { ...outcome, verdict: 'failed', detail: `${lost.length} of ${all} that the copy took away are missing or not valid: ${firstNames(lost)}` };
  if (owed.length > 0) return { ...outcome, verdict: 'warned', detail: `${owed.length} of ${all} are not built again yet: ${firstNames(owed)}` };
  return { ...outcome, verdict: 'passed', detail: all === 0 ? 'the copy took none away' : `all ${all} that the copy took away are there again` };
}

async function isWhole(client: Parameters<typeof standingOf>[0], stored: StoredObject): Promise<boolean> {
  const { kind, schema, table, name } = stored.object;
  if (kind !== 'index' && kind !== 'unique') return (await standingOf(client, stored)) === 'there';
  const { rows } = await client.query<{ whole: boolean }>(
    `SELECT i.indisvalid AND i.indisready AS whole FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
     WHERE i.indexrelid = to_regclass($1) AND i.indrelid = to_regclass($2)`, [qualified({ schema, name }), qualified({ schema, name: table })]);
  return rows[0]?.whole === true;
}

async function sequencesOf(target: PostgresSystem, migration: string): Promise<CheckOutcome> {
  const behind = await target.use(async (client) => {
    const { rows } = await client.query<{ schema: string; name: string }>(
      `SELECT table_schema AS schema, table_name AS name FROM caravan.owned_table
       WHERE migration = $1 AND to_regclass(format('%I.%I', table_schema, table_name)) IS NOT NULL ORDER BY 1, 2`, [migration]);
    const found: string[] = [];
    for (const table of rows) found.push(...(await sequencesBehind(client, table)).map((sequence) => `${sequence} (${table.name})`));
    return found;
  });
  const outcome = { name: `sequences on ${target.config.name}`, kind: 'objects' as const, side: 'target' as const };
  if (behind.length === 0) return { ...outcome, verdict: 'passed', detail: 'none stands behind the rows of its column' };
  return { ...outcome, verdict: 'failed', detail: `${behind.length} would hand out numbers that rows have already: ${firstNames(behind)}` };
}

function nameOf({ object: { kind, schema, table, name } }: StoredObject): string {
  return `${kind.replace('_', ' ')} ${name} of ${schema}.${table}`;
}

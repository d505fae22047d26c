import type { Client, ClientBase } from 'pg';
import type { Plan } from '../migration/plan/schema';
import type { Problem } from '../migration/protocol';
import { leftProblems, objectsOf, pairsOf } from './carry-objects';
import type { NotCarried } from './connectors/postgres/carried-objects';
import { makeObjects } from './connectors/postgres/carried-objects/make-objects';
import { withEmptySearchPath } from './connectors/postgres/catalog';
import { tryTables } from './connectors/postgres/create-schema';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { CREATE_LOCK, requestsByPair, type describeSource } from './schema-requests';

/** A trial waits for nobody. */
const LOCK_TIMEOUT = '2s';

/**
 * What the target will not get, by name: tables, and what comes with them, are made in one transaction of the target that is always rolled back. Nothing
 * stays behind, and no table that is there is locked. `onTarget` runs work on a connection of its own.
 * @throws MigrationError what would end `createSchema`, too.
 */
export async function trySchema(
  deps: Pick<ActivityDependencies, 'systems' | 'transforms'>, plan: Plan, described: typeof describeSource,
  onTarget: <T>(connection: string, work: (client: Client) => Promise<T>) => Promise<T>,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const creating = await requestsByPair(deps, plan, described);
  for (const [sourceName, targetName] of pairsOf(plan)) {
    const requests = creating.find((pair) => pair.sourceName === sourceName && pair.targetName === targetName)?.requests ?? [];
    const choice = await objectsOf(deps, plan, sourceName, targetName);
    const failed: NotCarried[] = [];
    problems.push(...(await asPostgres(deps.systems.open(sourceName)).use((from) => onTarget(targetName, (to) => rolledBack(to, async () => {
      const { rows: [lock] } = await to.query<{ mine: boolean }>('SELECT pg_catalog.pg_try_advisory_xact_lock($1) AS mine', [CREATE_LOCK]);
      if (!lock?.mine) return [busy(targetName)];
      const { leftOut, created } = await tryTables(from, to, requests);
      // Triggers, rules and row security lock their table: on one that is there they are not tried.
      const fresh = created.length === Object.keys(plan.datasets).length;
      const tried = choice.chosen.filter((object) => fresh || object.make.length > 0);
      failed.push(...(await withEmptySearchPath(to, () => makeObjects(to, tried))).failed);
      return leftOut.map(({ dataset, what, name, reason }): Problem => ({ severity: 'warning', place: `datasets.${dataset}.target`, message: `not carried: ${what} ${name}: ${reason}` }));
    })))));
    problems.push(...leftProblems([...failed, ...choice.left], sourceName));
  }
  return problems;
}

async function rolledBack<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
    return await work();
  } finally {
    await client.query('ROLLBACK');
  }
}

function busy(connection: string): Problem {
  return { severity: 'warning', place: `connection ${connection}`, message: 'tables are being made there at this moment, so what will not be carried could not be tried out', remedy: 'Check again in a while.' };
}

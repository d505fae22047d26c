import type { SwitchPlan } from '../../migration/plan/schema';
import { embedded } from '../connectors/postgres/sql';
import type { PostgresSystem } from '../connectors/postgres/system';
import { directionOf, type SwitchWay } from './switch-way';

const TIME_LIMIT = '30s';

/** One transaction per statement, with a limit of 30 s. The read-back runs read-only and answers one value. */
export function switchBySql(system: PostgresSystem, plan: NonNullable<SwitchPlan['sql']>): SwitchWay {
  return {
    set: (to) => system.transaction(async (client) => {
      await client.query(`SET LOCAL statement_timeout = '${TIME_LIMIT}'`);
      await client.query(to === 'new' ? plan.to_new : plan.to_legacy);
    }),
    read: () => system.transaction(async (client) => {
      await client.query(`SET LOCAL statement_timeout = '${TIME_LIMIT}'`);
      const { rows } = await client.query<unknown[]>({ text: `SELECT * FROM (${embedded(plan.read_back)}) AS answer LIMIT 2`, rowMode: 'array' });
      return rows.length === 1 ? directionOf(String(rows[0]?.[0])) : 'unclear';
    }, 'BEGIN TRANSACTION READ ONLY'),
  };
}

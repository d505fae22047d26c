import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';
import { MigrationError } from '../../migration/errors';
import { canonicalPlan } from '../../migration/plan/hash';
import type { Plan } from '../../migration/plan/schema';
import type { PostgresSystem } from '../connectors/postgres/system';

const CACHED_PLANS_MAX = 64;

/** Plans never change under their hash, so one copy per process serves all activities. */
const cached = new Map<string, Plan>();

/** SHA-256, hex, of the canonical text of a plan with all its defaults. */
export function planHash(plan: Plan): string {
  return createHash('sha256').update(canonicalPlan(plan)).digest('hex');
}

/** Keeps the plan under its hash; again changes nothing. Durable with the caller's transaction. */
export async function storePlan(client: PoolClient, plan: Plan): Promise<string> {
  const hash = planHash(plan);
  await client.query('INSERT INTO caravan.plan (hash, migration, body) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING', [hash, plan.migration, JSON.stringify(plan)]);
  return hash;
}

/** The plan as admitted, defaults applied, frozen against changes by its hash. @throws MigrationError `PLAN_NOT_FOUND`. */
export async function readPlan(control: PostgresSystem, hash: string): Promise<Plan> {
  const known = cached.get(hash);
  if (known) return known;
  const plan = await control.use((client) => findPlan(client, hash));
  if (!plan) throw new MigrationError('PLAN_NOT_FOUND', `the control store on connection ${control.config.name} has no plan ${hash.slice(0, 12)}; start the migration again to admit it`);
  cached.set(hash, plan);
  for (const oldest of cached.keys()) if (cached.size > CACHED_PLANS_MAX) cached.delete(oldest);
  return plan;
}

/** As `readPlan`, inside a transaction; null when there is none. */
export async function findPlan(client: PoolClient, hash: string): Promise<Plan | null> {
  const { rows } = await client.query<{ body: Plan }>('SELECT body FROM caravan.plan WHERE hash = $1', [hash]);
  return rows[0]?.body ?? null;
}

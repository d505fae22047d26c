import { isMigrationError } from '../../migration/errors';
import { CUTOVER_STEPS, switchStepName } from '../../migration/cutover-steps';
import type { Plan } from '../../migration/plan/schema';
import type { DryRunStep, RunRef, Side } from '../../migration/protocol';
import { withAdmin } from '../connectors/postgres/admin-session';
import { lockHolders, relationsToBlock } from '../connectors/postgres/write-block-schema';
import { proveWritable } from '../connectors/postgres/write-proof';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { loadRun } from '../run-context';
import { readApplication } from '../switching/application-switch';
import { blockLacks } from './check-rights';
import { lookAtNewSide } from './probes';
import { sideTables, type SideTables } from './side-tables';

/**
 * Walks a cutover without a change: for each step what it would do, and what would hinder it now. Looks at rights, locks, tables, applications and probes.
 * @throws MigrationError `LEASE_LOST`; everything else is an answer.
 */
export function dryRunCutover(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<DryRunStep[]> {
  return whileAlive(async () => {
    const { plan } = await loadRun(deps, ref);
    const steps: DryRunStep[] = [await looked(CUTOVER_STEPS.baseline, `time ${Object.keys(plan.probes).length} probes on the old side`, () => probesAnswer(deps, plan))];
    for (const side of ['target', 'source'] as const) {
      const blocks = side === 'target' ? CUTOVER_STEPS.blockTarget : CUTOVER_STEPS.blockSource;
      steps.push(await looked(blocks, `refuse writes on ${await tableCount(deps, plan, side)} of the ${side}`, () => blockable(deps, plan, side)));
    }
    if (plan.approach === 'big_bang') steps.push(certain(CUTOVER_STEPS.move, `move ${Object.keys(plan.datasets).length} datasets while both sides refuse writes`));
    steps.push(certain(CUTOVER_STEPS.sequences, 'set the target\'s sequences to the further of both sides'), certain(CUTOVER_STEPS.sync, 'compare every row of both sides and repair the target, deletes included'), certain(CUTOVER_STEPS.validate, 'run every check of the plan'));
    for (const { name } of plan.cutover?.switch ?? []) steps.push(await looked(switchStepName(name), `switch ${name} to the new side and read it back`, () => worksOnLegacy(deps, plan, name)));
    steps.push(await looked(CUTOVER_STEPS.openTarget, 'allow writes on the target', () => acceptsNow(deps, plan)));
    if (plan.cutover?.monitor) steps.push(certain(CUTOVER_STEPS.monitor, `watch ${Object.keys(plan.probes).length} probes on the new side for ${Math.round(plan.cutover.monitor.for / 60_000)} min; then ${plan.cutover.monitor.on_fail} where they fail`));
    steps.push(certain(CUTOVER_STEPS.legacy, plan.cutover?.legacy === 'hand_back' ? 'allow writes on the old side again' : 'keep the old side read-only'));
    return steps;
  });
}

function certain(step: string, would: string): DryRunStep {
  return { step, would, hinders: null };
}

async function looked(step: string, would: string, look: () => Promise<string | null>): Promise<DryRunStep> {
  try {
    return { step, would, hinders: await look() };
  } catch (error) {
    if (!isMigrationError(error) || error.kind === 'fenced') throw error;
    return { step, would, hinders: `${error.code}: ${error.message}` };
  }
}

async function tableCount(deps: ActivityDependencies, plan: Plan, side: Side): Promise<string> {
  const sides = await sideTables(deps, plan, side).catch((): SideTables[] => []);
  const count = sides.reduce((sum, { tables }) => sum + tables.length, 0);
  return `${count} table${count === 1 ? '' : 's'}`;
}

async function probesAnswer(deps: ActivityDependencies, plan: Plan): Promise<string | null> {
  const { failures } = await lookAtNewSide(deps, plan, { what: '' });
  return failures.length > 0 ? `on the new side: ${failures.join('; ')}` : null;
}

/** Rights on every table, and who holds locks right now. */
async function blockable(deps: ActivityDependencies, plan: Plan, side: Side): Promise<string | null> {
  const reasons: string[] = [];
  for (const { connection, system, tables } of await sideTables(deps, plan, side)) {
    const { role, lacks } = await blockLacks(deps, plan, connection);
    if (lacks.length > 0) reasons.push(`the admin user of ${connection}, ${role}, ${lacks.join('; it ')} (\`caravan check PLAN --grants\` prints what mends it)`);
    const holders = await withAdmin(system, undefined, async (client) => lockHolders(client, await relationsToBlock(client, plan.migration, tables, 'ignored')));
    if (holders.length > 0) reasons.push(`on ${connection}, locks are held now by ${holders.join('; ')}`);
  }
  return reasons.length > 0 ? reasons.join('; ') : null;
}

async function acceptsNow(deps: ActivityDependencies, plan: Plan): Promise<string | null> {
  for (const { system, tables } of await sideTables(deps, plan, 'target')) await proveWritable(system, tables, 'ignored');
  return null;
}

async function worksOnLegacy(deps: ActivityDependencies, plan: Plan, name: string): Promise<string | null> {
  const active = await readApplication(deps, plan, name);
  return active === 'legacy' ? null : active === 'new' ? 'it works on the new side already' : 'its read-back answers neither "new" nor "legacy"';
}

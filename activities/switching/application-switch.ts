import { isMigrationError, MigrationError } from '../../migration/errors';
import type { Plan, SwitchPlan } from '../../migration/plan/schema';
import type { Direction, StepEvidence } from '../../migration/protocol';
import { asPostgres } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { switchByCommand } from './by-command';
import { switchByFile } from './by-file';
import { switchBySql } from './by-sql';
import { switchByWebhook } from './by-webhook';
import type { SwitchOrder, SwitchWay } from './switch-way';

/** `epoch` and `attempt` of the step: together they make the id that a webhook or command sees. */
export interface SwitchRequest { epoch?: number; attempt?: number; signal?: AbortSignal }

const REMEDY: Record<Way, (plan: SwitchPlan) => string> = {
  sql: ({ sql }) => `Run its statement by hand on connection ${sql?.connection ?? ''} to see what it says`,
  webhook: ({ webhook }) => `Look at the receiver of webhook ${webhook ?? ''} and at its address and secret on the worker`,
  file: ({ file }) => `Look at ${file?.path ?? ''} on the worker, its folder and its rights`,
  command: ({ command }) => `Run the command ${command ?? ''} by hand on the worker to see what it says`,
};
type Way = 'sql' | 'webhook' | 'file' | 'command';

/** A load balancer or a replica may take a moment to follow. */
const READ_BACK_MS = 10_000;
const LOOK_EVERY_MS = 500;

/**
 * Points one application of `cutover.switch` to the new side or back, and reads back that it works there. Safe to repeat: it is done again, and read again.
 * @throws MigrationError `SWITCH_FAILED` with the remedy; transient ones of a connection. Neither addresses, secrets nor answers are repeated.
 */
export async function switchApplication(deps: ActivityDependencies, plan: Plan, name: string, to: Direction, { epoch = 0, attempt = 0, signal = new AbortController().signal }: SwitchRequest = {}): Promise<StepEvidence> {
  const found = plan.cutover?.switch.find((application) => application.name === name);
  if (!found) throw new MigrationError('PLAN_CHANGED', `the admitted plan has no application ${name} under cutover.switch; start the migration again`);
  const way = wayOf(found);
  const started = Date.now();
  try {
    const application = open(deps, found, { migration: plan.migration, application: name, id: `${plan.migration}/${name}/${attempt}/${to}/${epoch}`, epoch, signal });
    await application.set(to);
    await readBack(application, to, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isMigrationError(error) && (error.kind === 'transient' || error.code === 'SWITCH_FAILED')) throw error;
    throw new MigrationError('SWITCH_FAILED', `application ${name} could not be switched to the ${side(to)} by its ${way}: ${error instanceof Error ? error.message : 'it failed'}. ${REMEDY[way](found)}, then retry.`, { application: name, way });
  }
  return { what: `Application ${name} works on the ${side(to)}: switched by its ${way}, and read back.`, application: name, way, active: to, took_ms: Date.now() - started };
}

/** Where the application works now, without a change. @throws as `switchApplication`. */
export async function readApplication(deps: ActivityDependencies, plan: Plan, name: string, signal = new AbortController().signal): Promise<Direction | 'unclear'> {
  const found = plan.cutover?.switch.find((application) => application.name === name);
  if (!found) throw new MigrationError('PLAN_CHANGED', `the admitted plan has no application ${name} under cutover.switch; start the migration again`);
  try {
    return await open(deps, found, { migration: plan.migration, application: name, id: `${plan.migration}/${name}/look`, epoch: 0, signal }).read();
  } catch (error) {
    signal.throwIfAborted();
    if (isMigrationError(error) && error.kind === 'transient') throw error;
    throw new MigrationError('SWITCH_FAILED', `application ${name} cannot be asked where it works: ${error instanceof Error ? error.message : 'it failed'}. ${REMEDY[wayOf(found)](found)}.`, { application: name });
  }
}

async function readBack(application: SwitchWay, to: Direction, signal: AbortSignal): Promise<void> {
  const until = Date.now() + READ_BACK_MS;
  for (;;) {
    const active = await application.read();
    if (active === to) return;
    if (Date.now() >= until) throw new Error(active === 'unclear' ? 'its read-back answers neither "new" nor "legacy"' : `its read-back still says "${active}"`);
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

function open(deps: ActivityDependencies, plan: SwitchPlan, order: SwitchOrder): SwitchWay {
  if (plan.sql) return switchBySql(asPostgres(deps.systems.open(plan.sql.connection)), plan.sql);
  if (plan.file) return switchByFile(plan.file);
  if (!deps.endpoints) throw new Error('this worker knows no webhooks and commands');
  return plan.webhook !== undefined ? switchByWebhook(deps.endpoints.webhook(plan.webhook), order) : switchByCommand(deps.endpoints.command(plan.command ?? ''), order);
}

function wayOf(plan: SwitchPlan): Way {
  return plan.sql ? 'sql' : plan.file ? 'file' : plan.webhook !== undefined ? 'webhook' : 'command';
}

const side = (to: Direction): string => (to === 'new' ? 'new side' : 'old side');

import { hostname } from 'node:os';
import { MigrationError } from '../../migration/errors';
import type { Plan } from '../../migration/plan/schema';
import type { BackupEvidence } from '../../migration/preparation/backup';
import type { ActivityDependencies } from '../dependencies';
import { runShell } from '../shell-command';

export type BackupPlan = NonNullable<Plan['backup']>;
interface ToolRequest { migration: string; lease: number; signal: AbortSignal }

/**
 * The team's own tool: the command of CARAVAN_COMMAND_<NAME>, with CARAVAN_BACKUP_MIGRATION, _LEASE, _SIDES and, where the plan names one, _FOLDER in its environment.
 * Exit code 0 is success; what it prints is not read. It may run again for the same lease, and must then do no harm.
 * @throws MigrationError `BACKUP_FAILED`.
 */
export async function takeByTool(deps: ActivityDependencies, plan: BackupPlan, request: ToolRequest): Promise<BackupEvidence> {
  const begun = Date.now();
  await runTool(deps, plan, plan.command ?? '', 'took no backup', request);
  return { by: 'tool', tool: plan.command ?? '', host: hostname(), rows: 0, bytes: 0, tables: [], left: [], takenMs: Date.now() - begun, ...(plan.folder === undefined ? {} : { folder: plan.folder }) };
}

/** Its verification restores and compares; exit code 0 means equal. @throws MigrationError `BACKUP_FAILED`, also when the plan names no such command. */
export async function verifyByTool(deps: ActivityDependencies, plan: BackupPlan, request: ToolRequest): Promise<void> {
  if (plan.verify === undefined) throw new MigrationError('BACKUP_FAILED', `the backup by ${plan.command ?? 'your tool'} is not verified: name a command that restores and compares it under backup.verify, and carry it over (\`caravan amend PLAN\`).`);
  await runTool(deps, plan, plan.verify, 'says that the backup is not equal to what it was taken of', request);
}

async function runTool(deps: ActivityDependencies, plan: BackupPlan, name: string, failed: string, { migration, lease, signal }: ToolRequest): Promise<void> {
  const variable = `CARAVAN_COMMAND_${name.toUpperCase().replaceAll('-', '_')}`;
  let line: string;
  try {
    line = deps.endpoints?.command(name) ?? '';
  } catch {
    line = '';
  }
  if (line === '') throw new MigrationError('BACKUP_FAILED', `backup command ${name} is not known here: set ${variable} on the workers, then retry.`);
  const env = { CARAVAN_BACKUP_MIGRATION: migration, CARAVAN_BACKUP_LEASE: String(lease), CARAVAN_BACKUP_SIDES: plan.sides.join(','), ...(plan.folder === undefined ? {} : { CARAVAN_BACKUP_FOLDER: plan.folder }) };
  try {
    await runShell(line, { env, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new MigrationError('BACKUP_FAILED', `backup command ${name} ${failed}: ${error instanceof Error ? error.message : 'it failed'}. Look at its own log, correct it, then retry.`, { command: name });
  }
}

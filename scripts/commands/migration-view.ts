import { isMigrationError, MigrationError } from '../../migration/errors';
import type { RunProgress, RunStatus } from '../../migration/protocol';
import type { Door, MigrationStatus } from '../../workers/door';

/** What the dashboard shows, from the control store and the ledger alone: it needs no worker and no Temporal. */
export function viewOf(status: MigrationStatus): RunProgress {
  const waits = status.status === 'waiting_for_approval';
  return {
    migration: status.migration,
    phase: status.phase,
    status: status.status,
    progress: status.progress,
    blocked: status.blocked,
    waitingFor: waits ? gatesOf(status.detail) : [],
    note: waits ? null : status.detail,
  };
}

/** Gates in the detail of a run that waits for approval: `gate NAME`. */
export function gatesOf(detail: string | null): string[] {
  return /^gate (\S+)$/.exec(detail ?? '')?.slice(1) ?? [];
}

export function isFinal(status: RunStatus): boolean {
  return status === 'complete' || status === 'failed' || status === 'cancelled' || status === 'aborted' || status === 'rolled_back';
}

/** The migration ID names. @throws MigrationError `PLAN_NOT_FOUND` (config) naming those there are, `SYSTEM_UNREACHABLE` when a control store could not be asked. */
export async function requireMigration(door: Door, id: string): Promise<MigrationStatus> {
  const answer = await door.status(id);
  const found = answer.migrations.find((one) => one.migration === id);
  if (found) return found;
  if (answer.unreachable.length > 0) {
    throw new MigrationError('SYSTEM_UNREACHABLE', `no reachable control store knows the migration ${id}; not reached:\n${answer.unreachable.map((one) => `${one.connection}: ${one.message}`).join('\n')}`);
  }
  const known = (await door.status()).migrations.map((one) => one.migration);
  throw new MigrationError('PLAN_NOT_FOUND', `no control store knows a migration ${id}. ${known.length > 0 ? `There are: ${known.join(', ')}.` : 'None was started yet: npx caravan run PLAN'}`);
}

/** Like `requireMigration`, for whoever looks again and again: null where it is not on record, or while its control store cannot be reached. */
export async function findStatus(door: Door, id: string): Promise<MigrationStatus | null> {
  try {
    return (await door.status(id)).migrations.find((one) => one.migration === id) ?? null;
  } catch (error) {
    if (isMigrationError(error) && error.kind === 'transient') return null;
    throw error;
  }
}

import { isMigrationError, MigrationError } from '../migration/errors';
import type { Plan } from '../migration/plan/schema';
import { sidesInUse } from '../migration/rollback-steps';
import type { BlockedStep, Phase, Progress, RunStatus } from '../migration/protocol';
import { asPostgres, PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { readControlEvidence, readLedgerEvidence, type ControlEvidence, type LedgerEvidence } from './report-data';
import { readMigrations, type MigrationRow } from './stores/control-store';
import { workflowLink } from './stores/lease';
import { readPlan } from './stores/plan-store';
import { readProgress, targetsOf } from './watch-progress';
import type { PreparationRecords } from '../migration/preparation/records';
import { readBackups } from './stores/backup-store';
import { readFindings } from './stores/preparation-store';
import { readSteps } from './stores/step-store';
import { readRehearsals } from './stores/rehearsal-store';

/** One migration as its control store knows it. Instants are ISO text. */
export interface MigrationState {
  migration: string; control: string; workflowId: string; firstRunId: string; namespace: string; uiLink: string | null;
  lease: number; planHash: string; phase: Phase; status: RunStatus; detail: string | null; blocked: BlockedStep[];
  startedAt: string; updatedAt: string; finishedAt: string | null; seenSeconds: number;
  /** Null when the ledger cannot be reached. */
  progress: Progress | null;
  /** Where its datasets are in use since a cutover that stands; null before one, and after it was taken back as a whole. */
  sides: { old: string[]; new: string[] } | null;
}

type Reading = Pick<ActivityDependencies, 'systems'>;
interface Found { row: MigrationRow; control: PostgresSystem }

/** Looks into the control store of every PostgreSQL connection: latest change first, and what could not be asked. Needs neither Temporal nor a worker. */
export async function readStatus(deps: Reading, uiUrl: string | null, migration?: string): Promise<{ migrations: MigrationState[]; unreachable: { connection: string; message: string }[] }> {
  const { found, unreachable } = await findMigrations(deps, migration);
  const migrations = await Promise.all(found.map((one) => stateOf(deps, one, uiUrl)));
  return { migrations, unreachable };
}

/** @throws MigrationError `PLAN_NOT_FOUND` when no control store knows the migration. */
export async function readMigrationReport(deps: Reading, uiUrl: string | null, migration: string): Promise<{ status: MigrationState; plan: Plan; preparation: PreparationRecords } & ControlEvidence & LedgerEvidence> {
  const one = await findMigration(deps, migration);
  const plan = await readPlan(one.control, one.row.plan_hash);
  const evidence = await readControlEvidence(one.control, migration);
  const ledgers = await Promise.all([...targetsOf(deps, plan).values()].map((target) => readLedgerEvidence(target, migration)));
  return {
    status: await stateOf(deps, one, uiUrl), plan, ...evidence,
    preparation: { ...(await readFindings(one.control, migration)), backups: await readBackups(one.control, migration), rehearsals: await readRehearsals(one.control, migration) },
    datasets: ledgers.flatMap((ledger) => ledger.datasets),
    quarantine: ledgers.flatMap((ledger) => ledger.quarantine),
    objects: ledgers.flatMap((ledger) => ledger.objects),
    undo: ledgers.flatMap((ledger) => ledger.undo),
  };
}

/** The control store and plan of a migration that was admitted once. @throws MigrationError `PLAN_NOT_FOUND`, `SYSTEM_UNREACHABLE`. */
export async function findMigration(deps: Reading, migration: string): Promise<Found> {
  const { found, unreachable } = await findMigrations(deps, migration);
  if (found[0]) return found[0];
  const first = unreachable[0];
  if (first) throw new MigrationError('SYSTEM_UNREACHABLE', `no control store that answers knows migration ${migration}; not asked: ${unreachable.map((one) => one.connection).join(', ')} (${first.message})`);
  throw new MigrationError('PLAN_NOT_FOUND', `no control store on the connections known here (${deps.systems.names().join(', ') || 'none'}) knows a migration ${migration}`);
}

async function findMigrations(deps: Reading, migration: string | undefined): Promise<{ found: Found[]; unreachable: { connection: string; message: string }[] }> {
  const unreachable: { connection: string; message: string }[] = [];
  const looks = await Promise.all(deps.systems.names().map(async (connection): Promise<{ server: string; found: Found[] } | null> => {
    try {
      const system = deps.systems.open(connection);
      if (!(system instanceof PostgresSystem)) return null;
      const rows = await readMigrations(asPostgres(system), migration);
      return { server: JSON.stringify(await system.identity()), found: rows.map((row) => ({ row, control: system })) };
    } catch (error) {
      // Without rights on the schema it is no control store of ours.
      if (isMigrationError(error) && error.code !== 'PRIVILEGE_MISSING') unreachable.push({ connection, message: error.message });
      else if (!isMigrationError(error)) throw error;
      return null;
    }
  }));
  // Two connections may lead to one database.
  const servers = new Set<string>();
  const found = looks.flatMap((look) => {
    if (!look || servers.has(look.server)) return [];
    if (look.found.length > 0) servers.add(look.server);
    return look.found;
  });
  return { found: found.sort((a, b) => (a.row.updated_at < b.row.updated_at ? 1 : -1)), unreachable };
}

async function stateOf(deps: Reading, { row, control }: Found, uiUrl: string | null): Promise<MigrationState> {
  return {
    migration: row.name, control: control.config.name, workflowId: row.workflow_id, firstRunId: row.first_run_id, namespace: row.namespace,
    uiLink: uiUrl === null ? null : workflowLink(uiUrl, row.namespace, row.workflow_id),
    lease: row.lease, planHash: row.plan_hash, phase: row.phase, status: row.status, detail: row.status_detail, blocked: row.blocked,
    startedAt: isoText(row.started_at), updatedAt: isoText(row.updated_at), finishedAt: row.finished_at === null ? null : isoText(row.finished_at),
    seenSeconds: Math.round(row.seen_seconds),
    progress: await progressOf(deps, row, control),
    sides: await sidesOf(row, control),
  };
}

async function sidesOf(row: MigrationRow, control: PostgresSystem): Promise<MigrationState['sides']> {
  const { datasets } = await readPlan(control, row.plan_hash);
  return sidesInUse(await readSteps(control, row.name), Object.keys(datasets));
}

async function progressOf(deps: Reading, row: MigrationRow, control: PostgresSystem): Promise<Progress | null> {
  try {
    return await readProgress(deps, { plan: await readPlan(control, row.plan_hash), control });
  } catch (error) {
    if (isMigrationError(error)) return null;
    throw error;
  }
}

/** `2026-01-02 03:04:05.123456+00` -> `2026-01-02T03:04:05.123Z`. */
export function isoText(text: string): string {
  return new Date(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')).toISOString();
}

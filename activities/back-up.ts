import path from 'node:path';
import { isMigrationError, MigrationError } from '../migration/errors';
import type { Plan } from '../migration/plan/schema';
import type { BackupEvidence, StoredBackup } from '../migration/preparation/backup';
import type { BackupOutcome, RunRef, Side } from '../migration/protocol';
import { BackupFolder } from './backup/backup-folder';
import { takeByTool, verifyByTool, type BackupPlan } from './backup/run-tool';
import { takeBuiltIn, type TableToSave } from './backup/take-built-in';
import { verifyBuiltIn } from './backup/verify-built-in';
import { parseTableName } from './connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { whileAlive } from './reconciliation/liveness';
import { loadRun, targetTable } from './run-context';
import { enterBackup, judgeBackup, readBackups } from './stores/backup-store';
import { hasTable } from './stores/control-store';

const DEFAULT_FOLDER = path.join('.caravan', 'backups');
/** Backups kept of each connection, the new one among them. */
const KEPT = 3;

/**
 * Backs up the datasets' tables of the sides that the plan names, and proves each backup by restoring it. Where rows of this migration may be in the target already, its backup
 * from before them stays the one. A repeat of the same run goes on: what is verified stays, what is whole is verified, all else begins again.
 * @throws MigrationError `BACKUP_FAILED`; as `loadRun`.
 */
export function backUp(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<BackupOutcome> {
  return whileAlive(async (signal) => {
    const { plan, control } = await loadRun(deps, ref);
    const { backup } = plan;
    if (!backup) return { backups: 0, rows: 0, bytes: 0, left: [] };
    const outcome: BackupOutcome = { backups: 0, rows: 0, bytes: 0, left: [] };
    for (const part of partsOf(plan, backup)) {
      const evidence = await new OneBackup({ deps, ref, control, backup, signal, ...part }).run();
      outcome.backups += 1;
      outcome.rows += evidence.rows;
      outcome.bytes += evidence.bytes;
      outcome.left.push(...evidence.left.map(({ dataset, why }) => `${dataset} (${part.side}): ${why}`));
    }
    return outcome;
  });
}

/** All tables of one side behind one connection. */
interface Part { side: Side; connection: string; tables: TableToSave[]; left: BackupEvidence['left']; /** Where it is restored to be compared. */ proving: string }

function partsOf(plan: Plan, backup: BackupPlan): Part[] {
  const parts = new Map<string, Part>();
  for (const side of backup.sides) for (const [dataset, planned] of Object.entries(plan.datasets)) {
    const { source, target } = planned;
    const connection = side === 'source' ? source.connection : target.connection;
    const key = JSON.stringify([side, connection]);
    const part = parts.get(key) ?? { side, connection, tables: [], left: [], proving: target.connection };
    parts.set(key, part);
    if (side === 'source' && source.query !== undefined) {
      part.left.push({ dataset, why: 'it is a query; back up the tables below it with a tool of your own' });
      continue;
    }
    const { schema, table: name } = targetTable(dataset, planned);
    const table = side === 'source' ? parseTableName(source.table ?? dataset) : { schema, name };
    if (!part.tables.some((one) => one.table.schema === table.schema && one.table.name === table.name)) part.tables.push({ dataset, table });
  }
  return [...parts.values()];
}

interface Work extends Part { deps: ActivityDependencies; ref: RunRef; control: PostgresSystem; backup: BackupPlan; signal: AbortSignal }

class OneBackup {
  constructor(private readonly work: Work) {}

  async run(): Promise<BackupEvidence> {
    const { ref, control, side, connection } = this.work;
    const known = (await readBackups(control, ref.migration)).filter((one) => one.side === side && one.connection === connection && one.state !== 'removed');
    const standing = await this.standing(known);
    if (standing?.state === 'verified') return standing.evidence;
    const { id, evidence } = standing ?? (await this.take(known));
    const verified = await this.verify(id, evidence);
    await this.prune(known.filter((one) => one.id !== id));
    return verified;
  }

  /** A backup that serves this run: its own, or the one from before the migration's first row. */
  private async standing(known: StoredBackup[]): Promise<StoredBackup | null> {
    const { ref, side } = this.work;
    if (side === 'target' && (await this.hasBegun())) {
      const before = known.find((one) => one.state === 'verified');
      if (before) return before;
    }
    const [last] = known;
    if (!last || last.lease !== ref.lease || last.state === 'failed') return null;
    if (last.state === 'verified' || last.evidence.by === 'tool') return last;
    return last.evidence.folder !== undefined && (await new BackupFolder(last.evidence.folder).manifest()) ? last : null;
  }

  private hasBegun(): Promise<boolean> {
    const { deps, connection, ref } = this.work;
    return asPostgres(deps.systems.open(connection)).use(async (client) => {
      if (!(await hasTable(client, 'dataset'))) return false;
      const { rowCount } = await client.query('SELECT FROM caravan.dataset WHERE migration = $1 LIMIT 1', [ref.migration]);
      return rowCount === 1;
    });
  }

  private async take(known: StoredBackup[]): Promise<{ id: number; evidence: BackupEvidence }> {
    const { deps, ref, control, backup, signal, side, connection, tables, left } = this.work;
    if (backup.command !== undefined) {
      const evidence = { ...(await takeByTool(deps, backup, { migration: ref.migration, lease: ref.lease, signal })), left };
      return { id: await enterBackup(control, ref, side, connection, evidence), evidence };
    }
    const folder = new BackupFolder(path.resolve(backup.folder ?? DEFAULT_FOLDER, ref.migration, `${side}-${connection}-${ref.lease}`));
    for (const one of known) if (one.evidence.folder === folder.place) await judgeBackup(control, ref, one.id, 'removed', one.evidence);
    const evidence = await takeBuiltIn(asPostgres(deps.systems.open(connection)), folder, { migration: ref.migration, side, tables, left, signal });
    return { id: await enterBackup(control, ref, side, connection, evidence), evidence };
  }

  private async verify(id: number, evidence: BackupEvidence): Promise<BackupEvidence> {
    const { deps, ref, control, backup, signal, side, connection, proving } = this.work;
    const begun = Date.now();
    try {
      if (evidence.by === 'tool') await verifyByTool(deps, backup, { migration: ref.migration, lease: ref.lease, signal });
      else await verifyBuiltIn(asPostgres(deps.systems.open(side === 'source' ? proving : connection)), new BackupFolder(evidence.folder ?? ''), evidence.tables, signal);
    } catch (error) {
      if (isMigrationError(error) && error.code === 'BACKUP_FAILED') await judgeBackup(control, ref, id, 'failed', { ...evidence, problem: error.message });
      throw inPlace(error, side, connection);
    }
    const verified = { ...evidence, verifiedMs: Date.now() - begun };
    await judgeBackup(control, ref, id, 'verified', verified);
    return verified;
  }

  /** Older ones go when the new one is proved. Those of a tool are its own to keep. */
  private async prune(older: StoredBackup[]): Promise<void> {
    const { ref, control } = this.work;
    for (const one of older.slice(KEPT - 1)) {
      if (one.evidence.by === 'tool' || one.evidence.folder === undefined) continue;
      await new BackupFolder(one.evidence.folder).remove();
      await judgeBackup(control, ref, one.id, 'removed', one.evidence);
    }
  }
}

function inPlace(error: unknown, side: Side, connection: string): unknown {
  if (!isMigrationError(error) || error.code !== 'BACKUP_FAILED') return error;
  return new MigrationError('BACKUP_FAILED', `${side} ${connection}: ${error.message}`, error.details);
}

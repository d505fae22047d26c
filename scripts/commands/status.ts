import { firstNames } from '../../migration/name-list';
import type { Command } from 'commander';
import type { Door, MigrationStatus } from '../../workers/door';
import { paintByStatus, renderDashboard, statusWords } from '../terminal/dashboard';
import { formatCount, formatDuration, wholePercent } from '../terminal/quantities';
import { renderPairs } from '../terminal/table';
import { defineCommand } from './common-options';
import { listMigrations } from './migration-list';
import { isFinal, requireMigration, viewOf } from './migration-view';
import { runSession, type CommonOptions, type Session } from './session';
import { findRun, pollersOf } from './temporal-calls';
import { renderWaysOn } from './ways-on';

/** Temporal is a courtesy here: the control store says all that matters. */
const TEMPORAL_WAIT_MS = 2_000;

/** Adds `status [ID]`. */
export function registerStatus(program: Command): void {
  defineCommand(program, 'status', 'list the migrations, or show one; read from the control store, so it works with no worker', ['status', 'status customer-platform --json'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .action((id: string | undefined, options: CommonOptions) => runSession(options, (session) => (id === undefined ? showList(session) : showOne(session, id))));
}

/** Lists the migrations of every control store that the connections lead to, with how far they are. */
export function showList(session: Session): Promise<number> {
  return listMigrations(session, (migrations) => Promise.resolve({
    columns: [{ title: 'migration' }, { title: 'status' }, { title: 'done', align: 'right' }, { title: 'rows', align: 'right' }, { title: 'quarantined', align: 'right' }, { title: 'last change' }],
    rows: migrations.map((one) => rowOf(one, session)),
    json: migrations,
  }));
}

function rowOf(one: MigrationStatus, { terminal }: Session): string[] {
  const total = Math.max(one.progress?.total ?? 0, one.progress?.counts.read ?? 0);
  const percent = one.status === 'complete' ? 100 : wholePercent(one.progress?.counts.read ?? 0, total);
  return [
    one.migration, paintByStatus(statusWords(one.status, one.phase), one.status, terminal), `${percent}%`,
    formatCount(one.progress?.counts.read ?? 0), formatCount(one.progress?.openQuarantine ?? 0), ago(one.updatedAt),
  ];
}

async function showOne(session: Session, id: string): Promise<number> {
  const door = await session.door();
  const status = await requireMigration(door, id);
  const queue = isFinal(status.status) ? null : await lookAtQueue(session, status);
  const view = viewOf(status);
  session.print(...renderDashboard(view, session.terminal), '', ...renderPairs(factsOf(status, queue), session.terminal.color.dim));
  if (!isFinal(status.status)) {
    const ways = renderWaysOn(view, session.terminal, null);
    if (ways.length > 0) session.print('', ...ways);
    else if (queue && (!queue.running || queue.workers === 0)) session.print('', `${session.terminal.color.yellow(session.terminal.marks.warning)} ${nobodyWorks(queue)}`);
  }
  session.printJson({ ...status, queue });
  return 0;
}

function nobodyWorks(queue: QueueState): string {
  if (!queue.running) return 'No run is under way. Going on from the last commit: npx caravan run PLAN';
  return queue.queue.startsWith('caravan-run-') ? 'No worker serves this run. Going on: npx caravan run PLAN' : `No worker serves queue ${queue.queue}. Start one: npx caravan worker`;
}

function factsOf(status: MigrationStatus, queue: QueueState | null): [string, string][] {
  const facts: [string, string][] = [
    ['started', `${shortInstant(status.startedAt)} (${ago(status.startedAt)})`],
    status.finishedAt ? ['finished', `${shortInstant(status.finishedAt)}, after ${formatDuration(Date.parse(status.finishedAt) - Date.parse(status.startedAt))}`] : ['last change', ago(status.updatedAt)],
    ['control store', status.control],
    ['workflow', status.workflowId],
  ];
  const { sides } = status;
  if (sides) facts.push(['in use', sides.old.length === 0 ? 'everything on the new side' : `on the old side: ${firstNames(sides.old)}; on the new side: ${firstNames(sides.new) || 'nothing'}`]);
  if (queue) facts.push(['workers', queue.running ? `${queue.workers} on ${queue.queue}` : 'none: no run is under way']);
  if (status.uiLink) facts.push(['Web UI', status.uiLink]);
  return facts;
}

interface QueueState { running: boolean; queue: string; workers: number }

/** Who serves the run, asked of Temporal; null when it cannot be reached or is not known. */
async function lookAtQueue(session: Session, status: MigrationStatus): Promise<QueueState | null> {
  try {
    const door: Door = await session.doorWithRunningTemporal();
    const { client } = await door.temporal({ waitMs: TEMPORAL_WAIT_MS });
    const run = await findRun(client, status.workflowId);
    if (!run) return null;
    return { running: run.running, queue: run.queue, workers: run.running ? (await pollersOf(client, run.queue)).pollers : 0 };
  } catch {
    return null;
  }
}

function ago(instant: string): string {
  const passed = Date.now() - Date.parse(instant);
  return passed < 2_000 ? 'just now' : `${formatDuration(passed)} ago`;
}

function shortInstant(instant: string): string {
  const text = new Date(instant).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
}

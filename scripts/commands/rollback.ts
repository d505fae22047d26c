import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { forecastLines } from '../../migration/rollback-forecast';
import { rollbackWorkflowId } from '../../migration/rollback-steps';
import { WORKFLOWS, type ConflictPolicy, type RollbackForecast, type RollbackResult, type RollbackStart, type RollbackTier } from '../../migration/protocol';
import { renderTable } from '../terminal/table';
import { wrapText } from '../terminal/text-width';
import { formatCount } from '../terminal/quantities';
import { defineCommand, repeated } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { follow } from './follow';
import { interruption } from './interruption';
import { listMigrations } from './migration-list';
import { onMigration } from './on-migration';
import { openRun } from './run-session';
import { actorOf, shellWord, type CommonOptions, type Session } from './session';
import { closedHere } from './temporal-calls';
import { renderWaysOn } from './ways-on';

interface RollbackOptions extends CommonOptions {
  immediate?: boolean; partial?: boolean; full?: boolean; dataset?: string[]; dependents?: boolean; changedRows?: string; offline?: boolean; yes?: boolean; by?: string; reason?: string;
}

const POLICIES: readonly ConflictPolicy[] = ['keep_new', 'restore_old', 'stop'];

/** Adds `rollback [ID]`. */
export function registerRollback(program: Command): void {
  defineCommand(program, 'rollback', 'take a migration back: at once, in part, or with everything that the new side wrote', [
    'rollback customer-platform --immediate', 'rollback customer-platform --partial --dataset orders --dependents', 'rollback customer-platform --full --yes --reason "orders are wrong"',
  ])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--immediate', 'applications back to the old side; what the new side wrote is listed, not brought home')
    .option('--partial', 'take back some datasets only; others stay migrated')
    .option('--full', 'bring home what the new side wrote, then go back')
    .option('--dataset <name>', 'dataset or group that a partial rollback takes back (repeatable)', repeated)
    .option('--dependents', 'take back what leans on them as well')
    .option('--changed-rows <policy>', `rows that others changed since: ${POLICIES.join(', ')} (default: the plan's)`)
    .option('--offline', 'without Temporal: from the control store, in this process')
    .option('--yes', 'begin without asking')
    .option('--by <name>', 'who decides (default: the name of this account)')
    .option('--reason <text>', 'why, for the record')
    .addHelpText('after', `
It shows first what would be taken back, how long that takes and what would be lost. Once begun it is not cancelled: it ends with one side that accepts
writes, or blocks and asks. The same command again goes on where it ended.
Exit codes: 4 rolled back, or not confirmed; 0 nothing to do; 2 wrong use, or --yes is missing; 3 refused, or blocked; 5 a system cannot be reached.`)
    .action(onMigration(rollback, list));
}

function list(session: Session): Promise<number> {
  return listMigrations(session, (migrations) => Promise.resolve({
    columns: [{ title: 'migration' }, { title: 'status' }, { title: 'phase' }],
    rows: migrations.map(({ migration, status, phase }) => [migration, status, phase]),
    json: migrations.map(({ migration, status, phase, startedAt }) => ({ migration, status, phase, startedAt })),
    hint: 'Take one back: npx caravan rollback ID --immediate | --partial --dataset D | --full',
  }));
}

async function rollback(session: Session, id: string, options: RollbackOptions): Promise<number> {
  const start = startOf(id, options);
  const forecast = await (await session.door()).rollbackForecast(start);
  if (forecast.nothingToDo) {
    session.print(`${session.terminal.color.green(session.terminal.marks.ok)} ${id} is rolled back already, or nothing of it was written: nothing to do.`);
    session.printJson({ migration: id, status: 'nothing_to_do', exitCode: EXIT.complete });
    return EXIT.complete;
  }
  session.tell(...renderForecast(forecast, session), '');
  if (!options.yes && !(await confirmed(session, id))) {
    session.print('Nothing was changed.');
    session.printJson({ ...forecast, status: 'not_confirmed', exitCode: EXIT.undone });
    return EXIT.undone;
  }
  return options.offline ? offline(session, start) : online(session, start, forecast.owner.workflowId);
}

function startOf(id: string, options: RollbackOptions): RollbackStart {
  const tiers = (['immediate', 'partial', 'full'] as const).filter((tier): tier is RollbackTier => options[tier] === true);
  const [tier] = tiers;
  if (tier === undefined || tiers.length > 1) throw new UsageError('say which rollback: one of --immediate, --partial, --full');
  if (options.dataset && tier !== 'partial') throw new UsageError('--dataset goes with --partial: the other tiers take back everything');
  const policy = POLICIES.find((one) => one === options.changedRows);
  if (options.changedRows !== undefined && policy === undefined) throw new UsageError(`--changed-rows takes ${POLICIES.join(', ')}, not "${options.changedRows}"`);
  return {
    migration: id, tier, by: actorOf(options), confirm: id, ...(options.dataset ? { datasets: options.dataset } : {}), ...(options.dependents ? { dependents: true } : {}),
    ...(policy ? { policy } : {}), ...(options.reason === undefined ? {} : { reason: options.reason }),
  };
}

function renderForecast(forecast: RollbackForecast, { terminal }: Session): string[] {
  return [
    terminal.color.bold(`Rollback (${forecast.tier}) of ${forecast.migration}`), '',
    ...renderTable(
      [{ title: 'dataset' }, { title: 'state' }, { title: 'rows', align: 'right' }, { title: 'touched by others', align: 'right' }],
      forecast.datasets.map(({ dataset, state, rows, strangers }) => [dataset, state, formatCount(rows), strangers === null ? 'not counted' : formatCount(strangers)]), terminal.color.dim),
    '', ...forecastLines(forecast).flatMap((line) => wrapText(line, terminal.columns)),
  ];
}

/** @throws UsageError where nobody can be asked. */
async function confirmed(session: Session, id: string): Promise<boolean> {
  if (!session.terminal.interactive || !process.stdin.isTTY) throw new UsageError(`nobody can be asked here: say --yes to roll ${id} back`);
  const asker = createInterface({ input: process.stdin, output: session.people });
  try {
    return (await asker.question(`Type the name of the migration to roll it back, anything else to leave it: `)).trim() === id;
  } finally {
    asker.close();
  }
}

async function offline(session: Session, start: RollbackStart): Promise<number> {
  return ended(session, await (await session.door()).rollbackOffline(start, (step) => session.tell(session.terminal.color.dim(step))));
}

/** `formerRun`: the workflow that is taken over. A worker of this process may be the only one that can still close it, and an open one would be in the way of a new start. */
async function online(session: Session, start: RollbackStart, formerRun: string): Promise<number> {
  const { migration } = start;
  const door = await session.doorWithTemporal();
  const temporal = await door.temporal();
  const interrupted = interruption(session);
  const opened = await openRun({
    door, temporal, migration, signal: interrupted.signal, preferWorkers: true,
    start: { type: WORKFLOWS.rollback, workflowId: rollbackWorkflowId(migration), summary: `Rollback (${start.tier}) of ${migration}`, input: (activityQueue) => ({ ...start, ...(activityQueue === undefined ? {} : { activityQueue }) }) satisfies RollbackStart },
    onNote: (line) => session.tell(session.terminal.color.dim(line)),
    onAddress: (link) => link && session.tell(`${session.terminal.color.dim('Web UI')}  ${link}`, ''),
    beforeStart: () => Promise.resolve(),
  });
  const end = await follow<RollbackResult>({ session, door, opened, signal: interrupted.signal, migration });
  if (opened.worker && end.kind !== 'interrupted') await closedHere(temporal.client, opened.worker.queues, [formerRun].filter((id) => id !== opened.workflowId), interrupted.signal);
  await opened.worker?.stop();
  if (end.kind === 'finished') return ended(session, end.result);
  if (end.kind === 'needs_person') {
    session.printJson({ ...end.view, exitCode: EXIT.blocked });
    session.tell('', ...renderWaysOn(end.view, session.terminal, null));
    return EXIT.blocked;
  }
  session.printJson({ migration, status: 'interrupted', exitCode: EXIT.interrupted });
  session.tell('', `Interrupted; the rollback is not: it goes on where a worker is. Go on here with: npx caravan rollback ${shellWord(migration)} --${start.tier} --yes`);
  return EXIT.interrupted;
}

function ended(session: Session, result: RollbackResult): number {
  const { color, marks } = session.terminal;
  const sum = (pick: (one: RollbackResult['datasets'][number]) => number): number => result.datasets.reduce((total, one) => total + pick(one), 0);
  session.print('', `${color.green(marks.ok)} ${result.migration} is rolled back: ${formatCount(sum(({ removed }) => removed))} rows removed, ${formatCount(sum(({ restored }) => restored))} put back, ${formatCount(sum(({ conflicts }) => conflicts))} left as conflicts, ${formatCount(sum(({ exported }) => exported))} writes of the new side listed.`);
  session.printJson({ ...result, exitCode: EXIT.undone });
  return EXIT.undone;
}

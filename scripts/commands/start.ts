import type { Command } from 'commander';
import { TASK_QUEUE, WORKFLOWS, type MigrationInput } from '../../migration/protocol';
import { renderResult } from '../terminal/summary';
import { refuseUnamended } from './amend';
import { defineCommand } from './common-options';
import { EXIT } from './exit-codes';
import { interruption } from './interruption';
import { loadPlanArgument } from './plan-argument';
import { migrationWorkflowId } from './run-session';
import { displayPath, runSession, shellWord, type CommonOptions, type Session } from './session';
import { findRun, pollersOf, throughOutages } from './temporal-calls';
import { followMigration } from './taken-over';
import { renderWaysOn } from './ways-on';

/** Adds `start PLAN`. */
export function registerStart(program: Command): void {
  defineCommand(program, 'start', 'start a migration on an existing Temporal, for workers elsewhere', ['start plan.yaml', 'start customer-platform --wait'])
    .argument('<plan>', 'plan file, or its name in the plans folder')
    .option('--wait', 'show the progress and end with the migration')
    .action((plan: string, options: CommonOptions & { wait?: boolean }) => runSession(options, (session) => start(session, plan, options.wait === true)));
}

async function start(session: Session, argument: string, wait: boolean): Promise<number> {
  const { color, marks } = session.terminal;
  const loaded = await loadPlanArgument(session, await session.door(), argument);
  const { migration } = loaded.plan;
  const door = await session.doorWithRunningTemporal();
  const temporal = await door.temporal();
  const interrupted = interruption(session);
  const workflowId = migrationWorkflowId(migration);
  const before = await findRun(temporal.client, workflowId);
  await refuseUnamended(door, loaded, shellWord(loaded.path ? displayPath(loaded.path) : argument), before?.running === true);
  const handle = await throughOutages(() => temporal.client.workflow.start(WORKFLOWS.migration, {
    workflowId,
    taskQueue: before?.running ? before.queue : TASK_QUEUE,
    args: [{ plan: loaded.input } satisfies MigrationInput],
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: loaded.plan.project ?? migration,
  }));
  const run = await throughOutages(() => findRun(temporal.client, workflowId));
  const queue = run?.queue ?? TASK_QUEUE;
  const { pollers } = await throughOutages(() => pollersOf(temporal.client, queue));
  const link = temporal.workflowLink(workflowId);
  session.tell(`${color.green(marks.ok)} ${migration} ${before?.running ? 'is under way already' : 'is started'}`, ...(link ? [`${color.dim('Web UI')}  ${link}`] : []));
  if (pollers === 0) session.tell(`${color.yellow(marks.warning)} No worker serves queue ${queue} yet. Start one: npx caravan worker`);
  if (!wait) {
    session.tell(`${color.dim('Follow')}  npx caravan watch ${shellWord(migration)}`);
    session.printJson({ migration, workflowId, firstRunId: run?.firstRunId ?? '', started: !before?.running, queue, workers: pollers, webUi: link });
    return EXIT.complete;
  }
  session.tell('');
  const opened = { handle, workflowId, firstRunId: run?.firstRunId ?? '', worker: null, link };
  const end = await followMigration({ session, door, opened, signal: interrupted.signal, migration });
  if (end.kind === 'taken_over') return end.exitCode;
  if (end.kind === 'finished') {
    const exitCode = end.result.status === 'aborted' ? EXIT.undone : EXIT.complete;
    session.tell('', ...renderResult(end.result, session.terminal));
    session.printJson({ ...end.result, webUi: link, exitCode });
    return exitCode;
  }
  if (end.kind === 'needs_person') {
    session.tell('', ...renderWaysOn(end.view, session.terminal, null));
    session.printJson({ ...end.view, webUi: link, exitCode: EXIT.blocked });
    return EXIT.blocked;
  }
  session.printJson({ migration, status: 'interrupted', exitCode: EXIT.interrupted });
  session.tell('', `The migration goes on without this command. Follow it with: npx caravan watch ${shellWord(migration)}`);
  return EXIT.interrupted;
}

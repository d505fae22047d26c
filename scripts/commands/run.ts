import type { Command } from 'commander';
import { refuseUnamended } from './amend';
import { EXIT } from './exit-codes';
import { defineCommand } from './common-options';
import { loadPlanArgument } from './plan-argument';
import { preflight } from './preflight';
import { WORKFLOWS, type MigrationInput } from '../../migration/protocol';
import { migrationWorkflowId, openRun } from './run-session';
import { displayPath, runSession, shellWord, type CommonOptions, type Session } from './session';
import { renderResult } from '../terminal/summary';
import { interruption } from './interruption';
import { followMigration } from './taken-over';
import { renderWaysOn } from './ways-on';

/** Adds `run PLAN`. */
export function registerRun(program: Command): void {
  defineCommand(program, 'run', 'run a migration here, start to end: Temporal, a worker, live progress, the result', ['run plan.yaml', 'run plan.yaml --json > result.json', 'run plan.yaml --dry-run'])
    .argument('<plan>', 'plan file, or its name in the plans folder')
    .option('--dry-run', 'walk through gates, checks and the cutover without a change: what each step would do, and what hinders it')
    .addHelpText('after', `
It uses the Temporal at TEMPORAL_ADDRESS, or one of its own whose database stays in .caravan/. The same command again
goes on where the last one ended, also after a crash. A step that is blocked is asked about on a terminal; elsewhere the
command exits with 3 and prints how to go on.
Exit codes: 0 complete, 2 invalid plan, 3 blocked (of a dry run: something hinders it), 4 aborted or rolled back, 5 a system cannot be reached, 130 interrupted.`)
    .action((plan: string, options: CommonOptions & { dryRun?: boolean }) => runSession(options, (session) => run(session, plan, options.dryRun === true)));
}

async function run(session: Session, argument: string, dryRun: boolean): Promise<number> {
  const loaded = await loadPlanArgument(session, await session.door(), argument);
  const planWord = shellWord(loaded.path ? displayPath(loaded.path) : argument);
  const door = await session.doorWithTemporal();
  const interrupted = interruption(session);
  const { migration } = loaded.plan;
  const { color } = session.terminal;

  const temporal = await door.temporal();
  const opened = await openRun({
    door, temporal, migration, signal: interrupted.signal,
    start: {
      type: WORKFLOWS.migration, workflowId: dryRun ? `dry-run-${migration}` : migrationWorkflowId(migration), summary: loaded.plan.project ?? migration,
      input: (activityQueue) => ({ plan: loaded.input, activityQueue, ...(dryRun ? { dryRun } : {}) }) satisfies MigrationInput,
    },
    onNote: (line) => session.tell(color.dim(line)),
    // Only a run that is not under way yet can still be refused for a system that is away: later that is a retry or a block.
    beforeStart: async () => {
      await refuseUnamended(door, loaded, planWord, false);
      await preflight(session, door, loaded, argument, dryRun);
    },
    beforeAttach: () => refuseUnamended(door, loaded, planWord, true),
    onAddress: (link) => session.tell(`${color.bold(loaded.plan.project ?? migration)}`, ...(link ? [`${color.dim('Web UI')}  ${link}`] : []), ''),
  });
  const end = await followMigration({ session, door, opened, signal: interrupted.signal, migration });

  if (end.kind === 'interrupted') {
    if (opened.worker) session.tell('', 'Stopping after the commits in flight. Ctrl-C once more stops at once.');
    await opened.worker?.stop();
    session.printJson({ migration, status: 'interrupted', exitCode: EXIT.interrupted });
    session.tell(`Interrupted. Nothing is lost; go on with: npx caravan run ${planWord}`);
    return EXIT.interrupted;
  }
  if (end.kind === 'needs_person') {
    await opened.worker?.stop();
    session.tell('', ...renderWaysOn(end.view, session.terminal, planWord));
    session.printJson({ ...end.view, webUi: opened.link, exitCode: EXIT.blocked });
    return EXIT.blocked;
  }
  await opened.worker?.stop();
  if (end.kind === 'taken_over') return end.exitCode;
  const exitCode = end.result.status === 'aborted' ? EXIT.undone : end.result.dryRun?.some(({ hinders }) => hinders !== null) ? EXIT.blocked : EXIT.complete;
  session.tell('', ...renderResult(end.result, session.terminal));
  if (exitCode === EXIT.complete && !dryRun) session.tell('', color.dim(`Report: npx caravan report ${end.result.migration} -o report.html`));
  session.printJson({ ...end.result, webUi: opened.link, exitCode });
  return exitCode;
}

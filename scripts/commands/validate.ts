import type { Command } from 'commander';
import { WORKFLOWS, type BlockedStep, type StepResolution, type ValidationResult, type ValidationStart, type Verdict } from '../../migration/protocol';
import { renderProof } from '../terminal/summary';
import { defineCommand } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { follow } from './follow';
import { interruption } from './interruption';
import { isFinal, requireMigration } from './migration-view';
import { openRun } from './run-session';
import { actorOf, runSession, shellWord, type CommonOptions, type Session } from './session';
import { renderWaysOn } from './ways-on';

interface ValidateOptions extends CommonOptions { repair?: boolean }

/** Adds `validate ID`. */
export function registerValidate(program: Command): void {
  defineCommand(program, 'validate', 'compare both sides again: counts, samples, every row, the checks of the plan', ['validate customer-platform', 'validate customer-platform --repair'])
    .argument('<id>', 'name of the migration')
    .option('--repair', 'repair exactly the rows that differ')
    .action((id: string, options: ValidateOptions) => runSession(options, (session) => validate(session, id, options.repair === true)));
}

/** A comparison that fails is a finding here, not a reason to stop: all are collected, then told. */
function goOn({ step, code, skippable }: BlockedStep): StepResolution | null {
  return skippable && (code === 'VALIDATION_FAILED' || code === 'CHECK_FAILED') ? { action: 'skip', step, by: actorOf({}), reason: 'caravan validate collects all differences' } : null;
}

async function validate(session: Session, id: string, repair: boolean): Promise<number> {
  const { color, marks } = session.terminal;
  const status = await requireMigration(await session.door(), id);
  const workflowId = `validation-${id}`;
  if (!isFinal(status.status) && status.workflowId !== workflowId) throw new UsageError(`a run of ${id} is under way: it validates at its end. Follow it: npx caravan watch ${shellWord(id)}`);
  const door = await session.doorWithTemporal();
  const temporal = await door.temporal();
  const interrupted = interruption(session);
  const opened = await openRun({
    door, temporal, migration: id, signal: interrupted.signal, preferWorkers: true,
    start: { type: WORKFLOWS.validation, workflowId, summary: `Validation of ${id}`, input: (activityQueue) => ({ migration: id, repair, activityQueue }) satisfies ValidationStart },
    overrides: repair ? { repair } : undefined,
    onNote: (line) => session.tell(color.dim(line)),
    onAddress: (link) => link && session.tell(`${color.dim('Web UI')}  ${link}`, ''),
    beforeStart: () => Promise.resolve(),
  });
  const end = await follow<ValidationResult>({ session, door, opened, signal: interrupted.signal, migration: id, decide: goOn });
  await opened.worker?.stop();
  if (end.kind === 'interrupted') {
    session.printJson({ migration: id, status: 'interrupted', exitCode: EXIT.interrupted });
    session.tell('', `Interrupted. Go on with: npx caravan validate ${shellWord(id)}${repair ? ' --repair' : ''}`);
    return EXIT.interrupted;
  }
  if (end.kind === 'needs_person') {
    session.printJson({ ...end.view, exitCode: EXIT.blocked });
    session.tell('', ...renderWaysOn(end.view, session.terminal, null));
    return EXIT.blocked;
  }
  const { checks, comparisons } = end.result;
  const failed = [...checks, ...comparisons].some((one: { verdict: Verdict }) => one.verdict === 'failed');
  const exitCode = failed ? EXIT.blocked : EXIT.complete;
  session.tell('', ...renderProof(checks, comparisons, session.terminal));
  if (failed && !repair) session.tell('', `The sides differ. To repair exactly these rows: npx caravan validate ${shellWord(id)} --repair`);
  if (!failed) session.tell('', `${color.green(marks.ok)} ${id} is valid`);
  session.printJson({ migration: id, ...end.result, exitCode });
  return exitCode;
}

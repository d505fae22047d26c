import type { Command } from 'commander';
import { WORKFLOWS, type BlockedStep, type CompareResult, type StepResolution, type ValidationResult, type ValidationStart, type Verdict } from '../../migration/protocol';
import { countOf } from '../terminal/quantities';
import { renderProof } from '../terminal/summary';
import { renderTable } from '../terminal/table';
import { defineCommand } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { follow } from './follow';
import { interruption } from './interruption';
import { isFinal, requireMigration } from './migration-view';
import { onMigration } from './on-migration';
import { openRun } from './run-session';
import { actorOf, shellWord, type CommonOptions, type Session } from './session';
import { renderWaysOn } from './ways-on';

interface ValidateOptions extends CommonOptions { repair?: boolean; dryRun?: boolean }

/** Rows that differ which are shown; the target has them all, up to 10,000 of each dataset. */
const DIFFERENCES_SHOWN = 20;

/** Adds `validate [ID]`. */
export function registerValidate(program: Command): void {
  defineCommand(program, 'validate', 'compare both sides again: counts, samples, every row, the checks of the plan', ['validate customer-platform', 'validate customer-platform --repair --dry-run', 'validate customer-platform --repair'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--repair', 'repair exactly the rows that differ')
    .option('--dry-run', 'with --repair: say what a repair would do, and change nothing')
    .action(onMigration<ValidateOptions>((session, id, options) => {
      if (options.dryRun && !options.repair) throw new UsageError('--dry-run goes with --repair; without it nothing is changed anyway');
      return validate(session, id, options.repair === true && !options.dryRun);
    }));
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
  if (failed && !repair) session.tell('', ...(await toldDifferences(session, id, comparisons)));
  if (!failed) session.tell('', `${color.green(marks.ok)} ${id} is valid`);
  session.printJson({ migration: id, ...end.result, exitCode });
  return exitCode;
}

/** Which rows differ and what a repair would do about them. Keys are masked. */
async function toldDifferences(session: Session, id: string, comparisons: CompareResult[]): Promise<string[]> {
  const count = (kind: 'missing' | 'extra' | 'different') => comparisons.reduce((sum, one) => sum + one[kind], 0);
  const [insert, remove, update] = [count('missing'), count('extra'), count('different')];
  if (insert + remove + update === 0) return [];
  const door = await session.door();
  const rows = await door.differences({ migration: id, limit: DIFFERENCES_SHOWN });
  const cells = rows.map((row) => [row.id, row.dataset, row.kind, row.key?.join(', ') ?? '-', row.columns.join(', ')]);
  return [
    ...renderTable(['row', 'dataset', 'in the target', 'key (masked)', 'columns'].map((title) => ({ title })), cells, session.terminal.color.dim),
    '', `A repair would insert ${countOf(insert, 'row')}, update ${countOf(update, 'row')} and delete ${countOf(remove, 'row')} in the target: npx caravan validate ${shellWord(id)} --repair`,
  ];
}

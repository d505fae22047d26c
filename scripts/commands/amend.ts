import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { firstNames } from '../../migration/name-list';
import { MigrationError } from '../../migration/errors';
import type { Door, LoadedPlan, PlanAmendment } from '../../workers/door';
import { countOf, formatCount } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import type { Terminal } from '../terminal/terminal';
import { wrapText } from '../terminal/text-width';
import { defineCommand, repeated } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { loadPlanArgument } from './plan-argument';
import { preflight } from './preflight';
import { actorOf, displayPath, runSession, shellWord, type CommonOptions, type Session } from './session';

type AmendOptions = CommonOptions & { yes?: boolean; again?: string[]; by?: string; reason?: string };

/** Keys and names that one line names. */
const NAMED_MAX = 12;

/** Adds `amend PLAN`. */
export function registerAmend(program: Command): void {
  defineCommand(program, 'amend', 'carry an edited plan over to a migration that was started with another', ['amend plan.yaml', 'amend plan.yaml --yes --reason "emails are lower case"'])
    .argument('<plan>', 'plan file, or its name in the plans folder')
    .option('--yes', 'copy changed datasets again without asking')
    .option('--again <dataset>', 'copy this dataset again though the plan says nothing new of it, such as after a change of its columns (repeatable)', repeated)
    .option('--by <name>', 'who decides (default: the name of this account)')
    .option('--reason <text>', 'why, for the record')
    .addHelpText('after', `
It shows what differs from the plan that the migration has, and what it means. Sizes, workers, alerts, checks and the like take hold at the next
slice. Datasets whose rows would arrive otherwise are copied again from the first row: what they wrote is removed from the target in one step, also
changes that were made there since. A dataset that left the plan keeps its rows. A run that is under way stops those datasets at their next commit and
goes on under the new plan; without one, "npx caravan run PLAN" does.
Exit codes: 0 amended, or nothing to amend; 2 invalid plan, or --yes is missing; 3 it cannot be amended so; 4 not confirmed; 5 a system cannot be reached.`)
    .action((plan: string, options: AmendOptions) => runSession(options, (session) => amend(session, plan, options)));
}

async function amend(session: Session, argument: string, options: AmendOptions): Promise<number> {
  const door = await session.door();
  const loaded = await loadPlanArgument(session, door, argument);
  const word = shellWord(loaded.path ? displayPath(loaded.path) : argument);
  const { migration } = loaded.plan;
  const proposal = await door.proposeAmendment(loaded.plan, options.again);
  if (!proposal) throw new MigrationError('PLAN_NOT_FOUND', `no control store knows a migration ${migration}: there is nothing to amend. Start it: npx caravan run ${word}`);
  const { terminal } = session;
  const { color, marks } = terminal;
  if (!proposal.edited) {
    session.print(`${color.green(marks.ok)} ${migration} has this plan already: nothing to amend.`);
    session.printJson({ ...proposal, amended: false, exitCode: EXIT.complete });
    return EXIT.complete;
  }
  session.print(...renderAmendment(proposal, terminal), '');
  if (proposal.refusals.length > 0) {
    for (const refusal of proposal.refusals) session.print(...wrapText(refusal, terminal.columns, `${color.red(marks.bad)} `));
    session.printJson({ ...proposal, amended: false, code: 'PLAN_CHANGED', exitCode: EXIT.blocked });
    return EXIT.blocked;
  }
  await preflight(session, door, loaded, argument);
  if (!options.yes && again(proposal).length > 0 && !(await confirmed(session, proposal))) {
    session.print('Nothing was changed.');
    session.printJson({ ...proposal, amended: false, exitCode: EXIT.undone });
    return EXIT.undone;
  }
  const done = await door.amend(loaded.plan, { by: actorOf(options), reason: options.reason, again: options.again, formerHash: proposal.formerHash });
  session.print(`${color.green(marks.ok)} ${migration} is amended.`, proposal.finished
    ? `Go on under the new plan: npx caravan run ${word}`
    : `A run that is under way goes on under the new plan: npx caravan watch ${shellWord(migration)}. Without a worker: npx caravan run ${word}`);
  session.printJson({ ...done, amended: true, exitCode: EXIT.complete });
  return EXIT.complete;
}

/** Datasets that are copied again from the first row. */
function again({ datasets }: PlanAmendment): PlanAmendment['datasets'] {
  return datasets.filter(({ kind, state }) => kind === 'changed' && state !== 'waiting');
}

export function renderAmendment(proposal: PlanAmendment, { color }: Terminal): string[] {
  const { datasets, operational } = proposal;
  const lines = [color.bold(proposal.migration)];
  if (datasets.length > 0) {
    lines.push('', ...renderTable(
      [{ title: 'dataset' }, { title: 'what happens' }, { title: 'rows so far', align: 'right' }, { title: 'changed' }],
      datasets.map((one) => [one.dataset, fateOf(one), formatCount(one.rows), firstNames(one.fields, NAMED_MAX)]), color.dim));
  }
  if (operational.length > 0) lines.push('', `At the next slice: ${firstNames(operational, NAMED_MAX)}`);
  const copied = again(proposal);
  if (copied.length > 0) lines.push('', color.yellow(`${countOf(copied.reduce((sum, one) => sum + one.rows, 0), 'row')} of ${countOf(copied.length, 'dataset')} will be removed from the target and copied again.`));
  return lines;
}

function fateOf({ kind, state }: PlanAmendment['datasets'][number]): string {
  if (kind === 'removed') return state === 'waiting' ? 'leaves the plan' : 'leaves the plan, its rows stay';
  if (kind === 'added' && state === 'waiting') return 'is new';
  return state === 'waiting' ? 'is copied under the new plan' : 'is copied again';
}

/** @throws UsageError where nobody can be asked. */
async function confirmed(session: Session, proposal: PlanAmendment): Promise<boolean> {
  if (!session.terminal.interactive || !process.stdin.isTTY) {
    throw new UsageError(`datasets of ${proposal.migration} would be copied again (${firstNames(again(proposal).map(({ dataset }) => dataset), NAMED_MAX)}): say --yes to do that without being asked`);
  }
  const asker = createInterface({ input: process.stdin, output: session.people });
  try {
    return (await asker.question('Copy them again? [y = yes, anything else = no] ')).trim().toLowerCase().startsWith('y');
  } finally {
    asker.close();
  }
}

/**
 * Ends the command when the plan is another than the migration has, in a way that only `amend` carries out: rows that are there would have to look
 * otherwise, or, with `running`, a run is under way that would not hear of any edit. @throws MigrationError `PLAN_CHANGED` with the exact command.
 */
export async function refuseUnamended(door: Door, loaded: LoadedPlan, word: string, running: boolean): Promise<void> {
  const proposal = await door.proposeAmendment(loaded.plan).catch((error: unknown) => {
    // The run itself says what is wrong with a system.
    if (error instanceof MigrationError) return null;
    throw error;
  });
  if (!proposal?.edited) return;
  const copied = proposal.datasets.filter(({ kind, state, rows }) => kind !== 'added' && state !== 'waiting' && (rows > 0 || state !== 'open')).map(({ dataset }) => dataset);
  if (copied.length === 0 && !running) return;
  if (proposal.refusals.length > 0) throw new MigrationError('PLAN_CHANGED', `migration ${proposal.migration}: the plan cannot be amended so: ${proposal.refusals.join('; ')}. Or undo the edit.`);
  const what = copied.length > 0
    ? `changes datasets of which rows are there (${firstNames(copied, NAMED_MAX)})`
    : `is not the one that the run under way has (${firstNames([...proposal.datasets.map(({ dataset }) => dataset), ...proposal.operational], NAMED_MAX)})`;
  throw new MigrationError('PLAN_CHANGED', `migration ${proposal.migration}: the plan ${what}. To carry that out: npx caravan amend ${word}. Or undo the edit.`);
}

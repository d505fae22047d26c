import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { isMigrationError, MigrationError } from '../../migration/errors';
import { inspectPlan } from '../../migration/plan/parse';
import type { Problem } from '../../migration/protocol';
import type { Door, LoadedPlan } from '../../workers/door';
import { countOf } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import type { Terminal } from '../terminal/terminal';
import { wrapText } from '../terminal/text-width';
import { EXIT, ExitRequest } from './exit-codes';
import { displayPath, type Session } from './session';

/**
 * The plan that PLAN names: a file, or a name in the plans folder. Its problems are printed with file and line; with errors
 * the command ends with code 2, before anything was connected.
 */
export async function loadPlanArgument(session: Session, door: Door, argument: string): Promise<LoadedPlan> {
  const file = planFile(argument);
  if (file) {
    const { problems } = inspectPlan(readFileSync(file, 'utf8'));
    if (hasErrors(problems)) refusePlan(session, displayPath(file), problems);
  } else if (/[\\/]|\.(ya?ml|json)$/i.test(argument)) {
    throw new MigrationError('PLAN_NOT_FOUND', `there is no plan file ${argument}. Make one from a live database: npx caravan init --source NAME --target NAME -o ${argument}`);
  }
  const inspected = await load(door, file ?? argument);
  if (!('plan' in inspected)) refusePlan(session, file ? displayPath(file) : argument, inspected.problems);
  return inspected;
}

/** Problems that `check` shows for a plan that may not even parse; `plan` is null then. */
export async function inspectPlanArgument(door: Door, argument: string): Promise<{ loaded: LoadedPlan | null; label: string; problems: Problem[] }> {
  const file = planFile(argument);
  if (file) {
    const { problems } = inspectPlan(readFileSync(file, 'utf8'));
    if (hasErrors(problems)) return { loaded: null, label: displayPath(file), problems };
  }
  const inspected = await load(door, file ?? argument);
  if (!('plan' in inspected)) return { loaded: null, label: file ? displayPath(file) : argument, problems: inspected.problems };
  return { loaded: inspected, label: inspected.path ? displayPath(inspected.path) : argument, problems: inspected.problems };
}

/** The plan, or what the door found wrong with it: it knows the user's own transforms, too. */
async function load(door: Door, plan: string): Promise<LoadedPlan | { problems: Problem[] }> {
  try {
    return await door.loadPlan(plan);
  } catch (error) {
    const problems = isMigrationError(error) && error.code === 'PLAN_INVALID' ? problemsIn(error.message) : [];
    if (problems.length === 0) throw error;
    return { problems };
  }
}

/** The problems in a message of `parsePlan`: one line each, `  place (line 3): what is wrong. What to do.` */
function problemsIn(message: string): Problem[] {
  return message.split('\n').flatMap((line): Problem[] => {
    const match = /^ {2}(\S.*? \(line \d+\)): (.*)$/.exec(line);
    return match ? [{ severity: 'error', place: match[1] ?? '', message: match[2] ?? '' }] : [];
  });
}

export function hasErrors(problems: Problem[]): boolean {
  return problems.some((problem) => problem.severity === 'error');
}

/** Ends the command: says every error of the plan. */
export function refusePlan(session: Session, label: string, problems: Problem[], exitCode: number = EXIT.badUsage): never {
  const errors = problems.filter((problem) => problem.severity === 'error');
  session.printJson({ error: `${label} cannot run`, code: 'PLAN_INVALID', problems, exitCode });
  if (!session.json) process.stderr.write([...renderProblems(problems, label, session.terminal), '', `${label} has ${countOf(errors.length, 'error')}.`].map((line) => `${line}\n`).join(''));
  throw new ExitRequest(exitCode);
}

/** `✗ plan.yaml:12  datasets.users.after[0]: what is wrong`, below it what to do. */
export function renderProblems(problems: Problem[], label: string, terminal: Terminal): string[] {
  const { color, marks, columns } = terminal;
  return problems.flatMap((problem) => {
    const { where, place } = placeOf(problem, label);
    const mark = problem.severity === 'error' ? marks.bad : marks.warning;
    const paint = problem.severity === 'error' ? color.red : color.yellow;
    // A message of the live systems often begins with the place it is about.
    const message = place === '' && problem.message.startsWith(`${where}:`) ? problem.message.slice(where.length + 1).trimStart() : problem.message;
    const lines = wrapText(`${where}${place ? `  ${place}` : ''}: ${message}`, columns, ' '.repeat(mark.length + 1));
    const remedy = problem.remedy ? wrapText(problem.remedy, columns, ' '.repeat(mark.length + 1)).map(color.dim) : [];
    return [`${paint(mark)} ${color.bold(where)}${(lines[0] ?? '').slice(mark.length + 1 + where.length)}`, ...lines.slice(1), ...remedy];
  });
}

/** `datasets.users (line 12)` in plan.yaml -> `plan.yaml:12` and `datasets.users`. A place without a line stands for itself. */
export function placeOf(problem: Problem, label: string): { where: string; place: string } {
  const match = /^(.*) \(line (\d+)\)$/s.exec(problem.place);
  return match ? { where: `${label}:${match[2] ?? ''}`, place: match[1] === 'plan' ? '' : (match[1] ?? '') } : { where: problem.place || label, place: '' };
}

function planFile(argument: string): string | null {
  return existsSync(argument) && statSync(argument).isFile() ? path.resolve(argument) : null;
}

/** SQL of `check --grants`, a block per connection. */
export function renderGrants(grants: { connection: string; sql: string }[], terminal: Terminal): string[] {
  return grants.flatMap(({ connection, sql }) => ['', terminal.color.bold(`-- ${connection}`), ...sql.trimEnd().split('\n')]);
}

/** Connections there are, for messages about one that is missing. */
export async function renderConnections(door: Door, terminal: Terminal): Promise<string[]> {
  const listed = await door.connections().catch((error: unknown) => (isMigrationError(error) ? [] : Promise.reject(error as Error)));
  return renderTable([{ title: 'connection' }, { title: 'kind' }, { title: 'address' }, { title: 'from' }], listed.map((one) => [one.name, one.connector, one.address, one.from]), terminal.color.dim);
}

import type { Command } from 'commander';
import { connectionsNeeded } from '../../migration/plan/connections-needed';
import { countOf } from '../terminal/quantities';
import { defineCommand } from './common-options';
import { EXIT } from './exit-codes';
import { hasErrors, inspectPlanArgument, renderGrants, renderProblems } from './plan-argument';
import { exitCodeOfProblems } from './preflight';
import { runSession, type CommonOptions, type Session } from './session';

interface CheckOptions extends CommonOptions { connect?: boolean; grants?: boolean }

/** Adds `check PLAN`. */
export function registerCheck(program: Command): void {
  defineCommand(program, 'check', 'check a plan: alone, or with --connect against the live systems; changes nothing', ['check plan.yaml', 'check plan.yaml --connect', 'check plan.yaml --grants > grants.sql'])
    .argument('<plan>', 'plan file, or its name in the plans folder')
    .option('--connect', 'look at the live systems too: tables, columns, types, keys, privileges, the SQL of checks')
    .option('--grants', 'print the least-privilege SQL for each side')
    .action((plan: string, options: CheckOptions) => runSession(options, (session) => check(session, plan, options)));
}

async function check(session: Session, argument: string, { connect = false, grants = false }: CheckOptions): Promise<number> {
  const { color, marks } = session.terminal;
  const door = await session.door();
  const inspected = await inspectPlanArgument(door, argument);
  const { loaded, label } = inspected;
  const live = loaded && (connect || grants) ? await door.checkPlan(loaded.path ?? loaded.input, { connect, grants }) : null;
  const problems = live?.problems ?? inspected.problems;
  const failed = hasErrors(problems);
  const exitCode = failed ? exitCodeOfProblems(problems.filter((problem) => problem.severity === 'error')) : EXIT.complete;
  session.printJson({ plan: label, migration: loaded?.plan.migration ?? null, ok: !failed, problems, ...(grants ? { grants: live?.grants ?? [] } : {}), exitCode });
  if (session.json) return exitCode;

  // With --grants stdout holds SQL alone, ready for a file.
  const say = (...lines: string[]): void => void (grants ? process.stderr : process.stdout).write(lines.map((line) => `${line}\n`).join(''));
  if (loaded) say(...whatWasChecked(loaded.plan, problems.map((problem) => problem.place), connect).map((line) => `${color.green(marks.ok)} ${line}`));
  say(...renderProblems(problems, label, session.terminal));
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  const warnings = problems.length - errors;
  const parts = [...(errors > 0 ? [countOf(errors, 'error')] : []), ...(warnings > 0 ? [countOf(warnings, 'warning')] : [])];
  if (problems.length > 0) say('');
  say(failed ? color.red(`${label} cannot run: ${parts.join(', ')}.`) : `${label} can run${parts.length > 0 ? `, with ${parts.join(', ')}` : ''}.${connect ? '' : ' The live systems were not asked: add --connect.'}`);
  if (grants && live) process.stdout.write(`${renderGrants(live.grants, session.terminal).join('\n').trimStart()}\n`);
  return exitCode;
}

interface Checked { migration: string; approach: string; batch: { parallel_datasets: number; parallel_workers: number }; datasets: Record<string, { source: { connection: string; table?: string; query?: string }; target: { connection: string; table?: string } }> }

/** One line for the plan, and with the live systems one for each dataset nothing is wrong with. */
function whatWasChecked(plan: Checked, places: string[], connect: boolean): string[] {
  const names = Object.keys(plan.datasets);
  const lines = [`${plan.migration}: ${countOf(names.length, 'dataset')}, ${plan.approach.replace('_', ' ')}`];
  if (!connect) return lines;
  lines.push(`needs ${connectionsNeeded(plan.batch)} connections to each system at most (batch.parallel_workers x batch.parallel_datasets, and a few)`);
  for (const [name, { source, target }] of Object.entries(plan.datasets)) {
    const touched = [`datasets.${name}`, `connection ${source.connection}`, `connection ${target.connection}`];
    if (places.some((place) => touched.some((one) => place === one || (place.startsWith(one) && /\W/.test(place.charAt(one.length)))))) continue;
    lines.push(`${name}: ${source.connection}.${source.query ? 'query' : source.table ?? name} to ${target.connection}.${target.table ?? name}`);
  }
  return lines;
}

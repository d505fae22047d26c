import type { Door, LoadedPlan } from '../../workers/door';
import { exitCodeOfCode, EXIT } from './exit-codes';
import { refusePlan } from './plan-argument';
import { displayPath, type Session } from './session';

/**
 * Looks at the live systems before a run is admitted, so that a wrong password or an unknown table ends the command at once
 * with the right code instead of blocking a run. Changes nothing. Ends the command with 5 when a system cannot be reached
 * or refuses the password, with 2 when the plan does not fit the systems. `dryRun`: what hinders the cutover is left to the dry run, which tells it step by step.
 */
export async function preflight(session: Session, door: Door, loaded: LoadedPlan, argument: string, dryRun = false): Promise<void> {
  const found = (await door.checkPlan(loaded.path ?? loaded.input, { connect: true, grants: false })).problems;
  const problems = found.filter(({ place }) => !dryRun || !/^cutover\b/.test(place));
  const errors = problems.filter((problem) => problem.severity === 'error');
  if (errors.length === 0) return;
  refusePlan(session, loaded.path ? displayPath(loaded.path) : argument, problems, exitCodeOfProblems(errors));
}

/** 5 as soon as one system is away: what the others say is then no verdict on the plan. */
export function exitCodeOfProblems(errors: { code?: Parameters<typeof exitCodeOfCode>[0] }[]): number {
  return errors.some(({ code }) => code !== undefined && exitCodeOfCode(code) === EXIT.unreachable) ? EXIT.unreachable : EXIT.badUsage;
}

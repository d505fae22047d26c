import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Stack } from '../../scripts/stack';
import { testVariables } from '../fixtures/stack';
import { plant, type Sabotage } from './planting';

/** What a run of a suite said, test by test. `broken`: it could not be loaded, or did not end. */
interface Outcome { tests: readonly { fullName: string; status: string }[]; broken: boolean }

interface JestReport { numRuntimeErrorTestSuites: number; testResults: { assertionResults: { fullName: string; status: string }[] }[] }

/** A copy of the tree that bugs are planted in, one at a time. */
export interface Lane { tree: string; stack: Stack; cacheFolder: string }

export type Verdict = 'caught' | 'MISSED' | 'does not fit' | 'its test is red without it' | 'its test does not run';

/** A suite that a bug sends round in circles is ended after this long. */
const RUN_LIMIT_MS = 8 * 60_000;

/** Process groups of the runs that are under way. */
const running = new Set<number>();

let ended = false;

/** Ends every run that is under way, with all that it started; no other one begins. */
export function endRuns(): void {
  ended = true;
  for (const group of running) endRun(group);
}

function endRun(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

async function runTests({ tree, stack, cacheFolder }: Lane, suite: string, names: readonly string[]): Promise<Outcome> {
  if (ended) return { tests: [], broken: true };
  const report = path.join(tree, '.sabotage-outcome.json');
  rmSync(report, { force: true });
  const project = /^test\/(unit|soak)\//.exec(suite)?.[1] ?? 'system';
  const filter = names.includes('') ? [] : ['-t', names.map(literally).join('|')];
  const child = spawn(process.execPath, [
    'node_modules/jest/bin/jest.js', '--selectProjects', project, '--runTestsByPath', suite, ...filter, '--json', '--outputFile', report, '--cacheDirectory', cacheFolder, '--silent', '--forceExit',
  ], {
    cwd: tree,
    stdio: 'ignore',
    // A group of its own: what a suite starts ends with it.
    detached: true,
    env: {
      ...process.env,
      CARAVAN_TEST_COUNTS: undefined,
      [testVariables.temporal]: stack.temporal?.address,
      [testVariables.legacy]: stack.postgres['legacy']?.url,
      [testVariables.new]: stack.postgres['new']?.url,
    },
  });
  const group = child.pid ?? 0;
  running.add(group);
  const limit = setTimeout(() => endRun(group), RUN_LIMIT_MS);
  await new Promise((resolve) => { child.once('exit', resolve); });
  clearTimeout(limit);
  running.delete(group);
  return readOutcome(report);
}

function literally(name: string): string {
  return name.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function readOutcome(report: string): Outcome {
  try {
    const { numRuntimeErrorTestSuites, testResults } = JSON.parse(readFileSync(report, 'utf8')) as JestReport;
    return { tests: testResults.flatMap(({ assertionResults }) => assertionResults), broken: numRuntimeErrorTestSuites > 0 };
  } catch {
    return { tests: [], broken: true };
  }
}

function count({ tests }: Outcome, name: string, status: string): number {
  return tests.filter((test) => test.status === status && test.fullName.includes(name)).length;
}

/** Judges sabotages. The sound tests of a suite run once, all that any sabotage names in one go; every sabotage then costs one run of its own test. */
export class Judge {
  private readonly sound = new Map<string, Promise<Outcome>>();

  constructor(private readonly chosen: readonly Sabotage[]) {}

  async judge(lane: Lane, sabotage: Sabotage): Promise<Verdict> {
    const { suite, test } = sabotage;
    const sound = await this.withoutSabotage(lane, suite);
    if (sound.broken) return 'its test does not run';
    if (count(sound, test, 'failed') > 0) return 'its test is red without it';
    if (count(sound, test, 'passed') === 0) return 'its test does not run';
    const takeOut = plant(lane.tree, sabotage);
    try {
      const outcome = await runTests(lane, suite, [test]);
      if (outcome.broken) return 'its test does not run';
      return count(outcome, test, 'failed') > 0 ? 'caught' : 'MISSED';
    } finally {
      takeOut();
    }
  }

  private withoutSabotage(lane: Lane, suite: string): Promise<Outcome> {
    const known = this.sound.get(suite);
    if (known) return known;
    const names = new Set(this.chosen.filter((one) => one.suite === suite).map(({ test }) => test));
    const outcome = runTests(lane, suite, [...names]);
    this.sound.set(suite, outcome);
    return outcome;
  }
}

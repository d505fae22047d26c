/**
 * Breaks the product on purpose, one planted bug at a time, and sees to it that a test turns red. `npm run test:sabotage [-- WORD ...]`; words choose
 * sabotages by their names. Works on copies of the tree in a temporary folder and on servers of its own; the tree itself is never touched.
 *
 * A sabotage counts as caught when the test that guards against it fails by an assertion or an error of the product; a suite that cannot even be loaded
 * does not count, and neither does a test that fails without the sabotage. Prints a table; ends with 1 when one was not caught.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startStack, type Stack } from '../../scripts/stack';
import { testVariables } from '../fixtures/stack';
import { SABOTAGES, type Sabotage } from './sabotages';

const ROOT = path.resolve(__dirname, '../..');
/** Trees, and so sabotages at the same time. */
const LANES = 2;

interface JestSummary { numPassedTests: number; numFailedTests: number; numRuntimeErrorTestSuites: number }
type Verdict = 'caught' | 'NOT CAUGHT' | 'does not apply' | 'its test is red without it' | 'its test cannot be run';

/** The files under version control (and new ones that are not ignored), with the modules linked in. */
function copyTree(to: string): void {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 }).toString().split('\0').filter(Boolean);
  for (const file of files) {
    mkdirSync(path.dirname(path.join(to, file)), { recursive: true });
    cpSync(path.join(ROOT, file), path.join(to, file));
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(to, 'node_modules'));
}

/** Puts the bug in and answers how to take it out; null when a snippet is not there exactly once. */
function plant(tree: string, { edits }: Sabotage): (() => void) | null {
  const originals = new Map<string, string>();
  const takeOut = (): void => { for (const [file, text] of originals) writeFileSync(file, text); };
  for (const { file, find, replace } of edits) {
    const at = path.join(tree, file);
    const text = readFileSync(at, 'utf8');
    if (text.split(find).length !== 2) {
      takeOut();
      return null;
    }
    if (!originals.has(at)) originals.set(at, text);
    writeFileSync(at, text.replace(find, () => replace));
  }
  return takeOut;
}

async function runTests(tree: string, stack: Stack, { suite, test }: { suite: string; test: string }): Promise<JestSummary> {
  const outcome = path.join(tree, '.sabotage-outcome.json');
  rmSync(outcome, { force: true });
  const project = suite.startsWith('test/unit/') ? 'unit' : suite.startsWith('test/soak/') ? 'soak' : 'system';
  const child = spawn(process.execPath, ['node_modules/jest/bin/jest.js', '--selectProjects', project, '--runTestsByPath', suite, '-t', test, '--json', '--outputFile', outcome, '--silent', '--forceExit'], {
    cwd: tree,
    stdio: 'ignore',
    env: {
      ...process.env,
      [testVariables.temporal]: stack.temporal?.address,
      [testVariables.legacy]: stack.postgres['legacy']?.url,
      [testVariables.new]: stack.postgres['new']?.url,
    },
  });
  await new Promise((resolve) => { child.once('exit', resolve); });
  return JSON.parse(readFileSync(outcome, 'utf8')) as JestSummary;
}

async function judge(tree: string, stack: Stack, sabotage: Sabotage, controls: Map<string, Promise<JestSummary>>): Promise<Verdict> {
  const key = `${sabotage.suite}\n${sabotage.test}`;
  const known = controls.get(key);
  const control = known ?? runTests(tree, stack, sabotage);
  controls.set(key, control);
  const { numPassedTests: sound, numFailedTests: red, numRuntimeErrorTestSuites: broken } = await control;
  if (red > 0 || broken > 0) return 'its test is red without it';
  if (sound === 0) return 'its test cannot be run';
  const takeOut = plant(tree, sabotage);
  if (!takeOut) return 'does not apply';
  try {
    const { numFailedTests, numRuntimeErrorTestSuites } = await runTests(tree, stack, sabotage);
    if (numRuntimeErrorTestSuites > 0) return 'its test cannot be run';
    return numFailedTests > 0 ? 'caught' : 'NOT CAUGHT';
  } finally {
    takeOut();
  }
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const chosen = SABOTAGES.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-sabotage-'));
  const stack = await startStack({ dir: path.join(folder, 'stack'), durable: false, onProgress: (line) => process.stderr.write(`${line}\n`) });
  const verdicts = new Map<Sabotage, Verdict>();
  const controls = new Map<string, Promise<JestSummary>>();
  const waiting = [...chosen];
  const lane = async (_: unknown, number: number): Promise<void> => {
    const tree = path.join(folder, `tree-${number}`);
    copyTree(tree);
    for (let sabotage = waiting.shift(); sabotage; sabotage = waiting.shift()) {
      const verdict = await judge(tree, stack, sabotage, controls);
      verdicts.set(sabotage, verdict);
      process.stdout.write(`${verdict.padEnd(10)}  ${sabotage.name}  (${sabotage.suite}: ${sabotage.test})\n`);
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  const caught = [...verdicts.values()].filter((verdict) => verdict === 'caught').length;
  process.stdout.write(`\nsabotages: ${chosen.length} planted, ${caught} caught, ${chosen.length - caught} not\n`);
  process.exitCode = caught === chosen.length && chosen.length > 0 ? 0 : 1;
}

void main();

/**
 * Breaks the product on purpose, one planted bug at a time, and sees to it that a test turns red:
 * `npm run test:sabotage [-- --only NAME ... --jobs N]`. `--only` chooses sabotages by a part of their name or of the file they are planted in.
 *
 * Bugs are planted in copies of the tree in a temporary folder, on servers of its own: the tree itself is never touched, and a run that is interrupted
 * leaves nothing behind. A sabotage counts as caught when the test that guards against it fails by an assertion or an error of the product; a suite that
 * cannot even be loaded does not count, and neither does a test that is red without the sabotage. Prints a table; ends with 1 when one was missed.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startStack, type Stack } from '../../scripts/stack';
import { misfit, type Sabotage } from './planting';
import { SABOTAGES } from './sabotages';
import { endRuns, Judge, type Lane, type Verdict } from './test-run';

const ROOT = path.resolve(__dirname, '../..');
/** Trees, and so sabotages at the same time. */
const JOBS = 2;

interface Line { verdict: Verdict; seconds: number }

/** The files under version control (and new ones that are not ignored), with the modules linked in. */
function copyTree(to: string): void {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 });
  for (const file of listed.toString().split('\0').filter(Boolean)) {
    mkdirSync(path.dirname(path.join(to, file)), { recursive: true });
    cpSync(path.join(ROOT, file), path.join(to, file));
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(to, 'node_modules'));
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function chosenSabotages(words: readonly string[]): Sabotage[] {
  return SABOTAGES.filter(({ name, edits }) => words.length === 0 || words.some((word) => name.includes(word) || edits.some(({ file }) => file.includes(word))));
}

async function runAll(chosen: readonly Sabotage[], jobs: number, interrupted: AbortSignal, lane: (number: number) => Lane): Promise<Map<Sabotage, Line>> {
  const lines = new Map<Sabotage, Line>();
  const judge = new Judge(chosen);
  const waiting = [...chosen];
  const work = async (_: unknown, number: number): Promise<void> => {
    const own = lane(number);
    for (let sabotage = waiting.shift(); sabotage && !interrupted.aborted; sabotage = waiting.shift()) {
      const began = Date.now();
      const unfit = misfit(own.tree, sabotage);
      if (unfit !== null) tell(`${sabotage.name}: ${unfit}`);
      const line: Line = { verdict: unfit === null ? await judge.judge(own, sabotage) : 'does not fit', seconds: Math.round((Date.now() - began) / 1000) };
      lines.set(sabotage, line);
      tell(`${lines.size}/${chosen.length}  ${line.verdict}  ${sabotage.name}  (${line.seconds} s)`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, chosen.length) }, work));
  return lines;
}

function table(lines: ReadonlyMap<Sabotage, Line>, chosen: readonly Sabotage[]): string {
  const width = Math.max(...chosen.map(({ name }) => name.length));
  return chosen.map((sabotage) => {
    const { verdict = 'MISSED', seconds = 0 } = lines.get(sabotage) ?? {};
    return `${verdict.padEnd(8)}  ${sabotage.name.padEnd(width)}  ${String(seconds).padStart(3)} s  ${sabotage.suite}${sabotage.test ? `: ${sabotage.test}` : ''}\n`;
  }).join('');
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: [] }, jobs: { type: 'string', default: String(JOBS) } } });
  const chosen = chosenSabotages(values.only);
  const jobs = Number(values.jobs);
  if (chosen.length === 0 || !Number.isInteger(jobs) || jobs < 1) {
    tell(chosen.length === 0 ? `no sabotage is named like that. There are:\n${SABOTAGES.map(({ name }) => `  ${name}`).join('\n')}` : '--jobs takes a whole number from 1');
    return 2;
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-sabotage-'));
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      interruption.abort();
      endRuns();
    });
  }
  let stack: Stack | undefined;
  try {
    const began = Date.now();
    const started = stack = await startStack({ dir: path.join(folder, 'stack'), durable: false, onProgress: tell });
    const lines = await runAll(chosen, jobs, interruption.signal, (number) => {
      const tree = path.join(folder, `tree-${number}`);
      copyTree(tree);
      return { tree, stack: started, cacheFolder: path.join(folder, 'jest') };
    });
    if (interruption.signal.aborted) return 130;
    const caught = [...lines.values()].filter(({ verdict }) => verdict === 'caught').length;
    process.stdout.write(`\n${table(lines, chosen)}\n${caught} sabotages caught, ${chosen.length - caught} missed (${Math.round((Date.now() - began) / 1000)} s)\n`);
    return caught === chosen.length ? 0 : 1;
  } finally {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

void main().then((code) => { process.exitCode = code; });

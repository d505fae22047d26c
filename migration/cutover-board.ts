/** The steps of a cutover as a terminal and the *Current details* show them: when, what was seen, how it is taken back. Pure. */
import { undoWords } from './cutover-steps';
import type { DryRunStep, LifeStep, RunProgress } from './protocol';

const STATE_WORDS: Record<LifeStep['state'], string> = { open: 'under way', done: 'done', undone: 'taken back', failed: 'failed', skipped: 'skipped' };

/** Plain text; empty where no cutover is at hand. */
export function cutoverText(state: RunProgress): string {
  const steps = state.steps ?? [];
  if (steps.length === 0) return '';
  const width = Math.max(...steps.map(({ step }) => step.length));
  const lines = steps.flatMap((step) => [
    `  ${timeOf(step)}  ${step.step.padEnd(width)}  ${STATE_WORDS[step.state]}${took(step)}`,
    ...(step.evidence ? [`            ${step.evidence.what}`] : []),
    ...(step.undo.do === 'none' || step.state === 'undone' ? [] : [`            Undo: ${undoWords(step)}.`]),
  ]);
  return [title(state), ...lines].join('\n');
}

/** CommonMark: one entry a step. `plain` escapes what would format. */
export function cutoverMarkdown(state: RunProgress, plain: (text: string) => string): string {
  const steps = state.steps ?? [];
  if (steps.length === 0) return '';
  const entries = steps.map((step) => {
    const undo = step.undo.do === 'none' || step.state === 'undone' ? '' : ` *Undo: ${plain(undoWords(step))}.*`;
    return `- **${plain(step.step)}** ${timeOf(step)} UTC, ${STATE_WORDS[step.state]}${took(step)}.${step.evidence ? ` ${plain(step.evidence.what)}` : ''}${undo}`;
  });
  return [`### ${plain(title(state))}`, ...entries].join('\n');
}

/** What a dry run found, one line a step. */
export function dryRunLines(steps: readonly DryRunStep[]): string[] {
  return steps.map(({ step, would, hinders }) => `${hinders === null ? 'ok ' : 'no '} ${step}: would ${would}${hinders === null ? '' : `. Hindered: ${hinders}`}`);
}

function title({ steps = [], undoneBy }: RunProgress): string {
  const limit = undoneBy === undefined ? '' : `; undone by itself at ${undoneBy.slice(0, 19).replace('T', ' ')} UTC`;
  return `Cutover, try ${steps.at(-1)?.attempt ?? 1}${limit}`;
}

function timeOf({ openedAt }: LifeStep): string {
  return openedAt.slice(11, 19);
}

function took({ openedAt, closedAt, state }: LifeStep): string {
  if (closedAt === null || state === 'undone') return '';
  const seconds = (Date.parse(closedAt) - Date.parse(openedAt)) / 1000;
  return ` in ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

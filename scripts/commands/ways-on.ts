import type { RunProgress } from '../../migration/protocol';
import type { Terminal } from '../terminal/terminal';
import { renderPairs } from '../terminal/table';
import { shellWord } from './session';

/**
 * The exact commands that carry a blocked or waiting migration on. `plan` is the plan as a shell takes it, when a worker
 * of `caravan run` is what carries on; null when workers serve the run elsewhere.
 */
export function waysOn(view: RunProgress, plan: string | null): [string, string][] {
  const id = shellWord(view.migration);
  const then = plan ? ` && npx caravan run ${plan}` : '';
  if (view.waitingFor.length > 0) return view.waitingFor.map((gate) => [`npx caravan approve ${id} ${shellWord(gate)}${then}`, 'opens the gate']);
  if (view.status === 'paused') return [[`npx caravan resume ${id}${then}`, 'goes on']];
  const named = (step: string): string => (view.blocked.length > 1 ? ` --step ${shellWord(step)}` : '');
  const ways: [string, string][] = plan ? [[`npx caravan run ${plan}`, 'tries again']] : view.blocked.map(({ step }) => [`npx caravan resume ${id}${named(step)}`, 'tries again']);
  for (const { step, skippable } of view.blocked) if (skippable) ways.push([`npx caravan resume ${id}${named(step)} --skip${then}`, `leaves out ${step}`]);
  const first = view.blocked[0];
  if (first) ways.push([`npx caravan resume ${id}${named(first.step)} --abort`, 'ends the migration']);
  return ways;
}

/** As lines for people. */
export function renderWaysOn(view: RunProgress, terminal: Terminal, plan: string | null): string[] {
  const ways = waysOn(view, plan);
  if (ways.length === 0) return [];
  const title = view.status === 'waiting_for_approval' ? 'The migration waits for an approval.' : view.status === 'paused' ? 'The migration is paused.' : 'The migration is blocked; its rows are safe. Once the cause is gone, go on with one of:';
  return [title, ...renderPairs(ways).map((line, index) => `  ${line.slice(0, line.length - (ways[index]?.[1].length ?? 0))}${terminal.color.dim(ways[index]?.[1] ?? '')}`)];
}

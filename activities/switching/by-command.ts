import { runShell } from '../shell-command';
import { directionOf, type SwitchOrder, type SwitchWay } from './switch-way';

const TIMEOUT_MS = 60_000;

/** Runs the line with `new`, `legacy` or `read` behind it; exit code 0 is success. `read` prints `new` or `legacy`. CARAVAN_SWITCH_ID, _EPOCH and _MIGRATION are set. */
export function switchByCommand(line: string, order: SwitchOrder): SwitchWay {
  const run = (word: string): Promise<string> => runShell(`${line} ${word}`, {
    env: { CARAVAN_SWITCH_ID: order.id, CARAVAN_SWITCH_EPOCH: String(order.epoch), CARAVAN_SWITCH_MIGRATION: order.migration }, signal: order.signal, timeoutMs: TIMEOUT_MS,
  });
  return {
    async set(to) { await run(to); },
    async read() { return directionOf(await run('read')); },
  };
}

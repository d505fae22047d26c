import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { createLiveView } from '../terminal/live-view';
import { defineCommand } from './common-options';
import { EXIT, exitCodeOfStatus } from './exit-codes';
import { interruption } from './interruption';
import { findStatus, isFinal, requireMigration, viewOf } from './migration-view';
import { onMigration } from './on-migration';
import type { Session } from './session';
import { rolledBackLine } from './taken-over';
import { renderWaysOn } from './ways-on';

const LOOK_EVERY_MS = 1_000;

/** Adds `watch [ID]`. */
export function registerWatch(program: Command): void {
  defineCommand(program, 'watch', 'show a migration live until it ends; needs neither Temporal nor a worker', ['watch customer-platform'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .action(onMigration(watch));
}

async function watch(session: Session, id: string): Promise<number> {
  const door = await session.door();
  const interrupted = interruption(session);
  const { color } = session.terminal;
  let status = await requireMigration(door, id);
  if (status.uiLink) session.tell(`${color.dim('Web UI')}  ${status.uiLink}`, '');
  const live = createLiveView({ terminal: session.terminal, stream: session.people, footer: ['', color.dim('Ctrl-C ends the watching; the migration goes on.')] });
  let told = '';
  for (;;) {
    const view = viewOf(status);
    live.show(view);
    const ways = isFinal(status.status) ? [] : renderWaysOn(view, session.terminal, null);
    if (ways.join() !== told) {
      told = ways.join();
      if (ways.length > 0) live.note(ways.join('\n'));
    }
    if (isFinal(status.status) || interrupted.signal.aborted) break;
    await sleep(LOOK_EVERY_MS, undefined, { signal: interrupted.signal }).catch(() => undefined);
    status = (await findStatus(door, id)) ?? status;
  }
  live.end();
  if (status.status === 'rolled_back') session.tell('', rolledBackLine(session, status));
  const exitCode = isFinal(status.status) ? exitCodeOfStatus(status.status) : EXIT.interrupted;
  session.printJson({ ...status, exitCode });
  return exitCode;
}

import type { Command } from 'commander';
import { defineCommand, repeated, wholeNumber } from './common-options';
import { EXIT } from './exit-codes';
import { interruption } from './interruption';
import { runSession, type CommonOptions, type Session } from './session';

interface WorkerOptions extends CommonOptions { side?: string[]; copySlots?: number }

/** Adds `worker`. */
export function registerWorker(program: Command): void {
  defineCommand(program, 'worker', 'run a worker until told to stop; SIGTERM lets it finish the commits in flight', ['worker', 'worker --side legacy_db --copy-slots 8'])
    .option('--side <connection>', 'serve this side of staged datasets (repeatable; default: every connection there is)', repeated)
    .option('--copy-slots <n>', 'copy activities at the same time', wholeNumber(1))
    .action((options: WorkerOptions) => runSession(options, (session) => work(session, options)));
}

async function work(session: Session, options: WorkerOptions): Promise<number> {
  const { color, marks } = session.terminal;
  const door = await session.doorWithRunningTemporal({ logLevel: 'info' });
  const temporal = await door.temporal();
  const interrupted = interruption(session);
  const worker = await door.startWorker({ sides: options.side, copySlots: options.copySlots });
  session.tell(`${color.green(marks.ok)} Serving ${worker.queues.join(', ')}`, `${color.dim('Temporal')}  ${temporal.address}, namespace ${temporal.namespace}`, color.dim('Ctrl-C or SIGTERM stops after the commits in flight.'));
  session.printJson({ queues: worker.queues, address: temporal.address, namespace: temporal.namespace });
  const told = new Promise<void>((resolve) => {
    if (interrupted.signal.aborted) resolve();
    else interrupted.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([told, worker.failed]);
  session.tell('Stopping after the commits in flight.');
  await worker.stop();
  return EXIT.complete;
}

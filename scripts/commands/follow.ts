import { createInterface } from 'node:readline/promises';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { MigrationError } from '../../migration/errors';
import { UPDATES, type BlockedStep, type RunProgress, type StepResolution } from '../../migration/protocol';
import type { Door } from '../../workers/door';
import { createLiveView, type LiveView } from '../terminal/live-view';
import { EXIT, ExitRequest } from './exit-codes';
import { viewOf } from './migration-view';
import type { OpenedRun } from './run-session';
import { actorOf, type Session } from './session';
import { failureOf, sendUpdate, throughOutages } from './temporal-calls';

const LOOK_EVERY_MS = 700;
/** Other datasets may still be at work when one is blocked: without a terminal the command leaves once nothing has changed for this long. */
const QUIET_MS = 4_000;
/** A run without news in the control store for this long is looked up in Temporal. */
const SILENT_MS = 8_000;

export interface FollowRequest {
  session: Session; door: Door; opened: OpenedRun; signal: AbortSignal; migration: string;
  /** Decides on a blocked step without asking; null leaves it to a person. */
  decide?: (blocked: BlockedStep) => StepResolution | null;
  /** Somebody else answers the gates: waiting at one needs nobody here. */
  answered?: boolean;
}

export type RunEnd<R> =
  | { kind: 'finished'; result: R }
  | { kind: 'needs_person'; view: RunProgress }
  | { kind: 'interrupted' };

/** The picture of the moment; it is replaced after a question was asked. */
interface Picture { live: LiveView }

/**
 * Shows the run until it ends, a person is needed, or the command is interrupted.
 * @throws MigrationError as the run failed with; ends the command with 4 when the run was cancelled or terminated.
 */
export async function follow<R>(request: FollowRequest): Promise<RunEnd<R>> {
  const { session, opened, signal } = request;
  const stop = new AbortController();
  const picture: Picture = { live: newView(session) };
  const interrupted = new Promise<RunEnd<R>>((resolve) => {
    const tell = (): void => resolve({ kind: 'interrupted' });
    if (signal.aborted) tell();
    else signal.addEventListener('abort', tell, { once: true });
  });
  const races: Promise<RunEnd<R>>[] = [finished<R>(request, picture, stop.signal), interrupted, watch<R>(request, picture, stop.signal)];
  // A worker that ends by itself must not leave the command waiting for ever.
  if (opened.worker) races.push(opened.worker.failed);
  try {
    const end = await Promise.race(races);
    const view = end.kind === 'finished' ? await look(request) : null;
    if (view) picture.live.show(view);
    return end;
  } finally {
    stop.abort();
    picture.live.end();
  }
}

function newView(session: Session): LiveView {
  const footer = ['', session.terminal.color.dim('Ctrl-C stops after the commits in flight; the same command goes on from there.')];
  return createLiveView({ terminal: session.terminal, stream: session.people, footer });
}

async function finished<R>({ session, opened, migration }: FollowRequest, picture: Picture, signal: AbortSignal): Promise<RunEnd<R>> {
  try {
    const result = await throughOutages(() => opened.handle.result() as Promise<R>, {
      signal,
      onOutage: (message) => picture.live.note(session.terminal.color.dim(message ?? 'Temporal is back.')),
    });
    return { kind: 'finished', result };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) {
      throw new MigrationError('INTERNAL', `Temporal no longer knows the run of ${migration}: its database was deleted or replaced. The migration's own records are safe: start it again.`);
    }
    if (!(error instanceof WorkflowFailedError)) throw error;
    const failure = failureOf(error);
    if (failure) throw failure;
    picture.live.end();
    session.tell('', `${migration} was cancelled. The rows written so far stay; the same command again goes on.`);
    session.printJson({ migration, status: 'cancelled', exitCode: EXIT.undone });
    throw new ExitRequest(EXIT.undone);
  }
}

/** Draws until told to stop; answers only when a person is needed and none is here. */
async function watch<R>(request: FollowRequest, picture: Picture, stop: AbortSignal): Promise<RunEnd<R>> {
  const { session } = request;
  const canAsk = session.terminal.interactive && process.stdin.isTTY;
  let seen = '';
  let changedAt = Date.now();
  let silentSince = Date.now();
  const told = new Set<string>();
  while (!stop.aborted) {
    const view = await look(request);
    if (stop.aborted) break;
    if (view) {
      picture.live.show(view);
      const version = JSON.stringify([view.progress?.version, view.status, view.blocked]);
      if (version !== seen) changedAt = Date.now();
      seen = version;
      if (view.status === 'blocked' || (view.status === 'waiting_for_approval' && !request.answered)) {
        if (await decideAlone(request, view)) seen = '';
        else if (canAsk) {
          picture.live.end();
          if ((await ask(request, view)) === 'leave') return { kind: 'needs_person', view };
          picture.live = newView(session);
        } else if (Date.now() - changedAt > QUIET_MS) return { kind: 'needs_person', view };
      }
    }
    if (view) silentSince = Date.now();
    else if (Date.now() - silentSince > SILENT_MS) {
      for (const reason of await hindrances(request)) {
        if (!told.has(reason)) picture.live.note(session.terminal.color.yellow(`${session.terminal.marks.warning} ${reason}`));
        told.add(reason);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return new Promise<RunEnd<R>>(() => undefined);
}

/** Why a run that says nothing does not get on: activities that fail and are tried again, such as an admission that cannot reach a system. */
async function hindrances({ opened }: FollowRequest): Promise<string[]> {
  try {
    const { raw } = await opened.handle.describe();
    return (raw.pendingActivities ?? []).flatMap((one) => (one.lastFailure?.message ? [`${one.activityType?.name ?? 'a step'} is tried again: ${one.lastFailure.message}`] : []));
  } catch {
    return [];
  }
}

/** Whether a step was decided on without a person. */
async function decideAlone({ decide, opened, signal }: FollowRequest, view: RunProgress): Promise<boolean> {
  let any = false;
  for (const blocked of view.blocked) {
    const resolution = decide?.(blocked);
    // Refused when it was decided on since the look: the next look will tell.
    if (resolution) any = await sendUpdate(opened.handle, UPDATES.resolveStep, resolution, { signal }).then(() => true, () => true);
  }
  return any;
}

/** This run's state in the control store; null before it is admitted, or while the store cannot be reached. */
async function look({ door, opened, migration }: FollowRequest): Promise<RunProgress | null> {
  try {
    const status = (await door.status(migration)).migrations.find((one) => one.migration === migration);
    return status && status.firstRunId === opened.firstRunId ? viewOf(status) : null;
  } catch (error) {
    // The run itself retries or blocks when a system is away; the picture waits.
    if (error instanceof MigrationError) return null;
    throw error;
  }
}

/** Asks the person at the terminal about what blocks, and carries the answers out. */
async function ask(request: FollowRequest, view: RunProgress): Promise<'asked' | 'leave'> {
  const { session, opened, signal } = request;
  const asker = createInterface({ input: process.stdin, output: session.people });
  // Raw keys do not reach the process as a signal while a question is open.
  asker.on('SIGINT', () => process.emit('SIGINT'));
  const question = async (text: string): Promise<string> => (await asker.question(text, { signal })).trim().toLowerCase();
  try {
    for (const gate of view.waitingFor) {
      const answer = await question(`\nApprove ${gate}? [y = yes, q = leave] `);
      if (!answer.startsWith('y')) return 'leave';
      await carryOut(request, opened, UPDATES.approve, { gate, by: actorOf({}) });
    }
    for (const blocked of view.blocked) {
      const resolution = await askAbout(blocked, question);
      if (!resolution) return 'leave';
      await carryOut(request, opened, UPDATES.resolveStep, resolution);
    }
    return 'asked';
  } catch (error) {
    if (signal.aborted) return 'asked';
    throw error;
  } finally {
    asker.close();
  }
}

async function askAbout(blocked: BlockedStep, question: (text: string) => Promise<string>): Promise<StepResolution | null> {
  const choices = blocked.skippable ? 'r = try again, s = skip, a = abort, q = leave it' : 'r = try again, a = abort, q = leave it';
  for (;;) {
    const answer = (await question(`\n${blocked.step} is blocked. [${choices}] `)).charAt(0);
    if (answer === 'q') return null;
    if (answer === 'r') return { action: 'retry', step: blocked.step, by: actorOf({}) };
    if (answer === 's' && blocked.skippable) return { action: 'skip', step: blocked.step, by: actorOf({}) };
    if (answer === 'a') return { action: 'abort', step: blocked.step, by: actorOf({}) };
  }
}

async function carryOut({ session, signal }: FollowRequest, opened: OpenedRun, update: string, argument: object): Promise<void> {
  const { color, marks } = session.terminal;
  const said = await sendUpdate(opened.handle, update, argument, { signal }).then((answer) => `${color.green(marks.ok)} ${answer}`, (error: Error) => `${color.yellow(marks.warning)} ${error.message}`);
  session.tell(said, '');
}

import { setTimeout as sleep } from 'node:timers/promises';
import { isMigrationError } from '../../migration/errors';
import type { MigrationResult } from '../../migration/protocol';
import type { MigrationStatus } from '../../workers/door';
import { createLiveView } from '../terminal/live-view';
import { EXIT, exitCodeOfStatus } from './exit-codes';
import { follow, type FollowRequest, type RunEnd } from './follow';
import { findStatus, isFinal, requireMigration, viewOf } from './migration-view';
import { shellWord, type Session } from './session';
import { closedHere } from './temporal-calls';

const LOOK_EVERY_MS = 1_000;

/**
 * Like `follow`, for a migration: one that a rollback takes over is shown until the rollback has ended or needs a person, and everything is said then.
 * A worker in this process has to serve until that.
 */
export async function followMigration(request: FollowRequest): Promise<RunEnd<MigrationResult> | { kind: 'taken_over'; exitCode: number }> {
  const { session, door, opened, migration, signal } = request;
  const ended = new AbortController();
  const taken = new AbortController();
  // What goes wrong with these looks, those of `follow` meet as well and tell.
  const watching = awaitRollback(request, AbortSignal.any([ended.signal, signal])).then((came) => void (came && taken.abort()), () => undefined);
  try {
    const end = await follow<MigrationResult>({ ...request, signal: AbortSignal.any([signal, taken.signal]) });
    const over = end.kind === 'interrupted' ? taken.signal.aborted && !signal.aborted : end.kind === 'finished' && end.result.status === 'rolled_back';
    if (!over) return end;
  } catch (error) {
    if (!isMigrationError(error) || error.code !== 'LEASE_LOST' || (await requireMigration(door, migration)).phase !== 'rollback') throw error;
  } finally {
    ended.abort();
    await watching;
  }
  const showing = showRollback(request);
  const status = await (opened.worker ? Promise.race([showing, opened.worker.failed]) : showing);
  // The record is ahead of the workflows: without this worker neither the run nor the rollback would come to its end in Temporal.
  if (opened.worker) await closedHere((await door.temporal()).client, opened.worker.queues, [opened.workflowId, ...(isFinal(status.status) ? [status.workflowId] : [])], signal);
  return { kind: 'taken_over', exitCode: tellEnd(session, status) };
}

/** Whether a rollback has taken the migration from the run that is shown; looks until told to stop. What is on record before the run was admitted is of others. */
async function awaitRollback({ door, opened, migration }: FollowRequest, stop: AbortSignal): Promise<boolean> {
  for (let admitted = false; !stop.aborted;) {
    const status = await findStatus(door, migration);
    const ours = status?.firstRunId === opened.firstRunId;
    if (admitted && !ours && status?.phase === 'rollback') return true;
    admitted ||= ours;
    await sleep(LOOK_EVERY_MS, undefined, { signal: stop }).catch(() => undefined);
  }
  return false;
}

/** Shows the rollback until it has ended, needs a person, or the command is interrupted. */
async function showRollback({ session, door, migration, signal }: FollowRequest): Promise<MigrationStatus> {
  const { color, marks } = session.terminal;
  let status = await requireMigration(door, migration);
  session.tell('', `${color.yellow(marks.warning)} A rollback has taken ${migration} over (workflow ${status.workflowId}); showing it.`, ...(status.uiLink ? [`${color.dim('Web UI')}  ${status.uiLink}`] : []), '');
  const live = createLiveView({ terminal: session.terminal, stream: session.people, footer: ['', color.dim('Ctrl-C ends the watching; the rollback goes on where a worker is.')] });
  for (;;) {
    live.show(viewOf(status));
    if (isFinal(status.status) || status.status === 'blocked' || signal.aborted) break;
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    status = (await findStatus(door, migration)) ?? status;
  }
  live.end();
  return status;
}

function tellEnd(session: Session, status: MigrationStatus): number {
  const { color, marks } = session.terminal;
  const { migration } = status;
  const goOn = `npx caravan rollback ${shellWord(migration)}`;
  const exitCode = isFinal(status.status) || status.status === 'blocked' ? exitCodeOfStatus(status.status) : EXIT.interrupted;
  if (status.status === 'rolled_back') session.tell('', rolledBackLine(session, status));
  else if (exitCode === EXIT.interrupted) session.tell('', `${migration} is being rolled back; go on with the command ${goOn} and the same tier.`);
  else session.tell('', `${color.red(marks.bad)} The rollback of ${migration} is ${status.status}: ${status.blocked.map(({ step, message }) => `${step}: ${message}`).join(' ') || (status.detail ?? 'see its workflow')}`, `Go on with: ${goOn} and the same tier.`);
  session.printJson({ ...status, exitCode });
  return exitCode;
}

/** For whoever watched a migration that was taken back. */
export function rolledBackLine({ terminal: { color, marks } }: Session, { migration, workflowId }: MigrationStatus): string {
  return `${color.yellow(marks.warning)} ${migration} was rolled back by workflow ${workflowId}. What was taken back: npx caravan report ${shellWord(migration)}. Starting the plan again begins anew.`;
}

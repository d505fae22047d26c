import { isMigrationError } from '../../migration/errors';
import type { MigrationResult } from '../../migration/protocol';
import { createLiveView } from '../terminal/live-view';
import { EXIT, exitCodeOfStatus } from './exit-codes';
import { follow, type FollowRequest, type RunEnd } from './follow';
import { isFinal, requireMigration, viewOf } from './migration-view';
import { shellWord } from './session';

const LOOK_EVERY_MS = 1_000;

/**
 * Like `follow`, for a migration: one that a rollback takes over is shown until the rollback has ended or needs a person, and everything is said then.
 * A worker in this process has to serve until that.
 */
export async function followMigration(request: FollowRequest): Promise<RunEnd<MigrationResult> | { kind: 'taken_over'; exitCode: number }> {
  try {
    const end = await follow<MigrationResult>(request);
    if (end.kind !== 'finished' || end.result.status !== 'rolled_back') return end;
  } catch (error) {
    if (!isMigrationError(error) || error.code !== 'LEASE_LOST' || (await requireMigration(request.door, request.migration)).phase !== 'rollback') throw error;
  }
  return { kind: 'taken_over', exitCode: await showRollback(request) };
}

async function showRollback({ session, door, migration, signal }: FollowRequest): Promise<number> {
  const { color, marks } = session.terminal;
  const goOn = `npx caravan rollback ${shellWord(migration)}`;
  let status = await requireMigration(door, migration);
  session.tell('', `${color.yellow(marks.warning)} A rollback has taken ${migration} over (workflow ${status.workflowId}); showing it.`, ...(status.uiLink ? [`${color.dim('Web UI')}  ${status.uiLink}`] : []), '');
  const live = createLiveView({ terminal: session.terminal, stream: session.people, footer: ['', color.dim('Ctrl-C ends the watching; the rollback goes on where a worker is.')] });
  for (;;) {
    live.show(viewOf(status));
    if (isFinal(status.status) || status.status === 'blocked' || signal.aborted) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    status = await requireMigration(door, migration).catch((error: unknown) => {
      if (isMigrationError(error) && error.kind === 'transient') return status;
      throw error;
    });
  }
  live.end();
  const exitCode = isFinal(status.status) || status.status === 'blocked' ? exitCodeOfStatus(status.status) : EXIT.interrupted;
  if (status.status === 'rolled_back') session.tell('', `${color.yellow(marks.warning)} ${migration} was rolled back by workflow ${status.workflowId}. What was taken back: npx caravan report ${shellWord(migration)}. Starting the plan again begins anew.`);
  else if (exitCode === EXIT.interrupted) session.tell('', `${migration} is being rolled back; go on with the command ${goOn} and the same tier.`);
  else session.tell('', `${color.red(marks.bad)} The rollback of ${migration} is ${status.status}: ${status.blocked.map(({ step, message }) => `${step}: ${message}`).join(' ') || (status.detail ?? 'see its workflow')}`, `Go on with: ${goOn} and the same tier.`);
  session.printJson({ ...status, exitCode });
  return exitCode;
}

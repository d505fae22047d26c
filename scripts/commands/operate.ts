import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { approvalText } from '../../migration/approval-text';
import { MigrationError } from '../../migration/errors';
import { runTaskQueue, UPDATES, type Approval, type PauseRequest, type StepResolution } from '../../migration/protocol';
import type { Door, MigrationStatus, RunningWorker, TemporalDoor } from '../../workers/door';
import { defineCommand, repeated } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { isFinal, requireMigration } from './migration-view';
import { onMigration } from './on-migration';
import { actorOf, shellWord, type CommonOptions, type Session } from './session';
import { parseSettings } from './step-settings';
import { findRun, pollersOf, sendUpdate, throughOutages, type LiveRun } from './temporal-calls';

type Deciding = CommonOptions & { by?: string; reason?: string };

/** A worker that was there a moment ago may be gone: after this long without an answer we serve the run ourselves. */
const ANSWER_WITHIN_MS = 10_000;

/** Adds `pause`, `resume` and `approve`. */
export function registerOperate(program: Command): void {
  decidingCommand(program, 'pause', 'stop a migration after its current commits, until it is resumed', ['pause customer-platform --reason "nightly backup"'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .action(onMigration<Deciding>((session, id, options) => send(session, id, UPDATES.pause, { by: actorOf(options), reason: options.reason } satisfies PauseRequest)));

  decidingCommand(program, 'resume', 'go on: after a pause, or by deciding on a blocked step', [
    'resume customer-platform', 'resume customer-platform --set batch_size=1000', 'resume customer-platform --step rows:users --skip --reason "known difference"',
  ])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--step <step>', 'the blocked step; needed only when several are blocked')
    .option('--skip', 'leave the blocked step out')
    .option('--abort', 'end the migration; what happens to its rows is in the plan (on_abort)')
    .option('--set <name=value>', 'try again with another setting: batch_size, checkpoint_interval, parallel_workers, repair, changed_rows, from_backup (repeatable)', repeated)
    .action(onMigration<Deciding & Resume>(resume));

  decidingCommand(program, 'approve', 'open a gate of the plan', ['approve customer-platform go_live --by "Ada Lovelace" --role data_owner'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .argument('[gate]', 'gate of the plan (default: the one the run waits for)')
    .option('--role <role>', 'in which role')
    .option('--evidence <text>', 'a link or words that back it')
    .option('--key <file>', 'sign it with this Ed25519 private key (PEM)')
    .option('--signature <base64>', 'a signature that was made elsewhere, over what --text prints')
    .option('--text', 'print what a signature has to sign, and approve nothing')
    .action((id: string | undefined, gate: string | undefined, options: Approving) => onMigration<Approving>((session, named) => approve(session, named, gate, options))(id, options));
}

function decidingCommand(program: Command, name: string, description: string, examples: string[]): Command {
  return defineCommand(program, name, description, examples)
    .option('--by <name>', 'who decides (default: the name of this account)')
    .option('--reason <text>', 'why, for the record');
}

interface Resume { step?: string; skip?: boolean; abort?: boolean; set?: string[] }

async function resume(session: Session, id: string, options: Deciding & Resume): Promise<number> {
  if (options.skip && options.abort) throw new UsageError('--skip and --abort exclude each other');
  const overrides = parseSettings(options.set ?? []);
  const settings = Object.keys(overrides).length > 0;
  if (settings && (options.skip || options.abort)) throw new UsageError('--set goes with trying again, not with --skip or --abort');
  return operate(session, id, (status) => {
    const by = actorOf(options);
    const decides = options.step !== undefined || options.skip || options.abort || settings;
    if (!decides && status.blocked.length === 0) return { update: UPDATES.resume, argument: { by, reason: options.reason } satisfies PauseRequest };
    const action = options.skip ? 'skip' : options.abort ? 'abort' : 'retry';
    const argument: StepResolution = { action, by, ...(options.step ? { step: options.step } : {}), ...(options.reason ? { reason: options.reason } : {}), ...(settings ? { overrides } : {}) };
    return { update: UPDATES.resolveStep, argument, ends: action === 'abort' };
  });
}

type Approving = Deciding & { role?: string; evidence?: string; key?: string; signature?: string; text?: boolean };

async function approve(session: Session, id: string, gate: string | undefined, options: Approving): Promise<number> {
  if (options.key !== undefined && options.signature !== undefined) throw new UsageError('--key signs here, --signature brings a signature: give one of them');
  if (options.text) {
    const status = await requireMigration(await session.door(), id);
    session.print(textOf(status, approvalOf(id, gate, options, status)).trimEnd());
    return EXIT.complete;
  }
  return operate(session, id, (status) => {
    const approval = approvalOf(id, gate, options, status);
    const signature = options.key === undefined ? options.signature : signed(options.key, textOf(status, approval));
    return { update: UPDATES.approve, argument: { ...approval, ...(signature === undefined ? {} : { signature }) } satisfies Approval };
  });
}

function approvalOf(id: string, gate: string | undefined, options: Approving, status: MigrationStatus): Approval {
  const wanted = gate ?? /^gate (\S+)$/.exec(status.detail ?? '')?.[1];
  if (!wanted) throw new UsageError(`${id} waits for no approval now. Name the gate to open it beforehand: npx caravan approve ${shellWord(id)} GATE`);
  const { role, reason, evidence } = options;
  return { gate: wanted, by: actorOf(options), role, reason, ...(evidence === undefined ? {} : { evidence }) };
}

function textOf({ migration, planHash }: MigrationStatus, approval: Approval): string {
  return approvalText(migration, planHash, approval);
}

function signed(file: string, text: string): string {
  try {
    return sign(null, Buffer.from(text), createPrivateKey(readFileSync(file))).toString('base64');
  } catch (error) {
    throw new UsageError(`${file} cannot sign: ${(error as Error).message}. It must hold an Ed25519 private key in PEM form, without a passphrase.`);
  }
}

function send(session: Session, id: string, update: string, argument: object): Promise<number> {
  return operate(session, id, () => ({ update, argument }));
}

interface Order { update: string; argument: object; /** The run ends by it: wait for that. */ ends?: boolean }

/** Carries one order out on the live run of a migration, and says who goes on with the work. */
async function operate(session: Session, id: string, order: (status: MigrationStatus) => Order): Promise<number> {
  const status = await requireMigration(await session.door(), id);
  if (isFinal(status.status) && status.status === 'complete') throw new UsageError(`${id} is complete: there is nothing to decide.`);
  const wanted = order(status);
  const door = await session.doorWithTemporal();
  const temporal = await door.temporal();
  const run = await throughOutages(() => findRun(temporal.client, status.workflowId));
  if (!run?.running) {
    const message = `no run of ${id} is under way. Starting it again goes on from its last commit: npx caravan run PLAN (or npx caravan start PLAN for workers elsewhere)`;
    if (session.json) session.printJson({ error: message, migration: id, exitCode: EXIT.blocked });
    session.print(`${session.terminal.color.yellow(session.terminal.marks.warning)} ${message.charAt(0).toUpperCase()}${message.slice(1)}`);
    return EXIT.blocked;
  }
  const { answer, worker } = await deliver({ door, temporal, run, migration: id, ...wanted });
  if (wanted.ends) await throughOutages(() => run.handle.result()).catch(() => undefined);
  await worker?.stop();
  session.print(`${session.terminal.color.green(session.terminal.marks.ok)} ${id}: ${answer}`);
  // The worker of this command was there for the answer alone.
  if (worker && !wanted.ends && wanted.update !== UPDATES.pause) session.print('No worker serves this run now; it goes on with: npx caravan run PLAN');
  session.printJson({ migration: id, answer, workerNeeded: worker !== null && !wanted.ends });
  return EXIT.complete;
}

interface Delivery extends Order { door: Door; temporal: TemporalDoor; run: LiveRun; migration: string }

/**
 * Sends the update. A workflow answers only while a worker serves it: where none does, on the queue of `caravan run`,
 * one is started here for the answer. @throws MigrationError `QUEUE_UNSERVED` when the run waits for workers elsewhere.
 */
async function deliver({ door, temporal, run, migration, update, argument }: Delivery): Promise<{ answer: string; worker: RunningWorker | null }> {
  const { pollers } = await throughOutages(() => pollersOf(temporal.client, run.queue));
  const answer = sendUpdate(run.handle, update, argument);
  if (pollers > 0) {
    const first = await Promise.race([answer, new Promise<null>((resolve) => setTimeout(() => resolve(null), ANSWER_WITHIN_MS))]);
    if (first !== null) return { answer: first, worker: null };
  }
  if (run.queue !== runTaskQueue(migration)) {
    answer.catch(() => undefined);
    throw new MigrationError('QUEUE_UNSERVED', `no worker answers on queue ${run.queue}, where this run is. Start one: npx caravan worker`);
  }
  answer.catch(() => undefined);
  const worker = await door.startWorker({ migration });
  try {
    return { answer: await answer, worker };
  } catch (error) {
    await worker.stop();
    throw error;
  }
}

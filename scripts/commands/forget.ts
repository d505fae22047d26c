import type { Command } from 'commander';
import type { ForgottenSubject, UndoData } from '../../migration/protocol';
import { countOf, formatCount } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import { defineCommand, repeated } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { listMigrations } from './migration-list';
import { onMigration } from './on-migration';
import { actorOf, shellWord, type CommonOptions, type Session } from './session';

interface ForgetOptions extends CommonOptions { undoData?: boolean; dataset?: string[]; key?: string[]; targetKey?: string[]; row?: string[]; yes?: boolean; by?: string; reason?: string }

/** Adds `forget [ID]`. */
export function registerForget(program: Command): void {
  defineCommand(program, 'forget', 'remove stored undo data, or all that is stored of one person', [
    'forget customer-platform', 'forget customer-platform --undo-data --yes', 'forget customer-platform --dataset users --key 4711 --reason "erasure request 812"',
  ])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--undo-data', 'remove before-images, conflicts and exported rows: a rollback may be impossible afterwards')
    .option('--dataset <name>', 'dataset that is meant (repeatable with --undo-data)', repeated)
    .option('--key <value>', 'key of the row in the source, as the database writes it; for a key of several columns repeat it in their order', repeated)
    .option('--target-key <value>', 'key of the row in the target, where it differs (repeatable)', repeated)
    .option('--row <number>', 'entry of the quarantine, by its number in "quarantine list" (repeatable)', repeated)
    .option('--yes', 'remove it: undo data cannot be brought back')
    .option('--by <name>', 'who decides (default: the name of this account)')
    .option('--reason <text>', 'why, for the record')
    .addHelpText('after', `
Without further options it shows what is kept, and until when. Undo data goes by itself when rollback.retention of the plan is over and a worker runs.
Rows in source and target are yours to remove, in the source first; what this command removes is Caravan's own record of them. Keys are never put on record.
Exit codes: 0 done, or nothing was there; 2 wrong use, or --yes is missing; 3 the migration still needs its undo data; 5 a system cannot be reached.`)
    .action(onMigration(forget, list));
}

async function forget(session: Session, id: string, options: ForgetOptions): Promise<number> {
  const one = options.key !== undefined || options.row !== undefined || options.targetKey !== undefined;
  if (one && options.undoData) throw new UsageError('--undo-data and --key or --row exclude each other');
  if (one) return forgetOne(session, id, options);
  return options.undoData ? forgetUndoData(session, id, options) : show(session, id);
}

function list(session: Session): Promise<number> {
  return listMigrations(session, async (migrations) => {
    const door = await session.door();
    const kept = await Promise.all(migrations.map(async ({ migration }) => ({ migration, ...(await door.keptUndo(migration)) })));
    return {
      columns: [{ title: 'migration' }, { title: 'undo data', align: 'right' }, { title: 'kept until' }],
      rows: kept.map((one) => [one.migration, formatCount(total(one.datasets)), one.until ?? '']),
      json: kept,
    };
  });
}

async function show(session: Session, id: string): Promise<number> {
  const kept = await (await session.door()).keptUndo(id);
  session.printJson({ migration: id, ...kept, exitCode: EXIT.complete });
  session.print(...undoTable(kept.datasets, session), '');
  if (total(kept.datasets) === 0) session.print(`${id} keeps no undo data.`);
  else session.print(kept.until === null ? 'It is kept while the migration goes on.' : `It is kept until ${kept.until}. To remove it now: npx caravan forget ${shellWord(id)} --undo-data --yes`);
  return EXIT.complete;
}

async function forgetUndoData(session: Session, id: string, options: ForgetOptions): Promise<number> {
  const door = await session.door();
  if (!options.yes) {
    session.tell(...undoTable((await door.keptUndo(id)).datasets, session), '');
    throw new UsageError('undo data cannot be brought back, and without it a rollback may be refused: say --yes to remove it');
  }
  const gone = await door.forgetUndo({ migration: id, by: actorOf(options), ...(options.dataset ? { datasets: options.dataset } : {}), ...(options.reason === undefined ? {} : { reason: options.reason }) });
  session.print(...undoTable(gone.filter((one) => total([one]) > 0), session), `${session.terminal.color.green(session.terminal.marks.ok)} ${countOf(total(gone), 'row')} of undo data removed`);
  session.printJson({ migration: id, removed: gone.map(({ dataset, images, conflicts, exports }) => ({ dataset, images, conflicts, exports })), exitCode: EXIT.complete });
  return EXIT.complete;
}

async function forgetOne(session: Session, id: string, options: ForgetOptions): Promise<number> {
  const [dataset, ...others] = options.dataset ?? [];
  if (dataset === undefined || others.length > 0) throw new UsageError('say whose row it is: one --dataset');
  if (options.targetKey && !options.key) throw new UsageError('--target-key goes with --key');
  if (options.row?.some((row) => !/^\d{1,18}$/.test(row))) throw new UsageError('--row takes a number of "caravan quarantine list"');
  const gone = await (await session.door()).forgetSubject({
    migration: id, dataset, key: options.key ?? [], rows: options.row ?? [], by: actorOf(options),
    ...(options.targetKey ? { targetKey: options.targetKey } : {}), ...(options.reason === undefined ? {} : { reason: options.reason }),
  });
  session.printJson({ migration: id, dataset, ...gone, exitCode: EXIT.complete });
  session.print(...forgottenLines(gone, session));
  return EXIT.complete;
}

function forgottenLines(gone: ForgottenSubject, { terminal: { color, marks } }: Session): string[] {
  const parts = ([['before-image', gone.images], ['merged key', gone.keys], ['conflict', gone.conflicts], ['exported row', gone.exports], ['difference', gone.differences], ['quarantine entry', gone.quarantined]] as const)
    .filter(([, count]) => count > 0).map(([what, count]) => (what === 'quarantine entry' ? `${formatCount(count)} quarantine ${count === 1 ? 'entry' : 'entries'} emptied` : countOf(count, what)));
  return [
    parts.length > 0 ? `${color.green(marks.ok)} removed: ${parts.join(', ')}` : `${color.dim(marks.none)} nothing is kept under this key (keys are compared as the database writes them)`,
    ...(gone.boundaries > 0 ? [`${color.yellow(marks.warning)} the key marks a boundary of ${countOf(gone.boundaries, 'split')} and stays there until the dataset is copied anew`] : []),
    ...gone.backups.map((one) => `${color.yellow(marks.warning)} a backup of ${one.connection} (${one.side}, ${one.takenAt}) may hold the row: ${one.place} on ${one.host}`),
    color.dim('The row in source and target is yours to remove, in the source first.'),
  ];
}

function undoTable(data: readonly UndoData[], { terminal }: Session): string[] {
  if (data.length === 0) return [];
  return renderTable(
    [{ title: 'dataset' }, { title: 'before-images', align: 'right' }, { title: 'conflicts', align: 'right' }, { title: 'exported rows', align: 'right' }, { title: '' }],
    data.map((one) => [one.dataset, formatCount(one.images), formatCount(one.conflicts), formatCount(one.exports), one.purgedAt === null ? '' : `removed ${one.purgedAt}`]), terminal.color.dim);
}

function total(data: readonly UndoData[]): number {
  return data.reduce((sum, { images, conflicts, exports }) => sum + images + conflicts + exports, 0);
}

import type { Command } from 'commander';
import type { QuarantineSelection, QuarantinedRow } from '../../workers/door';
import { countOf, formatCount } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import { fitText, visibleText } from '../terminal/text-width';
import { defineCommand, repeated, wholeNumber } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { listMigrations } from './migration-list';
import { onMigration } from './on-migration';
import { actorOf, runSession, shellWord, type CommonOptions, type Session } from './session';

interface Selecting extends CommonOptions { dataset?: string; rule?: string; row?: string[]; by?: string; reason?: string; all?: boolean; state?: string; limit?: number }

const LIMIT_DEFAULT = 50;
const STATES = ['open', 'replayed', 'waived', 'gone'] as const;

/** Adds `quarantine list | replay | waive`. */
export function registerQuarantine(program: Command): void {
  const quarantine = program.command('quarantine').description('rows that may not be written: list them, write them after a fix, or accept that they stay behind');
  selecting(quarantine, 'list', 'list the rows and why they are there, without id the migrations; content is masked', ['quarantine list customer-platform', 'quarantine list customer-platform --dataset users --rule format:email'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--state <state>', `one of ${STATES.join(', ')}`, 'open')
    .option('--limit <n>', 'rows to show', wholeNumber(1), LIMIT_DEFAULT)
    .action((id: string | undefined, options: Selecting) => runSession(options, (session) => list(session, id, options)));
  selecting(quarantine, 'replay', 'write rows again that can be written now: after a fix of source, rule or target', ['quarantine replay customer-platform --dataset users'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('--by <name>', 'who decides (default: the name of this account)')
    .action(onMigration(replay, listOpen));
  selecting(quarantine, 'waive', 'accept that rows stay behind', ['quarantine waive customer-platform --rule format:email --reason "test accounts" --by "Ada Lovelace"'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--by <name>', 'who decides (default: the name of this account)')
    .option('--all', 'every open row of the migration')
    .action(onMigration(waive, listOpen));
}

function selecting(parent: Command, name: string, description: string, examples: string[]): Command {
  return defineCommand(parent, name, description, examples)
    .option('--dataset <name>', 'only rows of this dataset')
    .option('--rule <rule>', 'only rows that this rule refused, such as required or format:email')
    .option('--row <number>', 'only this row, by its number in the list (repeatable)', repeated);
}

function selectionOf(migration: string, options: Selecting): QuarantineSelection {
  return { migration, ...(options.dataset ? { dataset: options.dataset } : {}), ...(options.rule ? { rule: options.rule } : {}), ...(options.row ? { ids: options.row } : {}) };
}

async function list(session: Session, id: string | undefined, options: Selecting): Promise<number> {
  const state = STATES.find((one) => one === options.state);
  if (!state) throw new UsageError(`--state takes one of ${STATES.join(', ')}, not "${options.state ?? ''}"`);
  const door = await session.door();
  if (id === undefined) return listOpen(session);
  const limit = options.limit ?? LIMIT_DEFAULT;
  // One more than is shown tells whether there are more.
  const found = await door.quarantineList({ ...selectionOf(id, options), state, limit: limit + 1 });
  const rows = found.slice(0, limit);
  const { color, marks, columns } = session.terminal;
  if (rows.length === 0) session.print(`${color.green(marks.ok)} No ${state} rows in quarantine.`);
  else {
    const cells = rows.map((row) => [row.id, row.dataset, visibleText((row.key ?? []).join(', ')) || '-', reasonsOf(row), row.decidedBy ? `by ${row.decidedBy}: ${row.decidedReason ?? ''}` : '']);
    const reasonRoom = Math.max(24, columns - 50);
    session.print(...renderTable(
      [{ title: 'row', align: 'right' }, { title: 'dataset' }, { title: 'key' }, { title: 'reasons' }, { title: state === 'open' ? '' : 'decided' }],
      cells.map((row) => row.map((cell, index) => (index === 3 ? fitText(cell, reasonRoom, marks.ellipsis) : cell))), color.dim));
    if (found.length > limit) session.print(color.dim(`and more; --limit ${limit * 2} shows them`));
    if (state === 'open') session.print('', ...[`After a fix:     npx caravan quarantine replay ${shellWord(id)}`, `To accept them:  npx caravan quarantine waive ${shellWord(id)} --reason TEXT`].map(color.dim));
  }
  session.printJson({ migration: id, rows, more: found.length > limit });
  return EXIT.complete;
}

/** Without an ID: where anything is open. */
function listOpen(session: Session): Promise<number> {
  return listMigrations(session, (migrations) => Promise.resolve({
    columns: [{ title: 'migration' }, { title: 'open rows', align: 'right' }],
    rows: migrations.map((one) => [one.migration, formatCount(one.progress?.openQuarantine ?? 0)]),
    json: migrations.map((one) => ({ migration: one.migration, open: one.progress?.openQuarantine ?? null })),
  }));
}

function reasonsOf(row: QuarantinedRow): string {
  return row.reasons.map((reason) => (reason.column ? `${reason.column}: ${reason.rule}` : reason.rule)).join('; ');
}

async function replay(session: Session, id: string, options: Selecting): Promise<number> {
  const { color, marks } = session.terminal;
  const answer = await (await session.door()).quarantineReplay(selectionOf(id, options), actorOf(options));
  session.print(`${color.green(marks.ok)} ${countOf(answer.replayed, 'row')} written`);
  if (answer.stillRefused > 0) session.print(`${color.yellow(marks.warning)} ${countOf(answer.stillRefused, 'row')} still refused: npx caravan quarantine list ${shellWord(id)}`);
  if (answer.gone > 0) session.print(`${color.dim(marks.none)} ${countOf(answer.gone, 'row')} no longer in the source`);
  session.printJson({ migration: id, ...answer });
  return EXIT.complete;
}

async function waive(session: Session, id: string, options: Selecting): Promise<number> {
  if (!options.all && !options.dataset && !options.rule && !options.row) throw new UsageError('say which rows: --dataset, --rule or --row; or --all for every open row');
  const waived = await (await session.door()).quarantineWaive(selectionOf(id, options), actorOf(options), options.reason ?? '');
  session.print(`${session.terminal.color.green(session.terminal.marks.ok)} ${countOf(waived, 'row')} waived by ${actorOf(options)}`);
  session.printJson({ migration: id, waived });
  return EXIT.complete;
}

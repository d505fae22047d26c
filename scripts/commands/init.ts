import { existsSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { proposePlan } from '../../migration/plan/propose';
import type { ConnectionInventory, InventoryTable } from '../../workers/door';
import { countOf, formatBytes } from '../terminal/quantities';
import { defineCommand } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { runSession, shellWord, type CommonOptions, type Session } from './session';

interface InitOptions extends CommonOptions { source: string; target: string; output?: string; name?: string; force?: boolean }

/** Adds `init`. */
export function registerInit(program: Command): void {
  defineCommand(program, 'init', 'write a plan for all that a source holds, from a live inventory', ['init --source legacy_db --target new_db -o plan.yaml'])
    .requiredOption('--source <connection>', 'connection that holds the rows')
    .requiredOption('--target <connection>', 'connection that receives them')
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .option('--name <migration>', 'name of the migration (default: SOURCE-to-TARGET)')
    .option('--force', 'overwrite the file')
    .action((options: InitOptions) => runSession(options, (session) => init(session, options)));
}

async function init(session: Session, options: InitOptions): Promise<number> {
  const { source, target, output } = options;
  if (output && existsSync(output) && !options.force) throw new UsageError(`${output} exists. Choose another file, or overwrite it with --force.`);
  const door = await session.door();
  const migration = options.name ?? `${source}-to-${target}`;
  // The target is only asked whether it is there: a wrong name or password should show now.
  const [inventory] = await Promise.all([door.inventory(source), door.inventory(target)]);
  const stored = inventory.tables.filter(({ kind }) => kind === 'table' || kind === 'partitioned');
  const movable = stored.filter(({ obstacle }) => obstacle === null);
  const stuck = stored.flatMap(({ schema, table, obstacle }) => (obstacle === null ? [] : [{ what: 'table', name: `${schema}.${table}`, reason: obstacle }]));
  const leftOut = [...stuck, ...inventory.objects.left];
  const text = proposePlan({ migration, source, target, tables: movable.map((table) => proposed(table, inventory)), objects: inventory.objects.carried, leftOut });
  if (output) writeFileSync(output, text, { flag: options.force ? 'w' : 'wx' });
  session.printJson({ migration, file: output ?? null, tables: inventory.tables.length, problems: inventory.problems, ...(output ? {} : { plan: text }) });
  if (!output) {
    if (!session.json) process.stdout.write(text);
    return EXIT.complete;
  }
  const { color, marks } = session.terminal;
  const rows = inventory.tables.reduce((sum, table) => sum + Math.max(0, table.rowsEstimate), 0);
  const bytes = inventory.tables.reduce((sum, table) => sum + table.bytes, 0);
  const word = shellWord(output);
  session.print(
    `${color.green(marks.ok)} ${output}: ${countOf(inventory.tables.length, 'table')} of ${source}, about ${countOf(rows, 'row')}, ${formatBytes(bytes)}`,
    ...inventory.problems.map((problem) => `${color.yellow(marks.warning)} ${problem.place}: ${problem.message}`),
    '', 'Next', `  npx caravan check ${word} --connect`, `  npx caravan preview ${word}`, `  npx caravan run ${word}`,
  );
  return EXIT.complete;
}

type ProposedTable = Parameters<typeof proposePlan>[0]['tables'][number];

function proposed(table: InventoryTable, inventory: ConnectionInventory): ProposedTable {
  const full = `${table.schema}.${table.table}`;
  return {
    schema: table.schema,
    name: table.table,
    rowsEstimate: table.rowsEstimate,
    bytes: table.bytes,
    columns: table.columns.map(({ name, type, nullable }) => ({ name, type, nullable })),
    key: table.key,
    foreignKeys: table.foreignKeys.map((one) => ({ columns: one.columns, refSchema: one.schema, refTable: one.table })),
    // The plan says by itself what a missing key means.
    problems: inventory.problems.filter(({ place, message }) => place === full && !message.startsWith('has no usable key')).map(({ message }) => message),
  };
}

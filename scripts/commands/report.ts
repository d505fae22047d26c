import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { renderReport } from '../report/render';
import { shapeReport } from '../report/shape';
import { defineCommand } from './common-options';
import { EXIT } from './exit-codes';
import { requireMigration } from './migration-view';
import { runSession, type CommonOptions, type Session } from './session';
import { showList } from './status';

interface ReportOptions extends CommonOptions { output?: string }

/** Adds `report [ID]`. */
export function registerReport(program: Command): void {
  defineCommand(program, 'report', 'write what was migrated, quarantined and verified as one HTML page; holds no row values', ['report customer-platform -o report.html', 'report customer-platform --json'])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('-o, --output <file>', 'file to write (default: caravan-report-ID.html)')
    .action((id: string | undefined, options: ReportOptions) => runSession(options, (session) => (id === undefined ? showList(session) : report(session, id, options))));
}

async function report(session: Session, id: string, { output, json }: ReportOptions): Promise<number> {
  const door = await session.door();
  await requireMigration(door, id);
  const view = shapeReport(await door.report(id), new Date());
  session.printJson(view);
  // With --json alone the data is the report; -o asks for the page as well.
  if (json && !output) return EXIT.complete;
  const file = output ?? `caravan-report-${id}.html`;
  writeFileSync(file, renderReport(view));
  session.print(`${session.terminal.color.green(session.terminal.marks.ok)} ${file}`);
  return EXIT.complete;
}

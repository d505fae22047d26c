import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { trailFaults } from '../../migration/audit-trail';
import type { Plan } from '../../migration/plan/schema';
import type { Door } from '../../workers/door';
import { evidenceFaults, readEvidence, sealed, type Evidence } from '../report/evidence';
import { renderReport } from '../report/render';
import { renderRunbook } from '../report/runbook';
import { strategyHtml, strategyMarkdown } from '../report/render-strategy';
import { shapeReport } from '../report/shape';
import { shapeStrategy } from '../report/strategy';
import { defineCommand } from './common-options';
import { EXIT, UsageError } from './exit-codes';
import { requireMigration } from './migration-view';
import { onMigration } from './on-migration';
import type { CommonOptions, Session } from './session';
import { countOf } from '../terminal/quantities';

interface ReportOptions extends CommonOptions { output?: string; verify?: string | true; runbook?: boolean; strategy?: boolean }

/** Adds `report [ID]`. */
export function registerReport(program: Command): void {
  defineCommand(program, 'report', 'write what was migrated, quarantined and verified as one HTML page; holds no row values', [
    'report customer-platform -o report.html', 'report customer-platform --json', 'report customer-platform --verify report.html', 'report customer-platform --runbook -o runbook.md', 'report customer-platform --strategy -o strategy.html',
  ])
    .argument('[id]', 'name of the migration; without it the migrations are listed')
    .option('-o, --output <file>', 'file to write (default: caravan-report-ID.html)')
    .option('--runbook', 'write the runbook of the migration instead, as Markdown; a plan that was never started will do, by its file or name')
    .option('--strategy', 'write the strategy document instead, as Markdown or, for a file.html, as a page; a plan that was never started will do, by its file or name')
    .option('--verify [file]', 'check the audit trail for entries that were changed, removed or reordered, and a report of it that was written before')
    .action(onMigration<ReportOptions>((session, id, options) => {
      if (options.runbook) return runbook(session, id, options);
      if (options.strategy) return strategy(session, id, options);
      return options.verify === undefined ? report(session, id, options) : verify(session, id, options.verify);
    }));
}

async function report(session: Session, id: string, { output, json }: ReportOptions): Promise<number> {
  const door = await session.door();
  await requireMigration(door, id);
  const view = await evidenceOf(door, id);
  session.printJson(view);
  // With --json alone the data is the report; -o asks for the page as well.
  if (json && !output) return EXIT.complete;
  const file = output ?? `caravan-report-${id}.html`;
  writeFileSync(file, renderReport(view));
  session.print(`${session.terminal.color.green(session.terminal.marks.ok)} ${file}`);
  return EXIT.complete;
}

/** From the plan as it was admitted, else from a plan of that name or path. */
async function runbook(session: Session, id: string, { output }: ReportOptions): Promise<number> {
  const door = await session.door();
  const known = /\.(ya?ml|json)$/.test(id) ? [] : (await door.status(id)).migrations;
  const plan = known.length > 0 ? (await door.report(id)).plan : (await door.loadPlan(id)).plan;
  const text = renderRunbook(plan, plan.migration);
  session.printJson({ migration: plan.migration, runbook: text });
  if (output) writeFileSync(output, text);
  session.print(output ? `${session.terminal.color.green(session.terminal.marks.ok)} ${output}` : text.trimEnd());
  return EXIT.complete;
}

/** From what the control store knows; before the first start, from the plan and a look at its sources. */
async function strategy(session: Session, id: string, { output }: ReportOptions): Promise<number> {
  const door = await session.door();
  const known = /\.(ya?ml|json)$/.test(id) ? [] : (await door.status(id)).migrations;
  const data = known.length > 0 ? await door.report(id) : null;
  const plan = data?.plan ?? (await door.loadPlan(id)).plan;
  const shaped = shapeStrategy({ plan, data, sizes: data ? new Map() : await liveSizes(door, plan) }, new Date());
  session.printJson(shaped);
  const text = output?.endsWith('.html') ? strategyHtml(shaped) : strategyMarkdown(shaped);
  if (output) writeFileSync(output, text);
  session.print(output ? `${session.terminal.color.green(session.terminal.marks.ok)} ${output}` : text.trimEnd());
  return EXIT.complete;
}

/** Sizes of the source tables by dataset. A source that cannot be reached has none: the document says so. */
async function liveSizes(door: Door, plan: Plan): Promise<Map<string, { rows: number; bytes: number }>> {
  const sizes = new Map<string, { rows: number; bytes: number }>();
  for (const connection of new Set(Object.values(plan.datasets).map(({ source }) => source.connection))) {
    const tables = await door.inventory(connection).then((found) => found.tables, () => []);
    for (const [name, { source }] of Object.entries(plan.datasets)) {
      const wanted = source.table ?? name;
      const found = source.connection === connection && source.query === undefined ? tables.find(({ schema, table }) => wanted === `${schema}.${table}` || (schema === 'public' && wanted === table)) : undefined;
      if (found) sizes.set(name, { rows: found.rowsEstimate, bytes: found.bytes });
    }
  }
  return sizes;
}

async function evidenceOf(door: Door, id: string): Promise<Evidence> {
  const data = await door.report(id);
  const now = new Date();
  return sealed({ ...shapeReport(data, now), strategy: shapeStrategy({ plan: data.plan, data, sizes: new Map() }, now) });
}

/** Exit code 1 when anything is not as it was written. */
async function verify(session: Session, id: string, file: string | true): Promise<number> {
  const door = await session.door();
  await requireMigration(door, id);
  const { trail } = await door.report(id);
  const reported = file === true ? null : readEvidence(readFileSync(file, 'utf8'), file);
  if (reported && reported.migration !== id) throw new UsageError(`${String(file)} is a report of the migration ${reported.migration}, not of ${id}`);
  const faults = reported ? evidenceFaults(reported, trail) : trailFaults(trail).map(({ what }) => what);
  session.printJson({ migration: id, entries: trail.entries.length, unchained: trail.unchained, head: trail.head, faults });
  const { color, marks } = session.terminal;
  for (const fault of faults) session.print(`${color.red(marks.bad)} ${fault}`);
  if (faults.length > 0) return EXIT.unexpected;
  session.print(`${color.green(marks.ok)} ${countOf(trail.entries.length, 'entry', 'entries')} in the audit trail of ${id}: none changed, removed or reordered${reported ? '; the report is as it was made' : ''}`);
  if (trail.unchained > 0) session.print(`  ${countOf(trail.unchained, 'older entry', 'older entries')} from before the trail was chained cannot be verified`);
  return EXIT.complete;
}

/**
 * `npm run demo`: real servers, a legacy shop of a million rows, a whole migration, shown live in the Temporal Web UI and here.
 * The run is started like anybody would start it in the UI: type `migration`, queue `caravan`, the plan by its name.
 */
import { setMaxListeners } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, Option } from 'commander';
import { gateViews } from '../../migration/plan/life-view';
import { TASK_QUEUE, WORKFLOWS, type MigrationInput, type MigrationResult } from '../../migration/protocol';
import { EXIT } from '../commands/exit-codes';
import { follow, type RunEnd } from '../commands/follow';
import { interruption } from '../commands/interruption';
import { displayPath, runSession, type Session } from '../commands/session';
import { findRun, throughOutages } from '../commands/temporal-calls';
import { sealed } from '../report/evidence';
import { renderReport } from '../report/render';
import { shapeReport } from '../report/shape';
import { countOf, formatDuration } from '../terminal/quantities';
import { approveAsPeople } from './approver';
import { startDemoServers, type DemoServers } from './demo-servers';
import { renderDatasetTimes, renderOutcome, renderQuarantine, renderSteps } from './demo-summary';
import { FULL_SHOP, legacyShop, SMALL_SHOP } from './legacy-shop';
import { seedDatabase } from './seed-database';
import { untilEnter } from './until-enter';
import { isBack, renderWayBack, takeBack } from './way-back';

interface DemoOptions { rows: 'full' | 'small'; keep?: boolean; given?: boolean; report: string; rollback?: 'immediate' | 'full' }

const ROOT = path.join(__dirname, '..', '..');
/** That of `--rollback full` has mappings that can all be computed back. */
const planOf = ({ rollback }: Pick<DemoOptions, 'rollback'>): string => (rollback === 'full' ? 'shop-reversible' : 'shop');
const PLANS_FOLDER = path.join(ROOT, 'examples');

async function demo(session: Session, options: DemoOptions): Promise<number> {
  const { color, marks } = session.terminal;
  const begun = Date.now();
  const { signal } = interruption(session);
  session.print(color.bold('Caravan demo: a legacy shop moves to a new database'), '');
  const servers = await startDemoServers({
    given: options.given === true, signal,
    onUi: (link) => session.print(`${color.bold('Watch it in the Temporal Web UI:')}  ${color.cyan(link)}`, ''),
    onProgress: (line) => session.print(color.dim(line)),
  });
  session.onClose(() => servers.stop());
  const stopped = abortion(signal);

  const seeded = seedShop(session, servers, options);
  if ((await Promise.race([seeded, servers.failed, stopped])) === 'interrupted') return interruptedDemo(session);

  const door = await session.door({
    plansFolder: PLANS_FOLDER, stagingFolder: path.join(servers.folder, 'staging'), temporal: servers.temporal,
    env: { ...process.env, CARAVAN_CONNECTIONS: undefined, ...servers.connections }, connectionsFile: servers.connectionsFile,
  });
  const temporal = await door.temporal();
  const worker = await door.startWorker({});
  const name = planOf(options);
  const workflowId = `migration-${name}`;
  const handle = await temporal.client.workflow.start(WORKFLOWS.migration, {
    workflowId, taskQueue: TASK_QUEUE, args: [{ plan: name } satisfies MigrationInput],
    staticSummary: 'Legacy shop to the new platform',
  });
  const run = await throughOutages(() => findRun(temporal.client, workflowId));
  const link = temporal.workflowLink(workflowId);
  session.print('', `${color.green(marks.ok)} Started like in the UI: type ${WORKFLOWS.migration}, queue ${TASK_QUEUE}, input {"plan": "${name}"}`, ...(link ? [`  ${color.cyan(link)}`] : []), '');

  // A call that still waits for the run's end must not outlive the connection.
  const calls = new AbortController();
  // Every long poll listens to it.
  setMaxListeners(0, calls.signal);
  session.onClose(() => Promise.resolve(calls.abort()));
  const waited = Object.assign(Object.create(handle) as typeof handle, { result: () => temporal.client.withAbortSignal(calls.signal, () => handle.result()) });
  const { plan } = await door.loadPlan(name);
  void approveAsPeople({
    door, handle, migration: name, gates: gateViews(plan), signal: calls.signal,
    onApproved: ({ gate, by, role }) => session.print(`${color.green(marks.ok)} ${gate}  ${color.dim(`approved by the demo, in the place of ${by}${role ? `, ${role.replaceAll('_', ' ')}` : ''}`)}`),
  });
  const opened = { handle: waited, workflowId, firstRunId: run?.firstRunId ?? '', worker, link };
  const end = await Promise.race([follow<MigrationResult>({ session, door, opened, signal, migration: name, answered: true }), servers.failed]);
  let exitCode = await tellEnd(session, end, door, options, Date.now() - begun);
  if (exitCode === EXIT.interrupted) return exitCode;
  if (options.rollback && exitCode === EXIT.complete) exitCode = await demonstrateWayBack(session, temporal.client, servers, options.rollback);
  const waits = options.keep === true || (session.terminal.interactive && process.stdin.isTTY);
  if (waits) {
    session.print('', `${color.bold('The Web UI stays up:')} ${color.cyan(link ?? servers.temporal.address)}`, `Enter ends the demo${options.keep ? '' : ' and its servers'}.`);
    await Promise.race([untilEnter(signal), servers.failed]);
  }
  return exitCode;
}

/** Exit code 4, as of every rollback that came to its end. */
async function demonstrateWayBack(session: Session, client: Parameters<typeof takeBack>[0], servers: DemoServers, tier: 'immediate' | 'full'): Promise<number> {
  session.print('', session.terminal.color.bold(`The shop works on the new side for a moment; then everything is taken back (${tier}).`));
  const back = await Promise.race([takeBack(client, { legacy: servers.legacyUrl, new: servers.newUrl }, planOf({ rollback: tier }), tier), servers.failed]);
  session.print('', ...renderWayBack(back, session.terminal));
  return isBack(back) ? EXIT.undone : EXIT.unexpected;
}

async function seedShop(session: Session, servers: DemoServers, options: DemoOptions): Promise<'seeded'> {
  const { color, marks } = session.terminal;
  const begun = Date.now();
  session.print('');
  const rows = await seedDatabase(servers.legacyUrl, legacyShop(options.rows === 'small' ? SMALL_SHOP : FULL_SHOP), (label, made) => session.print(`${color.dim(marks.active)} ${label}${made > 0 ? color.dim(`  ${countOf(made, 'row')}`) : ''}`));
  await seedDatabase(servers.newUrl, [{ label: 'tables of the new database', sql: readFileSync(path.join(PLANS_FOLDER, 'shop-target.sql'), 'utf8') }], () => undefined);
  session.print(`${color.green(marks.ok)} The legacy shop has ${countOf(rows, 'row')}, made in ${formatDuration(Date.now() - begun)}`);
  return 'seeded';
}

/** Says how it ended and writes the report. */
async function tellEnd(session: Session, end: RunEnd<MigrationResult>, door: Awaited<ReturnType<Session['door']>>, options: DemoOptions, elapsedMs: number): Promise<number> {
  const { terminal } = session;
  if (end.kind === 'interrupted') return interruptedDemo(session);
  if (end.kind === 'needs_person') {
    session.print('', 'The run is blocked, and nobody is here to decide. On a terminal the demo would ask.');
    return EXIT.blocked;
  }
  const data = await door.report(planOf(options));
  session.print(
    '', ...renderOutcome(end.result, terminal),
    '', ...renderSteps(data.steps, terminal),
    '', ...renderQuarantine(data.quarantine, terminal),
    '', ...renderDatasetTimes(data, terminal),
  );
  mkdirSync(path.dirname(options.report), { recursive: true });
  writeFileSync(options.report, renderReport(sealed(shapeReport(data, new Date()))));
  session.print('', `${terminal.color.bold('Report')}  ${displayPath(options.report)}`, terminal.color.dim(`The whole demo took ${formatDuration(elapsedMs)}, servers and seeding included.`));
  return end.result.status === 'complete' && !isFailed(end.result) ? EXIT.complete : EXIT.undone;
}

function isFailed(result: MigrationResult): boolean {
  return [...result.checks, ...result.comparisons].some((one) => one.verdict === 'failed');
}

function interruptedDemo(session: Session): number {
  session.print('', 'Interrupted: the servers of the demo are stopped.');
  return EXIT.interrupted;
}

function abortion(signal: AbortSignal): Promise<'interrupted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('interrupted');
    else signal.addEventListener('abort', () => resolve('interrupted'), { once: true });
  });
}

const program = new Command('demo')
  .description('A whole migration of a generated legacy shop on real servers, shown live.')
  .addOption(new Option('--rows <size>', 'size of the legacy shop').choices(['full', 'small']).default('full'))
  .option('--keep', 'leave the Web UI up until Enter, also when this is no terminal')
  .option('--given', 'use the servers named by TEMPORAL_ADDRESS and CARAVAN_STACK_*_URL instead of own ones')
  .addOption(new Option('--rollback <tier>', 'take it back afterwards, with what was written on the new side meanwhile; exit code 4 then').choices(['immediate', 'full']))
  .option('--report <file>', 'HTML report to write', path.join(ROOT, '.caravan', 'demo', 'report.html'))
  .action((options: DemoOptions) => runSession({}, (session) => demo(session, options)));

void program.parseAsync(process.argv).finally(() => {
  // Native handles of a closed worker may linger; everything was closed, so they must not keep the process.
  setTimeout(() => process.exit(), 3_000).unref();
});

import type { Command } from 'commander';
import pc from 'picocolors';
import { doctor, renderDoctor } from './doctor';
import { environmentFile, stackDown, stackLogs, stackStatus, stackUp, type ServiceRecord, type ServiceStatus } from './persistent-stack';
import { StackError } from './stack-error';

const unexpected = 1;
const badUsage = 2;
const unavailable = 5;

/** Temporal's customary ports: its own tools look there by default. */
const temporalPort = 7233;
const temporalUiPort = 8233;

interface Output {
  json?: boolean;
}

/** Adds `stack up | down | status | logs | doctor` to the program. The stack belongs to the current folder. */
export function registerStackCommand(program: Command): void {
  const stack = program.command('stack').description('the local servers: Temporal and PostgreSQL, on this machine, without Docker');
  addUp(stack);
  addDown(stack);
  addStatus(stack);
  addLogs(stack);
  addDoctor(stack);
}

function addUp(stack: Command): void {
  stack
    .command('up')
    .description('start the servers; they run until "stack down"')
    .option('--postgres <names>', 'PostgreSQL clusters, separated by commas', 'legacy,new')
    .option('--no-postgres', 'start no PostgreSQL')
    .option('--no-temporal', 'start no Temporal')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  caravan stack up --postgres legacy,new\n  . .caravan/stack/env      # addresses and passwords for this shell')
    .action(async (options: Output & { postgres: string | false; temporal: boolean }, command: Command) => {
      const postgres = options.postgres === false ? [] : options.postgres.split(',').map((name) => name.trim());
      const wrong = postgres.find((name) => !/^[a-z][a-z0-9_-]*$/i.test(name));
      if (wrong !== undefined) command.error(`"${wrong}" is not a name for a cluster: use letters, digits, "-" and "_", with a letter first`, { exitCode: badUsage });
      await report(options, async () => {
        const onProgress = options.json ? undefined : (line: string): void => void process.stderr.write(`${line}\n`);
        const services = await stackUp(process.cwd(), { temporal: options.temporal, postgres, onProgress, preferredTemporalPort: temporalPort, preferredTemporalUiPort: temporalUiPort });
        const file = environmentFile(process.cwd());
        return { data: { services: services.map(withoutPassword), env_file: file }, text: `${renderServices(services)}\n\nAddresses and passwords: ${file}` };
      });
    });
}

function addDown(stack: Command): void {
  stack
    .command('down')
    .description('stop the servers that "stack up" started; their data stays')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  caravan stack down')
    .action((options: Output) =>
      report(options, async () => {
        const stopped = await stackDown(process.cwd());
        const names = stopped.map((record) => record.name);
        return { data: { stopped: names }, text: names.length > 0 ? `stopped: ${names.join(', ')}` : 'nothing was running' };
      }),
    );
}

function addStatus(stack: Command): void {
  stack
    .command('status')
    .description('show the servers and whether they answer')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  caravan stack status --json')
    .action((options: Output) =>
      report(options, async () => {
        const services = await stackStatus(process.cwd());
        const healthy = services.every(({ state }) => state !== 'not answering');
        return { data: { services: services.map(withoutPassword) }, text: services.length > 0 ? renderServices(services) : 'no stack here; start one with: caravan stack up', exitCode: healthy ? 0 : unavailable };
      }),
    );
}

function addLogs(stack: Command): void {
  stack
    .command('logs')
    .description('show the end of the logs')
    .argument('[name]', 'one server, e.g. temporal or legacy')
    .option('--lines <n>', 'lines per server', '50')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  caravan stack logs legacy --lines 20')
    .action(async (name: string | undefined, options: Output & { lines: string }, command: Command) => {
      const lines = Number(options.lines);
      if (!Number.isInteger(lines) || lines < 1) command.error(`--lines takes a whole number from 1, not "${options.lines}"`, { exitCode: badUsage });
      await report(options, async () => {
        const logs = stackLogs(process.cwd(), name, lines);
        return { data: { logs }, text: logs.map((log) => `${pc.bold(log.name)}  ${pc.dim(log.logFile)}\n${log.text}`).join('\n\n') || 'no logs yet' };
      });
    });
}

function addDoctor(stack: Command): void {
  stack
    .command('doctor')
    .description('show how each server would be had on this machine, and what is missing')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  caravan stack doctor')
    .action((options: Output) =>
      report(options, async () => {
        const services = await doctor();
        return { data: { services }, text: renderDoctor(services), exitCode: services.every(({ ok }) => ok) ? 0 : unavailable };
      }),
    );
}

/** Prints the result, or the error with its remedy, and sets the exit code. */
async function report({ json }: Output, work: () => Promise<{ data: object; text: string; exitCode?: number }>): Promise<void> {
  try {
    const { data, text, exitCode = 0 } = await work();
    process.stdout.write(`${json ? JSON.stringify(data, null, 2) : text}\n`);
    process.exitCode = exitCode;
  } catch (error) {
    const message = error instanceof StackError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (json) process.stdout.write(`${JSON.stringify({ error: message }, null, 2)}\n`);
    else process.stderr.write(`${pc.red('error:')} ${message}\n`);
    process.exitCode = error instanceof StackError ? unavailable : unexpected;
  }
}

function renderServices(services: ServiceStatus[]): string {
  const rows = services.map((service) => [service.name, service.state, withoutPassword(service).url, service.uiUrl ? `Web UI ${service.uiUrl}` : '']);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
}

/** Passwords are in files that only their owner reads, never on a terminal or in a CI log. */
function withoutPassword<T extends ServiceRecord>(record: T): T {
  if (record.service !== 'postgres') return record;
  const url = new URL(record.url);
  if (url.password) url.password = '***';
  return { ...record, url: url.href };
}

/** The `caravan` command: one module per subcommand in `commands/`, nothing but wiring here. */
import { Command, CommanderError } from 'commander';
import { version } from '../package.json';
import { registerCheck } from './commands/check';
import { EXIT } from './commands/exit-codes';
import { registerInit } from './commands/init';
import { registerNotBuilt } from './commands/not-built';
import { registerOperate } from './commands/operate';
import { registerPreview } from './commands/preview';
import { registerQuarantine } from './commands/quarantine';
import { registerReport } from './commands/report';
import { registerRun } from './commands/run';
import { registerStart } from './commands/start';
import { registerStatus } from './commands/status';
import { registerValidate } from './commands/validate';
import { registerWatch } from './commands/watch';
import { registerWorker } from './commands/worker';
import { registerStackCommand } from './stack';

/** The whole command line, in the order of a migration's life. */
export function buildProgram(): Command {
  const program = new Command('caravan')
    .description('Durable data migrations on Temporal.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text) })
    .addHelpText('after', `
Example:
  npx caravan init --source legacy_db --target new_db -o plan.yaml
  npx caravan check plan.yaml --connect
  npx caravan run plan.yaml

Connections: CARAVAN_CONNECTION_<NAME>=URL, or caravan.connections.yaml. Temporal: TEMPORAL_ADDRESS and its companions.
Exit codes: 0 complete, 1 unexpected, 2 bad usage or invalid plan, 3 blocked, 4 rolled back or aborted,
5 a system cannot be reached, 130 interrupted.`);
  for (const register of [
    registerInit, registerCheck, registerPreview, registerRun, registerStart, registerWorker, registerStatus, registerWatch,
    registerOperate, registerValidate, registerQuarantine, registerReport, registerNotBuilt, registerStackCommand,
  ]) register(program);
  withOwnExits(program);
  return program;
}

/** Usage errors throw instead of ending the process, and every command's hint names the help of that command. */
function withOwnExits(command: Command): void {
  command.exitOverride().showHelpAfterError(`Help: npx ${pathOf(command)} --help`);
  for (const sub of command.commands) withOwnExits(sub);
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** Runs one command line. The exit code is left in `process.exitCode`. */
export async function main(argv: string[]): Promise<void> {
  const program = buildProgram();
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.complete : EXIT.badUsage;
      return;
    }
    process.stderr.write(`${process.env['CARAVAN_DEBUG'] && error instanceof Error ? error.stack : error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = EXIT.unexpected;
  }
}

void main(process.argv).finally(() => {
  // Native handles of a closed worker may linger; everything was closed, so they must not keep the command.
  const timer = setTimeout(() => process.exit(), 3_000);
  timer.unref();
});

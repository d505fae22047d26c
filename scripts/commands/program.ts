import { Command } from 'commander';
import { version } from '../../package.json';
import { registerAmend } from './amend';
import { registerCheck } from './check';
import { registerForget } from './forget';
import { registerInit } from './init';
import { registerNotBuilt } from './not-built';
import { registerOperate } from './operate';
import { registerPreview } from './preview';
import { registerQuarantine } from './quarantine';
import { registerReport } from './report';
import { registerRollback } from './rollback';
import { registerRun } from './run';
import { registerStart } from './start';
import { registerStatus } from './status';
import { registerValidate } from './validate';
import { registerWatch } from './watch';
import { registerWorker } from './worker';
import { registerStackCommand } from '../stack';

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
    registerOperate, registerValidate, registerQuarantine, registerReport, registerAmend, registerRollback, registerForget, registerNotBuilt, registerStackCommand,
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

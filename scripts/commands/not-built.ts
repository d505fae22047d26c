import type { Command } from 'commander';
import { defineCommand } from './common-options';
import { UsageError } from './exit-codes';
import { runSession, type CommonOptions } from './session';

/** Commands that have their name and place but no work behind them yet: refused by name, exit code 2, instead of "unknown command". */
export function registerNotBuilt(program: Command): void {
  refused(program, 'sync', '<plan>', 'plan file or name', 'start or poke the sync of a parallel run',
    'Until it is: npx caravan validate ID --repair brings a target up to date with its source.');
}

function refused(program: Command, name: string, argument: string, argumentHelp: string, description: string, instead: string): void {
  defineCommand(program, name, `${description} (not built yet)`, [`${name} ${argument.replace(/[<>[\]]/g, '').toUpperCase()}`])
    .argument(argument, argumentHelp)
    .allowExcessArguments()
    .allowUnknownOption()
    .action((_: string | undefined, options: CommonOptions) => runSession(options, () => Promise.reject(new UsageError(`"${name}" is not built yet. ${instead}`))));
}

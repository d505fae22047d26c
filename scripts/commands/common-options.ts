import { InvalidArgumentError, type Command } from 'commander';

/** A subcommand with the options that all have, and an example at the end of its help. */
export function defineCommand(parent: Command, nameAndArguments: string, description: string, examples: string[]): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .option('--json', 'print one JSON document on standard output')
    .option('--connections <file>', 'YAML file of connections (default: CARAVAN_CONNECTIONS, then caravan.connections.yaml)')
    .addHelpText('after', `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${examples.map((example) => `  npx caravan ${example}`).join('\n')}`);
}

/** Parses a whole number from `min` on; commander turns the error into a usage error. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < min) throw new InvalidArgumentError(`It takes a whole number from ${min} on.`);
    return value;
  };
}

/** Adds one more value to a repeatable option. */
export function repeated(text: string, before: string[] = []): string[] {
  return [...before, text];
}

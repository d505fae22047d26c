/** The `caravan` command: runs one command line. The commands are in `commands/`, one module each. */
import { CommanderError } from 'commander';
import { EXIT } from './commands/exit-codes';
import { buildProgram } from './commands/program';

/** Runs one command line. The exit code is left in `process.exitCode`. */
async function main(argv: string[]): Promise<void> {
  const program = buildProgram();
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.complete : EXIT.badUsage;
      return;
    }
    const text = error instanceof Error ? (process.env['CARAVAN_DEBUG'] && error.stack) || error.message : String(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = EXIT.unexpected;
  }
}

void main(process.argv).finally(() => {
  // Native handles of a closed worker may linger; everything was closed, so they must not keep the command.
  const timer = setTimeout(() => process.exit(), 3_000);
  timer.unref();
});

import type { Command } from 'commander';
import { buildProgram } from '../../scripts/commands/program';

/** The help of a command as a person sees it, examples included. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

const program = buildProgram();
const leaves = program.commands.flatMap((command) => (command.commands.length > 0 ? command.commands : [command]));

test('the public commands are there, in the order of a migration', () => {
  expect(program.commands.map((command) => command.name())).toEqual([
    'init', 'check', 'preview', 'run', 'start', 'worker', 'status', 'watch', 'pause', 'resume', 'approve', 'validate', 'quarantine', 'report', 'amend', 'rollback', 'forget', 'sync', 'stack',
  ]);
});

test.each(leaves.map((command) => [`${command.parent?.name() ?? ''} ${command.name()}`, command] as const))('%s has --json, a description and an example', (_, command) => {
  const help = helpOf(command);
  expect(command.options.map((option) => option.long)).toContain('--json');
  expect(command.description()).not.toBe('');
  expect(help).toMatch(/Examples?:\n {2}(npx )?caravan /);
});

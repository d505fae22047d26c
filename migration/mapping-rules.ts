import { MigrationError } from './errors';
import { nearestName } from './mapping-names';
import type { ValidationPlan } from './plan/schema';
import type { Problem } from './protocol';
import type { CompiledRule, RuleCheck } from './rules/definition';
import { rowRules } from './rules/index';
import type { Column } from './value';

/** Row rules of the plan for the columns that are written, by column name; `problems` gains an entry for every rule that can never be judged. */
export function compileRules(validation: ValidationPlan, written: readonly Column[], target: readonly Column[], problems: Problem[]): Map<string, CompiledRule[]> {
  const compiled = new Map<string, CompiledRule[]>();
  const columnFor = (name: string, rule: string): Column | undefined => {
    const column = written.find((c) => c.name === name);
    if (column) return column;
    const exists = target.some((c) => c.name === name);
    problems.push({
      severity: 'error',
      place: `validation.${rule}: ${name}`,
      message: exists ? `the rule judges \`${name}\`, which nothing writes.` : `there is no target column \`${name}\`${nearestName(name, target.map((c) => c.name)) || '.'}`,
      remedy: exists ? `Map a source column to \`${name}\`, or take the rule out.` : 'Rules name target columns.',
    });
    return undefined;
  };
  const add = (name: string, rule: string, reason: string, compile: (column: Column) => RuleCheck | null): void => {
    const column = columnFor(name, rule);
    if (!column) return;
    try {
      const check = compile(column);
      if (check) compiled.set(name, [...(compiled.get(name) ?? []), { rule: reason, ...check }]);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      problems.push({ severity: 'error', place: `validation.${rule}: ${name}`, message: error.message });
    }
  };
  for (const name of validation.required) add(name, 'required', 'required', (column) => rowRules.required.compile!(true, column));
  for (const [name, format] of Object.entries(validation.formats)) add(name, 'formats', `format:${format}`, (column) => rowRules.formats.compile!(format, column));
  for (const [name, expression] of Object.entries(validation.pattern)) add(name, 'pattern', 'pattern', (column) => rowRules.pattern.compile!(expression, column));
  for (const [name, bounds] of Object.entries(validation.range)) add(name, 'range', 'range', (column) => rowRules.range.compile!(bounds, column));
  for (const [name, bounds] of Object.entries(validation.length)) add(name, 'length', 'length', (column) => rowRules.length.compile!(bounds, column));
  for (const [name, values] of Object.entries(validation.one_of)) add(name, 'one_of', 'one_of', (column) => rowRules.one_of.compile!(values, column));
  // Judged over the whole dataset later; here only that their columns are written.
  for (const names of validation.unique) for (const name of Array.isArray(names) ? names : [names]) columnFor(name, 'unique');
  for (const name of Object.keys(validation.references)) columnFor(name, 'references');
  return compiled;
}

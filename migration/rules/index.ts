/** All rules by the key they have under `validation`. A rule is added by adding one file and one line here. */
import type { RuleDefinition } from './definition';
import { formats } from './formats';
import { length } from './length';
import { oneOf } from './one-of';
import { pattern } from './pattern';
import { range } from './range';
import { required } from './required';

export type { CompiledRule, RuleCheck, RuleDefinition } from './definition';

/** Judged by one pass in the target after the load: no row can tell by itself. */
const unique: RuleDefinition = {
  name: 'unique',
  help: 'No two rows of the whole dataset have the same value; the row with the lowest source key stays, the others go to quarantine. NULLs never collide.',
  params: 'list of columns, or of lists of columns',
  scope: 'dataset',
};

/** Judged after all datasets of a group are loaded, before foreign keys are built. */
const references: RuleDefinition = {
  name: 'references',
  help: 'The value exists in another dataset after the load; other rows go to quarantine.',
  params: '`column: dataset.column`',
  scope: 'dataset',
};

export const rowRules = { required, formats, pattern, range, length, one_of: oneOf } as const;

export const ruleCatalog: Readonly<Record<string, RuleDefinition<never>>> = { ...rowRules, unique, references };

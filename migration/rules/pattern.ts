import { RE2JS } from 're2js';
import { textOfValue } from '../transform/text-form';
import { cannotJudge, passNull, type RuleDefinition } from './definition';

export const pattern: RuleDefinition<string> = {
  name: 'pattern',
  help: 'The whole text matches a regular expression (RE2 syntax: linear time, no look-around or back references).',
  params: '`column: expression`',
  scope: 'row',
  compile(expression, column) {
    if (column.kind === 'bytes') cannotJudge(`a ${column.type} column cannot be matched against a pattern.`);
    let compiled: RE2JS;
    try {
      compiled = RE2JS.compile(expression);
    } catch (error) {
      return cannotJudge(`\`${expression}\` is no regular expression in RE2 syntax: ${error instanceof Error ? error.message : 'unreadable'}.`);
    }
    return { check: passNull((value) => compiled.testExact(textOfValue(value))) };
  },
};

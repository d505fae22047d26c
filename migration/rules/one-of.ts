import { decimalParts, type DecimalParts } from '../transform/decimal-arithmetic';
import { literalValue, type Literal } from '../transform/literal';
import type { Column, Value } from '../value';
import { cannotJudge, passNull, type RuleDefinition } from './definition';

/** Equal decimals have equal texts. */
function decimalKey(value: string): string {
  const parts: DecimalParts | null = decimalParts(value);
  return parts === null ? value : `${parts.negative ? '-' : ''}${parts.digits}e${parts.exponent}`;
}

export const oneOf: RuleDefinition<readonly Literal[]> = {
  name: 'one_of',
  help: 'One of the listed values.',
  params: '`column: [value, ...]`',
  scope: 'row',
  compile(literals, column: Column) {
    if (column.kind === 'bytes' || column.kind === 'json') cannotJudge(`a ${column.type} column cannot be compared with a list.`);
    const allowed = new Set<Value>();
    for (const literal of literals) {
      const value = literalValue(literal, column.kind);
      if (value === undefined) cannotJudge(`\`${String(literal)}\` is no ${column.kind}.`);
      allowed.add(column.kind === 'decimal' ? decimalKey(value as string) : value ?? null);
    }
    if (column.kind === 'decimal') return { check: passNull((value) => allowed.has(value) || allowed.has(decimalKey(value as string))) };
    return { check: passNull((value) => allowed.has(value)) };
  },
};

import { MigrationError } from '../errors';
import type { Column, Value } from '../value';

/** One row rule compiled for one column. */
export interface RuleCheck {
  /** True when the value is allowed. NULL passes every rule but `required`. Never throws. */
  check: (value: Value) => boolean;
  /** Only NULL or not NULL matters: the value need not be decoded. */
  nullOnly?: boolean;
  /**
   * The same judgement on the UTF-8 bytes `[start, end)` of a text that is not NULL, without decoding it.
   * Undefined: these bytes do not decide it, decode and ask `check`.
   */
  checkBytes?: (bytes: Uint8Array, start: number, end: number) => boolean | undefined;
}

/** A rule check with its name in reasons: `required`, `format:email`, `fits:varchar(20)`. */
export interface CompiledRule extends RuleCheck { rule: string }

export interface RuleDefinition<P = unknown> {
  name: string;
  /** One line for people. */
  help: string;
  /** What stands in the plan under `validation`. */
  params: string;
  /** `row`: judged on each row. `dataset`: judged over the whole dataset after the load; never compiled. */
  scope: 'row' | 'dataset';
  /** Null: the column's kind fulfils it always. @throws MigrationError `MAPPING_INVALID`. */
  compile?: (params: P, column: Column) => RuleCheck | null;
}

/** Says at compile time that a rule makes no sense here. */
export function cannotJudge(message: string): never {
  throw new MigrationError('MAPPING_INVALID', message);
}

/** A check that passes NULL and judges the rest. */
export function passNull(judge: (value: Exclude<Value, null>) => boolean): (value: Value) => boolean {
  return (value) => value === null || judge(value);
}

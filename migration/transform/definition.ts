import type { z } from 'zod';
import { MigrationError } from '../errors';
import type { Column, Value, ValueKind } from '../value';

/**
 * Thrown by a transform that cannot do its work on a value: the row goes to quarantine with `rule`, never onward.
 * One is made per compiled step and thrown again and again, so it carries no value and no stack worth reading.
 */
export class TransformFailure extends Error {
  constructor(
    /** `transform:to_integer` */
    readonly rule: string,
  ) {
    super(rule);
    this.name = 'TransformFailure';
  }
}

/** What a transform knows when it is compiled for one place of one mapping. */
export interface TransformContext {
  /** The columns it reads; behind another step: the name of the first source column with the kind that step gives. */
  input: readonly Column[];
  /** The target columns that the whole chain fills. */
  output: readonly Column[];
  /** No step follows: what it gives goes into `output`. */
  last: boolean;
  /** Values by name that must not stand in the plan (salts) or are fixed once per migration. */
  constants: Readonly<Record<string, Value>>;
  /** Gives up on the value at hand. */
  fail(): never;
}

/** A step compiled for one field. `one` is the fast form that kernels call per field; NULL is passed in as `null`. */
export type CompiledStep =
  | { form: 'one'; kind: ValueKind; apply: (value: Value) => Value }
  | { form: 'many'; kinds: readonly ValueKind[]; apply: (values: readonly Value[]) => readonly Value[] };

/** One step as the plan holds it. */
export interface StepPlan { transform: string; params: Record<string, unknown> }

/**
 * A transform: a pure function of the row and of constants. No clock, no random, no I/O.
 * NULL gives NULL, except where `help` says otherwise.
 */
export interface TransformDefinition<P extends z.ZodObject = z.ZodObject> {
  name: string;
  /** One line for people. */
  help: string;
  params: P;
  inputs: 'none' | 'one' | 'many';
  outputs: 'none' | 'one' | 'many';
  /** The original value cannot be computed from the result. */
  lossy: boolean | ((params: z.output<P>) => boolean);
  /** The step that takes it back, where there is one. */
  inverse?: (params: z.output<P>) => StepPlan | null;
  /** @throws MigrationError `MAPPING_INVALID` when it cannot work between these columns. */
  compile(params: z.output<P>, context: TransformContext): CompiledStep;
}

/** Keeps the parameter types inside one definition and forgets them in the catalog. */
export function transform<P extends z.ZodObject>(definition: TransformDefinition<P>): TransformDefinition {
  return definition;
}

/** A compiled step for one value that is never called with NULL: NULL gives NULL. */
export function onValue(kind: ValueKind, apply: (value: Exclude<Value, null>) => Value): CompiledStep {
  return { form: 'one', kind, apply: (value) => (value === null ? null : apply(value)) };
}

/** The first input column. @throws MigrationError `MAPPING_INVALID` when there is none. */
export function inputOf(context: TransformContext): Column {
  const column = context.input[0];
  if (!column) throw new MigrationError('MAPPING_INVALID', 'needs a source column: give `old_field`.');
  return column;
}

/** Says at compile time that a transform cannot work here. */
export function cannot(message: string): never {
  throw new MigrationError('MAPPING_INVALID', message);
}

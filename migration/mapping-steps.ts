import { nearestName } from './mapping-names';
import { MigrationError } from './errors';
import { TransformFailure, type StepPlan, type TransformContext, type TransformDefinition } from './transform/definition';
import type { TransformCatalog } from './transform/index';
import type { Column, Value, ValueKind } from './value';

/** A chain of steps compiled for its columns: the functions of each output, and the kind each gives. */
export interface CompiledChain {
  outputs: { kind: ValueKind; apply: FieldFunction }[];
}

/** With one input the value itself goes in and out; with none or several, the list of inputs goes in. `one` null: the value stays as it is. */
export type FieldFunction =
  | { form: 'one'; one: ((value: Value) => Value) | null }
  | { form: 'many'; many: (values: readonly Value[]) => Value };

interface Current {
  kinds: readonly ValueKind[];
  one: ((value: Value) => Value) | null;
  many: ((values: readonly Value[]) => readonly Value[]) | null;
}

/**
 * Compiles the steps of one field mapping.
 * @throws MigrationError `MAPPING_INVALID` whose message starts with the step at fault.
 */
export function compileSteps(steps: readonly StepPlan[], inputs: readonly Column[], outputs: readonly Column[], catalog: TransformCatalog, constants: Readonly<Record<string, Value>>): CompiledChain {
  let current: Current = { kinds: inputs.map((column) => column.kind), one: null, many: inputs.length === 1 ? null : (values) => values };
  steps.forEach((step, index) => {
    const failure = new TransformFailure(`transform:${step.transform}`);
    const context: TransformContext = {
      input: current.kinds.map((kind, i) => columnAt(inputs, i, kind, index === 0)),
      output: outputs,
      last: index === steps.length - 1,
      constants,
      fail: () => { throw failure; },
    };
    current = advance(current, step, definitionOf(step, catalog), context);
  });
  if (current.kinds.length !== outputs.length) {
    invalid(steps[steps.length - 1], `gives ${current.kinds.length} value(s) for ${outputs.length} target column(s).`);
  }
  return { outputs: fieldFunctions(current, inputs.length) };
}

function columnAt(inputs: readonly Column[], index: number, kind: ValueKind, first: boolean): Column {
  const column = inputs[index] ?? inputs[0];
  if (column && first) return column;
  return { name: column?.name ?? 'the value', kind, type: kind, nullable: true };
}

function definitionOf(step: StepPlan, catalog: TransformCatalog): TransformDefinition {
  const definition = Object.hasOwn(catalog, step.transform) ? catalog[step.transform] : undefined;
  return definition ?? invalid(step, `is unknown${nearestName(step.transform, Object.keys(catalog))}.`);
}

function advance(current: Current, step: StepPlan, definition: TransformDefinition, context: TransformContext): Current {
  const { inputs } = definition;
  if (inputs === 'none' && current.kinds.length > 0) invalid(step, 'reads no column: leave out `old_field`.');
  if (inputs === 'one' && current.kinds.length !== 1) invalid(step, `reads one column, here are ${current.kinds.length}.`);
  const params = definition.params.safeParse(step.params);
  if (!params.success) {
    const issue = params.error.issues[0];
    return invalid(step, `parameter ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}.`);
  }
  let compiled;
  try {
    compiled = definition.compile(params.data, context);
  } catch (error) {
    return invalid(step, error instanceof MigrationError ? error.message : 'cannot be compiled.');
  }
  const { one, many } = current;
  if (compiled.form === 'one') {
    const apply = compiled.apply;
    if (many === null) return { kinds: [compiled.kind], one: one === null ? apply : (value) => apply(one(value)), many: null };
    return { kinds: [compiled.kind], one: null, many: (values) => [apply(many(values)[0] ?? null)] };
  }
  const apply = compiled.apply;
  if (many !== null) return { kinds: compiled.kinds, one: null, many: (values) => apply(many(values)) };
  return { kinds: compiled.kinds, one: null, many: one === null ? apply : (values) => apply([one(values[0] ?? null)]) };
}

/** One function per output. Several outputs share one evaluation per row: the last inputs and results are remembered, which is sound as transforms are pure. */
function fieldFunctions(current: Current, inputCount: number): CompiledChain['outputs'] {
  const { many, one, kinds } = current;
  if (many === null) return [{ kind: kinds[0]!, apply: { form: 'one', one } }];
  const evaluate = kinds.length > 1 ? remembering(many) : many;
  return kinds.map((kind, index) => {
    if (inputCount !== 1) return { kind, apply: { form: 'many' as const, many: (values: readonly Value[]) => evaluate(values)[index] ?? null } };
    const single: Value[] = [null];
    return {
      kind,
      apply: {
        form: 'one' as const,
        one: (value: Value) => {
          single[0] = value;
          return evaluate(single)[index] ?? null;
        },
      },
    };
  });
}

function remembering(many: (values: readonly Value[]) => readonly Value[]): (values: readonly Value[]) => readonly Value[] {
  let inputs: Value[] | null = null;
  let results: readonly Value[] = [];
  return (values) => {
    if (inputs !== null && inputs.every((value, i) => Object.is(value, values[i]))) return results;
    inputs = null;
    results = many(values);
    inputs = values.slice();
    return results;
  };
}

function invalid(step: StepPlan | undefined, message: string): never {
  throw new MigrationError('MAPPING_INVALID', step ? `\`${step.transform}\` ${message}` : `The mapping ${message}`);
}

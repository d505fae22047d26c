import { z } from 'zod';
import type { Value, ValueKind } from '../value';
import { onValue, type TransformContext, type TransformDefinition } from './definition';

interface UserTransformBase<P extends z.ZodObject> {
  /** One line for people. */
  help: string;
  /** Its parameters in the plan. Default: none. */
  params?: P;
  /** Kind of what it gives. Default: `text`. */
  kind?: ValueKind;
  /** The original cannot be computed from the result. Default: true. */
  lossy?: boolean;
}

/**
 * A transform of the user's own. Pure: no clock, no random, no I/O; the same value must give the same result, or a resumed migration differs.
 * Throwing sends the row to quarantine. With one input it is not called for NULL (NULL gives NULL).
 */
export type UserTransform<P extends z.ZodObject = z.ZodObject> = UserTransformBase<P> & (
  | { inputs?: 'one'; outputs?: 'one'; apply(value: Exclude<Value, null>, params: z.output<P>): Value }
  | { inputs: 'many'; outputs?: 'one'; apply(values: readonly Value[], params: z.output<P>): Value }
  | { inputs?: 'one'; outputs: 'many'; apply(value: Exclude<Value, null>, params: z.output<P>): readonly Value[] }
  | { inputs: 'many'; outputs: 'many'; apply(values: readonly Value[], params: z.output<P>): readonly Value[] }
);

/** The user's transforms by name, ready for `transformCatalog`. */
export type UserTransforms = Readonly<Record<string, TransformDefinition>>;

/** Declares transforms that plans use by name: `transform: normalize_phone`. */
export function defineTransforms<T extends Record<string, z.ZodObject>>(transforms: { [K in keyof T]: UserTransform<T[K]> }): UserTransforms {
  return Object.fromEntries(Object.entries(transforms).map(([name, user]) => [name, definitionOf(name, user as UserTransform)]));
}

type Present = Exclude<Value, null>;

function definitionOf(name: string, user: UserTransform): TransformDefinition {
  const inputs = user.inputs ?? 'one';
  const outputs = user.outputs ?? 'one';
  const kind = user.kind ?? 'text';
  const apply = user.apply as (input: Value | readonly Value[], params: unknown) => Value | readonly Value[];
  return {
    name,
    help: user.help,
    params: user.params ?? z.strictObject({}),
    inputs,
    outputs,
    lossy: user.lossy ?? true,
    compile(params, context) {
      const guarded = guard(apply, params, context);
      if (inputs === 'one' && outputs === 'one') return onValue(kind, (value: Present) => checked(guarded(value) as Value, kind, context));
      const count = outputs === 'one' ? 1 : context.output.length;
      const nothing: Value[] = Array.from({ length: count }, () => null);
      return {
        form: 'many',
        kinds: nothing.map(() => kind),
        apply(values) {
          if (inputs === 'one' && (values[0] ?? null) === null) return nothing;
          const result = guarded(inputs === 'one' ? values[0] ?? null : values);
          if (outputs === 'one') return [checked(result as Value, kind, context)];
          if (!Array.isArray(result) || result.length !== count) return context.fail();
          return result.map((value: Value) => checked(value, kind, context));
        },
      };
    },
  };
}

/** Whatever the user's code throws becomes the step's failure: its message might hold values. */
function guard(apply: (input: Value | readonly Value[], params: unknown) => Value | readonly Value[], params: unknown, context: TransformContext) {
  return (input: Value | readonly Value[]): Value | readonly Value[] => {
    try {
      return apply(input, params);
    } catch {
      return context.fail();
    }
  };
}

/** What the user's code gave, if it is of the promised kind; whole numbers become bigint. */
function checked(value: Value | undefined, kind: ValueKind, context: TransformContext): Value {
  if (value === null || value === undefined) return null;
  switch (kind) {
    case 'integer':
      if (typeof value === 'bigint') return value;
      return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : context.fail();
    case 'boolean': return typeof value === 'boolean' ? value : context.fail();
    case 'float': return typeof value === 'number' ? value : context.fail();
    case 'bytes': return value instanceof Uint8Array ? value : context.fail();
    default: return typeof value === 'string' ? value : context.fail();
  }
}

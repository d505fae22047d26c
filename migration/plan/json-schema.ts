/** The plan as a JSON schema: editors complete and check plans with it, and the reference page is made from it. */
import { z } from 'zod';
import { planSchema } from './schema';

/** The part of JSON schema that plans use. */
export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  pattern?: string;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minItems?: number;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
}

/** JSON schema (draft 2020-12) of a plan as people write it: units are text with a pattern, defaults are optional. */
export function planJsonSchema(): JsonSchema {
  const schema = toJsonSchema(planSchema);
  return { ...schema, title: 'Caravan migration plan' };
}

export function toJsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // Limits of the number type itself say nothing about plans.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  }) as unknown as JsonSchema;
}

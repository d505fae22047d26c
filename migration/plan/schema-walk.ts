/** Finds its way in the plan's schema: which keys are valid where, and where a misplaced key belongs. */
import type { z } from 'zod';
import { planSchema } from './schema';
import type { PlanPath } from './finding';

/** The parts of a zod definition that matter for walking. */
interface Definition {
  type: string;
  innerType?: z.ZodType;
  in?: z.ZodType;
  element?: z.ZodType;
  valueType?: z.ZodType;
  options?: readonly z.ZodType[];
  shape?: Record<string, z.ZodType>;
}

function definition(schema: z.ZodType): Definition {
  const def = schema.def as unknown as Definition;
  const inner = def.innerType ?? (def.type === 'pipe' ? def.in : undefined);
  return inner ? definition(inner) : def;
}

function child(schema: z.ZodType, part: string | number): z.ZodType | undefined {
  const def = definition(schema);
  if (def.options) return def.options.map((option) => child(option, part)).find((found) => found !== undefined);
  if (typeof part === 'number') return def.element;
  if (def.shape) return Object.hasOwn(def.shape, part) ? def.shape[part] : undefined;
  return def.valueType;
}

function schemaAt(path: PlanPath): z.ZodType | undefined {
  let schema: z.ZodType | undefined = planSchema;
  for (const part of path) schema = schema && child(schema, part);
  return schema;
}

function keysOf(schema: z.ZodType): string[] {
  const def = definition(schema);
  if (def.options) return def.options.flatMap(keysOf);
  return def.shape ? Object.keys(def.shape) : [];
}

/** Keys the plan may have at `path`; empty where keys are free names or there are none. */
export function keysAt(path: PlanPath): string[] {
  const schema = schemaAt(path);
  return schema ? keysOf(schema) : [];
}

/** First sentence of the description of what stands at `path`. */
export function descriptionAt(path: PlanPath): string | undefined {
  const text = schemaAt(path)?.description;
  return text?.split(/(?<=\.)\s/)[0]?.replace(/\.$/, '');
}

/** Places where `key` is valid: `datasets.<name>.target`, `batch`. Free names are shown as `<name>`. */
export function homesOf(key: string): string[] {
  const homes: string[] = [];
  const visit = (schema: z.ZodType, place: string): void => {
    const def = definition(schema);
    for (const option of def.options ?? []) visit(option, place);
    if (def.element) visit(def.element, `${place}[]`);
    if (def.valueType) visit(def.valueType, `${place}.<name>`);
    for (const [name, inner] of Object.entries(def.shape ?? {})) {
      if (name === key) homes.push(place || 'the plan\'s top level');
      visit(inner, place ? `${place}.${name}` : name);
    }
  };
  visit(planSchema, '');
  return [...new Set(homes)];
}

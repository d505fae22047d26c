/** What an edited plan changes against the one a migration was admitted with: names of keys, never their values. Pure. */
import { canonicalJson } from './hash';
import type { DatasetPlan, Plan } from './schema';

export interface PlanEdits {
  /** Datasets whose rows would arrive otherwise, each with the keys that changed, such as `transformations` or `source.where`. */
  changed: { dataset: string; fields: string[] }[];
  added: string[];
  removed: string[];
  /** Everything else that changed, such as `batch.batch_size` or `datasets.users.priority`: it takes hold at the next slice. */
  operational: string[];
}

/** What decides which rows arrive and how they look. The rest of a dataset (order, mode, masking) may change at any time. */
function dataPart(plan: Plan, dataset: DatasetPlan): Record<string, unknown> {
  return {
    source: dataset.source, target: dataset.target, schema: dataset.schema ?? plan.schema, transformations: dataset.transformations,
    validation: dataset.validation, on_invalid: dataset.on_invalid, accept: dataset.accept,
  };
}
const DATA_KEYS = ['source', 'target', 'schema', 'transformations', 'validation', 'on_invalid', 'accept'];

/** Both plans with their defaults applied. */
export function planEdits(former: Plan, plan: Plan): PlanEdits {
  const kept = Object.entries(former.datasets).flatMap(([name, before]) => {
    const after = Object.hasOwn(plan.datasets, name) ? plan.datasets[name] : undefined;
    return after ? [{ name, before, after }] : [];
  });
  const changed = kept.flatMap(({ name, before, after }) => {
    const fields = differences(dataPart(former, before), dataPart(plan, after), 2);
    return fields.length > 0 ? [{ dataset: name, fields }] : [];
  });
  const rest = (whole: Plan): object => ({ ...whole, datasets: null, schema: null });
  return {
    changed,
    added: Object.keys(plan.datasets).filter((name) => !Object.hasOwn(former.datasets, name)),
    removed: Object.keys(former.datasets).filter((name) => !Object.hasOwn(plan.datasets, name)),
    operational: [
      ...differences(rest(former), rest(plan), 3),
      ...kept.flatMap(({ name, before, after }) => differences(withoutData(before), withoutData(after), 1).map((field) => `datasets.${name}.${field}`)),
    ],
  };
}

export function isEdited({ changed, added, removed, operational }: PlanEdits): boolean {
  return changed.length + added.length + removed.length + operational.length > 0;
}

function withoutData(dataset: DatasetPlan): object {
  return Object.fromEntries(Object.entries(dataset).filter(([key]) => !DATA_KEYS.includes(key)));
}

/** Dotted paths, at most `depth` keys long, of what is not the same on both sides. */
function differences(before: unknown, after: unknown, depth: number): string[] {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return [];
  if (depth === 0 || !isRecord(before) || !isRecord(after)) return [''];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return keys.flatMap((key) => differences(before[key], after[key], depth - 1).map((path) => (path === '' ? key : `${key}.${path}`)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The text a plan's hash is taken of: JSON with sorted keys, no spaces, absent values left out. Lists keep their order.
 * The same plan gives the same text whatever the order of its keys or the language it was written in (YAML, JSON), and whether defaults
 * were written out or not, as long as it went through `parsePlan`. The caller computes the hash (sha256).
 */
import type { Plan } from './schema';

export function canonicalPlan(plan: Plan): string {
  return canonicalJson(plan);
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => canonicalJson(entry ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`);
  return `{${fields.join(',')}}`;
}

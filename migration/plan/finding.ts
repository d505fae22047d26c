/** Problems of a plan, before they have a line number, and the nearest valid name for a wrong one. */
import { distance } from 'fastest-levenshtein';
import type { ErrorCode } from '../protocol';

/** Keys from the plan's root: `['datasets', 'users', 'after', 0]`. */
export type PlanPath = readonly (string | number)[];

/** One thing to say about a plan. `message` and `remedy` are sentences without their closing full stop; neither holds secrets. */
export interface Finding {
  severity: 'error' | 'warning';
  path: PlanPath;
  message: string;
  remedy?: string;
  /** Set when the error is known under a code of its own. */
  code?: ErrorCode;
}

export const fail = (path: PlanPath, message: string, remedy?: string): Finding => ({ severity: 'error', path, message, remedy });
export const warn = (path: PlanPath, message: string, remedy?: string): Finding => ({ severity: 'warning', path, message, remedy });

/** `datasets.users.transformations[0].transform`; the root is `plan`. */
export function pathText(path: PlanPath): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text ? '.' : ''}${part}`;
  return text || 'plan';
}

const snake = (word: string): string => word.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[-\s]+/g, '_').toLowerCase();

/** The candidate a person most likely meant, or undefined when none is near. Letter case, camelCase and hyphens do not count as differences. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = snake(word);
  const allowed = Math.min(3, Math.max(1, Math.floor(wanted.length * 0.4)));
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const plain = snake(candidate);
    let d = sameLetters(wanted, plain) ? 1 : distance(wanted, plain);
    if (d > allowed && wanted.length >= 4 && plain.length >= 4 && (plain.startsWith(wanted) || wanted.startsWith(plain))) d = allowed;
    if (d <= allowed && d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** Two letters swapped are one slip, though two edits. */
const sameLetters = (a: string, b: string): boolean => a.length > 3 && a.length === b.length && distance(a, b) === 2 && [...a].sort().join('') === [...b].sort().join('');

/** `Did you mean x?`, else the choices when they are few, else undefined. */
export function suggestion(word: string, candidates: Iterable<string>, noun: string): string | undefined {
  const list = [...candidates];
  const near = nearest(word, list);
  if (near) return `Did you mean \`${near}\`?`;
  if (list.length === 0 || list.length > 40) return undefined;
  return `Known ${noun}: ${list.join(', ')}`;
}

/** Names in a sentence: `a`, `b` and `c`. */
export function listed(names: readonly string[]): string {
  const quoted = names.map((name) => `\`${name}\``);
  if (quoted.length < 2) return quoted.join('');
  return `${quoted.slice(0, -1).join(', ')} and ${quoted[quoted.length - 1] ?? ''}`;
}

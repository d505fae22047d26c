/** Turns what zod says about a plan into words for the person who wrote it. */
import type { z } from 'zod';
import { fail, nearest, suggestion, type Finding, type PlanPath } from './finding';
import { descriptionAt, homesOf, keysAt } from './schema-walk';

type Issue = z.core.$ZodIssue;

const EXPECTED: Record<string, string> = {
  string: 'text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list', object: 'keys and values', record: 'names and values',
};

/** Words that other tools use for the same thing. Suggested only where the right word is valid. */
const SYNONYMS: Record<string, string> = {
  depends_on: 'after', dependencies: 'after', needs: 'after', requires: 'after',
  rules: 'validation', validations: 'validation', validate: 'validation',
  mapping: 'transformations', mappings: 'transformations', columns: 'transformations', fields: 'transformations', transforms: 'transformations',
  from: 'source', to: 'target', destination: 'target', dest: 'target', filter: 'where', condition: 'where', sql: 'query',
  name: 'migration', tables: 'datasets', strategy: 'approach', workers: 'parallel_workers', concurrency: 'parallel_workers', chunk_size: 'batch_size',
  primary_key: 'key', keys: 'key', not_null: 'required', regex: 'pattern', enum: 'one_of', foreign_keys: 'references', seed_value: 'seed',
};
const SECRET_KEYS = /^(url|dsn|host|hostname|port|user|username|password|passwd|secret|token|credentials?|connection_string)$/i;

/** What kind of thing stands in the plan. Never the value itself: a refusal goes into Temporal's history, and a plan may hold values of rows. Place and line are told. */
function shown(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'keys and values';
  if (typeof value === 'string') return 'a text';
  return typeof value === 'number' || typeof value === 'bigint' ? 'a number' : typeof value === 'boolean' ? 'true or false' : 'something else';
}

function valueAt(raw: unknown, path: PlanPath): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function unknownKey(path: PlanPath, key: string): Finding {
  const at = [...path, key];
  const valid = keysAt(path);
  if (key === '<<') return fail(at, 'merge keys are not supported', 'Write the keys out, or use an anchor for a whole value');
  if (SECRET_KEYS.test(key)) {
    return fail(at, `unknown key \`${key}\``, 'Addresses and passwords do not belong in a plan: name a connection, and give its address in CARAVAN_CONNECTION_<NAME> or caravan.connections.yaml');
  }
  const homes = homesOf(key);
  const near = synonym(key, valid) ?? (homes.length === 0 ? nearest(key, valid) : undefined);
  if (near) return fail(at, `unknown key \`${key}\``, `Did you mean \`${near}\`?`);
  if (homes.length > 0) return fail(at, `\`${key}\` does not belong here`, `It goes under ${homes.slice(0, 3).join(' or ')}`);
  return fail(at, `unknown key \`${key}\``, suggestion(key, valid, 'keys here'));
}

function synonym(key: string, valid: readonly string[]): string | undefined {
  const word = SYNONYMS[key.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase()];
  return word !== undefined && valid.includes(word) ? word : undefined;
}

function wrongType(path: PlanPath, expected: string, value: unknown): Finding {
  if (value === undefined) {
    const meaning = descriptionAt(path);
    return fail(path, 'is missing', meaning ? `Add it: ${meaning.charAt(0).toLowerCase()}${meaning.slice(1)}` : undefined);
  }
  const wanted = EXPECTED[expected] ?? expected;
  if (value === null) return fail(path, 'is empty', `Give it ${wanted}, or take the key out`);
  let remedy: string | undefined;
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) remedy = 'Put it in quotes';
  if (expected === 'array' && typeof value === 'string') remedy = 'Write it as a list: [ … ]';
  if ((expected === 'number' || expected === 'int') && typeof value === 'string' && /^[\d_, ]+$/.test(value)) remedy = 'Write it without quotes, digits only';
  return fail(path, `must be ${wanted}, not ${shown(value)}`, remedy);
}

function limit(path: PlanPath, issue: Issue & { code: 'too_small' | 'too_big' }): Finding {
  if (!/^Too (small|big)/.test(issue.message)) return fail(path, issue.message);
  const small = issue.code === 'too_small';
  const bound = String(small ? issue.minimum : issue.maximum);
  if (issue.origin === 'array' || issue.origin === 'string') {
    if (small && bound === '1') return fail(path, 'must not be empty');
    return fail(path, `must have ${small ? 'at least' : 'at most'} ${bound} ${issue.origin === 'array' ? 'entries' : 'characters'}`);
  }
  return fail(path, `must be ${small ? 'at least' : 'at most'} ${bound}`);
}

/** The branch of a union the writer meant: the one that got furthest; none when the value has a type no branch takes. */
function unionBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const fitting = branches.filter((issues) => !issues.some((issue) => issue.code === 'invalid_type' && issue.path.length === 0));
  return fitting.length > 0 ? fitting[0] : undefined;
}

function expectedTypes(branches: readonly (readonly Issue[])[]): string {
  const wanted = branches.flat().map((issue) => (issue.code === 'invalid_type' && issue.path.length === 0 ? EXPECTED[issue.expected] ?? issue.expected : ''));
  return [...new Set(wanted.filter(Boolean))].join(' or ');
}

function connectionText(path: PlanPath, value: unknown): Finding | undefined {
  const key = path[path.length - 1];
  if (typeof value !== 'string' || !/:\/\/|password=/i.test(value)) return undefined;
  if (key === 'webhook') return fail(path, 'holds an address; the plan is stored and shown, so it only names a webhook', 'Write a name such as `ops`, and put the address in CARAVAN_WEBHOOK_OPS');
  if (typeof key === 'string' && /connection$|^control$/.test(key)) return secretInPlan(path);
  return undefined;
}

/** An address or password where the plan should name a connection. */
export function secretInPlan(path: PlanPath): Finding {
  return fail(path, 'holds an address; the plan is stored and shown, so it only names connections', 'Write a name such as `legacy_db`, and put the address in CARAVAN_CONNECTION_LEGACY_DB or caravan.connections.yaml');
}

function translate(issue: Issue, base: PlanPath, raw: unknown): Finding[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  const value = valueAt(raw, path);
  const secret = connectionText(path, value);
  if (secret) return [secret];
  switch (issue.code) {
    case 'unrecognized_keys': return issue.keys.map((key) => unknownKey(path, key));
    case 'invalid_type': return [wrongType(path, issue.expected, value)];
    case 'invalid_value': {
      const choices = issue.values.map(String);
      if (value === undefined || value === null) return [wrongType(path, `one of: ${choices.join(', ')}`, value)];
      const near = nearest(typeof value === 'string' ? value : '', choices);
      return [fail(path, `must be one of ${choices.join(', ')}${typeof value === 'string' ? '' : `, not ${shown(value)}`}`, near ? `Did you mean \`${near}\`?` : undefined)];
    }
    case 'too_small': case 'too_big': return [limit(path, issue)];
    case 'invalid_key': return [fail(path, issue.issues[0]?.code === 'too_big' ? 'the name may have at most 63 characters' : `the name ${issue.issues[0]?.message ?? 'is not valid'}`)];
    case 'invalid_union': {
      const branch = unionBranch(issue.errors);
      if (branch) return branch.flatMap((inner) => translate(inner, path, raw));
      return [value === undefined || value === null ? wrongType(path, expectedTypes(issue.errors), value) : fail(path, `must be ${expectedTypes(issue.errors)}, not ${shown(value)}`)];
    }
    default: return [fail(path, issue.message)];
  }
}

/** What a transform's schema refused in its parameters, in the plan's words. */
export function parameterFault(issue: z.core.$ZodIssue, params: Record<string, unknown>): string {
  const [first] = translate(issue, [], params);
  return first ? first.message : issue.message;
}

/** Findings for what the schema refused in `raw`. */
export function schemaFindings(error: z.ZodError, raw: unknown): Finding[] {
  return error.issues.flatMap((issue) => translate(issue, [], raw));
}

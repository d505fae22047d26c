/** Normalises a dataset's `transformations`, and judges them: names, arity, parameters, clashes. */
import type { z } from 'zod';
import { MigrationError } from '../errors';
import type { TransformDefinition } from '../transform/definition';
import { fail, listed, nearest, suggestion, type Finding, type PlanPath } from './finding';
import { parameterFault } from './schema-findings';
import type { DatasetPlan, TransformationPlan } from './schema';

/** What the plan needs to know of a transform. */
export interface TransformInfo {
  name: string;
  help: string;
  /** Judges the parameters that stand beside the transform's name. */
  params: z.ZodObject;
  /** Fields it takes: none (a constant), one, or many (a list). */
  inputs: 'none' | 'one' | 'many';
  /** Fields it gives: none (drop), one, or many (a list). */
  outputs: 'none' | 'one' | 'many';
  /** Whether the old value can be computed from the result, and how; absent: it cannot. */
  lossy?: TransformDefinition['lossy'];
  inverse?: TransformDefinition['inverse'];
}

export type TransformCatalog = Readonly<Record<string, TransformInfo>>;

/** How target columns are made from source columns. No steps: a rename. No outputs: the inputs are dropped. No inputs: a constant. */
export interface FieldMapping {
  inputs: string[];
  outputs: string[];
  /** Applied in order, each to the result of the one before. Parameters have their defaults. */
  steps: { transform: string; params: Record<string, unknown> }[];
}

const MAPPING_KEYS = ['old_field', 'old_fields', 'new_field', 'new_fields', 'transform'];
/** Known without a catalog: they need no code. */
const RENAME = 'rename';
const DROP = 'drop';

interface Judged { mapping: FieldMapping; findings: Finding[] }
interface Step { transform: string; params: Record<string, unknown>; path: PlanPath; beside: boolean }

/**
 * The mappings of a dataset, in the plan's order, with what is wrong with them. Columns in no mapping go to the column of the same name.
 * Without a catalog, names and parameters of transforms are not judged.
 * @param path where the dataset stands in the plan, for the findings
 */
export function judgeMappings(dataset: Pick<DatasetPlan, 'transformations'>, catalog: TransformCatalog | undefined, path: PlanPath): { mappings: FieldMapping[]; findings: Finding[] } {
  const judged = dataset.transformations.map((entry, index) => judgeEntry(entry, catalog, [...path, 'transformations', index]));
  const findings = judged.flatMap((entry) => entry.findings);
  const filledBy = new Map<string, number>();
  judged.forEach(({ mapping }, index) => {
    for (const column of mapping.outputs) {
      const first = filledBy.get(column);
      if (first === undefined) filledBy.set(column, index);
      else findings.push(fail([...path, 'transformations', index], `fills \`${column}\`, which transformations[${first}] fills already`, 'Give one of them another `new_field`'));
    }
  });
  return { mappings: judged.map((entry) => entry.mapping), findings };
}

/**
 * The mappings of a dataset of a parsed plan.
 * @throws MigrationError `PLAN_INVALID` when this catalog does not know a transform or refuses its parameters.
 */
export function fieldMappings(dataset: Pick<DatasetPlan, 'transformations'>, catalog: TransformCatalog): FieldMapping[] {
  const { mappings, findings } = judgeMappings(dataset, catalog, []);
  const [first] = findings;
  if (first) throw new MigrationError('PLAN_INVALID', `transformations[${String(first.path[1])}]: ${first.message}${first.remedy ? `. ${first.remedy}` : ''}`);
  return mappings;
}

function judgeEntry(entry: TransformationPlan, catalog: TransformCatalog | undefined, path: PlanPath): Judged {
  const findings: Finding[] = [];
  const steps = stepsOf(entry, path, findings);
  const infos = steps.map((step) => judgeStep(step, catalog, findings));
  if (entry.old_field !== undefined && entry.old_fields) findings.push(fail(path, 'has both `old_field` and `old_fields`', 'Keep one of them'));
  if (entry.new_field !== undefined && entry.new_fields) findings.push(fail(path, 'has both `new_field` and `new_fields`', 'Keep one of them'));
  const inputs = entry.old_fields ?? (entry.old_field !== undefined ? [entry.old_field] : []);
  const named = entry.new_fields ?? (entry.new_field !== undefined ? [entry.new_field] : []);
  const drops = steps.some((step) => step.transform === DROP) || infos[infos.length - 1]?.outputs === 'none';
  const makes = infos[0]?.inputs === 'none';
  const kept = steps.filter((step) => step.transform !== RENAME && step.transform !== DROP);
  const outputs = drops ? [] : named.length === 0 && inputs.length === 1 ? inputs : named;
  const mapping: FieldMapping = { inputs, outputs, steps: kept.map(({ transform, params }) => ({ transform, params })) };
  if (findings.length === 0) findings.push(...judgeShape(path, mapping, steps, infos, { named, drops, makes, known: catalog !== undefined }));
  return { mapping, findings };
}

function stepsOf(entry: TransformationPlan, path: PlanPath, findings: Finding[]): Step[] {
  const beside = Object.fromEntries(Object.entries(entry).filter(([key]) => !MAPPING_KEYS.includes(key)));
  const listedSteps = Array.isArray(entry.transform);
  const written = entry.transform === undefined ? [] : Array.isArray(entry.transform) ? entry.transform : [entry.transform];
  const steps = written.map((step, index): Step => {
    const at = [...path, 'transform', ...(listedSteps ? [index] : [])];
    if (typeof step === 'string') return { transform: step, params: {}, path: at, beside: false };
    const { name, ...params } = step;
    return { transform: name, params, path: at, beside: false };
  });
  const [only] = steps;
  if (Object.keys(beside).length === 0) return steps;
  if (steps.length === 1 && only && typeof written[0] === 'string') return [{ ...only, params: beside, path, beside: true }];
  for (const key of Object.keys(beside)) {
    const near = nearest(key, MAPPING_KEYS);
    const remedy = steps.length > 0 && !near ? `With several steps, a parameter stands in its step: { name: ${only?.transform ?? 'trim'}, ${key}: ... }` : undefined;
    findings.push(fail([...path, key], `unknown key \`${key}\``, near ? `Did you mean \`${near}\`?` : remedy ?? `Known keys: ${MAPPING_KEYS.join(', ')}`));
  }
  return steps;
}

function judgeStep(step: Step, catalog: TransformCatalog | undefined, findings: Finding[]): TransformInfo | undefined {
  if (!catalog) return undefined;
  const info = Object.hasOwn(catalog, step.transform) ? catalog[step.transform] : undefined;
  if (!info) {
    if ((step.transform === RENAME || step.transform === DROP) && Object.keys(step.params).length === 0) return undefined;
    const at = step.beside ? [...step.path, 'transform'] : step.path;
    findings.push(fail(at, `unknown transform \`${step.transform}\``, suggestion(step.transform, [...Object.keys(catalog), RENAME, DROP], 'transforms')));
    return undefined;
  }
  const known = Object.keys(info.params.shape);
  const open = info.params.def.catchall !== undefined && info.params.def.catchall._zod.def.type !== 'never';
  for (const key of open ? [] : Object.keys(step.params).filter((name) => !known.includes(name))) {
    const near = nearest(key, step.beside ? [...known, ...MAPPING_KEYS] : known);
    const takes = known.length > 0 ? `\`${step.transform}\` takes: ${known.join(', ')}` : `\`${step.transform}\` takes no parameters`;
    findings.push(fail([...step.path, key], `unknown parameter \`${key}\` of \`${step.transform}\``, near ? `Did you mean \`${near}\`?` : takes));
  }
  const parsed = info.params.safeParse(open ? step.params : Object.fromEntries(Object.entries(step.params).filter(([key]) => known.includes(key))));
  if (parsed.success) {
    step.params = parsed.data;
    return info;
  }
  for (const issue of parsed.error.issues) {
    const key = issue.path[0] === undefined ? undefined : String(issue.path[0]);
    const missing = key !== undefined && !Object.hasOwn(step.params, key);
    const message = missing ? `\`${step.transform}\` needs \`${key}\`` : `\`${step.transform}\` refuses ${key === undefined ? 'its parameters' : `\`${key}\``}: ${parameterFault(issue, step.params)}`;
    const parameter = key === undefined ? undefined : (info.params.shape as Record<string, { description?: string } | undefined>)[key];
    const described = parameter?.description;
    findings.push(fail(missing ? step.path : [...step.path, ...(issue.path as (string | number)[])], message, described ? `${key ?? ''}: ${described}` : info.help.replace(/\.$/, '')));
  }
  return info;
}

interface Shape { named: string[]; drops: boolean; makes: boolean; known: boolean }

function judgeShape(path: PlanPath, mapping: FieldMapping, steps: readonly Step[], infos: readonly (TransformInfo | undefined)[], { named, drops, makes, known }: Shape): Finding[] {
  const { inputs } = mapping;
  const last = steps[steps.length - 1]?.transform ?? RENAME;
  const first = steps[0]?.transform ?? RENAME;
  const findings: Finding[] = [];
  if (makes && inputs.length > 0) findings.push(fail(path, `\`${first}\` reads no column`, 'Take out `old_field`; `new_field` names the column it fills'));
  if (!makes && inputs.length === 0 && (known || steps.length === 0)) findings.push(fail(path, 'names no source column', 'Add `old_field` (or `transform: constant` with a `value`)'));
  if (inputs.length > 1 && (infos[0]?.inputs === 'one' || steps.length === 0)) {
    findings.push(fail(path, `\`${first}\` reads one column, not ${inputs.length}`, 'Use `old_field`, or a transform that joins columns first (concat)'));
  }
  if (drops) {
    if (named.length > 0) findings.push(fail(path, `\`${last}\` fills no column, but ${listed(named)} is named as new`, 'Take out `new_field`'));
    if (mapping.steps.length > 0 && last === DROP) findings.push(fail(path, 'does work on a column that is dropped', 'Keep `transform: drop` alone'));
  } else if (mapping.outputs.length === 0) {
    findings.push(fail(path, `does not say which column \`${last}\` fills`, 'Add `new_field`'));
  }
  const many = infos[infos.length - 1]?.outputs === 'many';
  if (named.length > 1 && !many && known) findings.push(fail(path, `\`${last}\` fills one column, not ${named.length}`, 'Use `new_field`, or a transform that gives several columns (split)'));
  infos.forEach((info, index) => {
    const after = infos[index + 1];
    if (info?.outputs === 'many' && after && after.inputs !== 'many') findings.push(fail(path, `\`${info.name}\` gives several values, but \`${after.name}\` after it takes one`, `Put \`${info.name}\` last`));
    if (index > 0 && info?.inputs === 'none') findings.push(fail(path, `\`${info.name}\` reads nothing, so the steps before it have no effect`, `Put \`${info.name}\` first`));
    if (info?.outputs === 'none' && index < infos.length - 1) findings.push(fail(path, `\`${info.name}\` gives nothing to the steps after it`, `Put \`${info.name}\` last`));
  });
  return findings;
}

/** What the mappings say about column names. Columns they do not name pass under their own name. */
export interface ColumnNames {
  /** Target columns that mappings fill. */
  filled: Set<string>;
  /** Source columns that go elsewhere: to the target columns they fill; an empty list when they are dropped. */
  moved: Map<string, string[]>;
}

export function columnNames(mappings: readonly FieldMapping[]): ColumnNames {
  const filled = new Set(mappings.flatMap((mapping) => mapping.outputs));
  const moved = new Map<string, string[]>();
  for (const { inputs, outputs } of mappings) {
    for (const input of inputs) if (!filled.has(input)) moved.set(input, [...(moved.get(input) ?? []), ...outputs]);
  }
  return { filled, moved };
}

/**
 * Columns to mask on each side. `pii` may name a column by its source or its target name; what is made from a masked column is masked, too,
 * and so is what a masked column is made from.
 */
export function piiColumns(pii: readonly string[], mappings: readonly FieldMapping[]): { source: Set<string>; target: Set<string> } {
  const source = new Set(pii);
  const target = new Set(pii);
  for (const { inputs, outputs } of mappings) {
    if (![...inputs, ...outputs].some((column) => pii.includes(column))) continue;
    for (const column of inputs) source.add(column);
    for (const column of outputs) target.add(column);
  }
  return { source, target };
}

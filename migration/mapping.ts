/** The mapping of a dataset: which source column goes where, through which transforms, under which rules, compiled once for every encoding. */
import { conversion } from './mapping-conversion';
import { MigrationError } from './errors';
import { fitCheck, isSingle, narrows, objectNamesFit } from './mapping-fit';
import { nearestName } from './mapping-names';
import { compileRules } from './mapping-rules';
import { compileSteps, type FieldFunction } from './mapping-steps';
import type { ValidationPlan } from './plan/schema';
import type { FieldMapping } from './plan/transformations';
import type { Problem } from './protocol';
import type { CompiledRule } from './rules/definition';
import { TransformFailure } from './transform/definition';
import type { TransformCatalog } from './transform/index';
import type { Column, Value } from './value';

export type { FieldMapping } from './plan/transformations';

/** How one target column is filled. Functions are compiled, allocate nothing of their own, and throw `TransformFailure` when the row must go to quarantine. */
export interface MappedField {
  /** Index in `Mapping.write`. */
  output: number;
  column: Column;
  /** Indexes in `Mapping.read`: one, or none or several with `applyMany`. */
  inputs: number[];
  /** The field's native bytes may pass undecoded (rules, if any, still judge the value). */
  passthrough: boolean;
  /** One input: transforms and conversion in one function; null when the value stays as it is. */
  apply: ((value: Value) => Value) | null;
  /** None or several inputs, in the order of `inputs`. Null when there is one. */
  applyMany: ((values: readonly Value[]) => Value) | null;
  /** Set when the field reads no column: the one value of every row. */
  constant?: Value;
  /** Fit and NOT NULL checks of the target first, then the plan's rules in the plan's order. */
  rules: CompiledRule[];
}

export interface Mapping {
  /** Source columns that are needed, in source order. */
  read: Column[];
  /** Target columns that are written, in target order. */
  write: Column[];
  /** One per column of `write`, in the same order. */
  fields: MappedField[];
}

export interface MappingRequest {
  source: readonly Column[];
  target: readonly Column[];
  /** Columns in no mapping go to the column of the same name. */
  mappings: readonly FieldMapping[];
  validation: ValidationPlan;
  /** Target columns whose narrowing is accepted: rows that do not fit go to quarantine. */
  accept: readonly string[];
  catalog: TransformCatalog;
  constants?: Readonly<Record<string, Value>>;
}

/** `mapping` is there when no problem is an error; warnings may come with it. */
export interface CompiledMapping { mapping?: Mapping; problems: Problem[] }

/** What fills one target column, before indexes are known. */
interface Filled { column: Column; inputs: Column[]; apply: FieldFunction; steps: boolean; from: Column }

/** Compiles the mapping, or says everything that is wrong with it at once. */
export function compileMapping(request: MappingRequest): CompiledMapping {
  const problems: Problem[] = [];
  const filled = new Map<string, Filled>();
  const carried = new Set<string>();
  for (const mapping of request.mappings) compileField(mapping, request, filled, carried, problems);
  for (const column of request.target) {
    const same = request.source.find((c) => c.name === column.name);
    if (!same || column.computed || filled.has(column.name) || carried.has(same.name)) continue;
    carried.add(same.name);
    fill({ inputs: [same.name], outputs: [column.name], steps: [] }, [same], [column], request, filled, problems);
  }
  reportGaps(request, filled, carried, problems);
  const written = request.target.filter((column) => filled.has(column.name));
  const rules = compileRules(request.validation, written, request.target, problems);
  const read = request.source.filter((column) => [...filled.values()].some((f) => f.inputs.includes(column)));
  const fields = written.map((column, output) => mappedField(filled.get(column.name)!, output, read, rules.get(column.name) ?? [], request, problems));
  if (written.length === 0 && request.target.some((column) => !column.computed) && !problems.some((p) => p.severity === 'error')) {
    problems.push({ severity: 'error', place: 'mapping', message: 'no target column is written.', remedy: 'Name the columns under `transformations`.' });
  }
  return problems.some((problem) => problem.severity === 'error') ? { problems } : { mapping: { read, write: written, fields }, problems };
}

function compileField(mapping: FieldMapping, request: MappingRequest, filled: Map<string, Filled>, carried: Set<string>, problems: Problem[]): void {
  const place = placeOf(mapping);
  const find = (name: string, columns: readonly Column[], side: string): Column | undefined => {
    const column = columns.find((c) => c.name === name);
    if (!column) problems.push({ severity: 'error', place, message: `there is no ${side} column \`${name}\`${nearestName(name, columns.map((c) => c.name)) || '.'}`, remedy: `The ${side} has: ${columns.map((c) => c.name).join(', ')}.` });
    return column;
  };
  const inputs = mapping.inputs.map((name) => find(name, request.source, 'source')).filter((c) => c !== undefined);
  const outputs = mapping.outputs.map((name) => find(name, request.target, 'target')).filter((c) => c !== undefined);
  for (const column of inputs) carried.add(column.name);
  if (inputs.length !== mapping.inputs.length || outputs.length !== mapping.outputs.length || outputs.length === 0) return;
  const computed = outputs.find((column) => column.computed);
  if (computed) {
    problems.push({ severity: 'error', place, message: `the target computes \`${computed.name}\` by itself: it cannot be written.`, remedy: 'Take this transformation out.' });
    return;
  }
  fill(mapping, inputs, outputs, request, filled, problems);
}

function fill(mapping: FieldMapping, inputs: Column[], outputs: Column[], request: MappingRequest, filled: Map<string, Filled>, problems: Problem[]): void {
  const place = placeOf(mapping);
  try {
    const chain = compileSteps(mapping.steps, inputs, outputs, request.catalog, request.constants ?? {});
    chain.outputs.forEach(({ kind, apply }, index) => {
      const column = outputs[index]!;
      if (filled.has(column.name)) {
        problems.push({ severity: 'error', place, message: `\`${column.name}\` is filled twice.`, remedy: 'Give one of the transformations another `new_field`.' });
        return;
      }
      // Behind a step only the kind is known of the value, not the type.
      const from: Column = mapping.steps.length === 0 ? inputs[0]! : steppedColumn(inputs[0]?.name ?? column.name, kind, column);
      filled.set(column.name, { column, inputs, apply, steps: mapping.steps.length > 0, from });
    });
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    problems.push({ severity: 'error', place, message: error.message });
  }
}

/** What steps give: text of a type of its own kind is meant for the target's type. */
function steppedColumn(name: string, kind: Column['kind'], to: Column): Column {
  if (kind !== 'opaque') return { name, kind, type: kind, nullable: true };
  const { type, baseType, structure } = to;
  return { name, kind, type, ...(baseType !== undefined && { baseType }), ...(structure !== undefined && { structure }), nullable: true };
}

/** Columns that get nothing, or go nowhere. */
function reportGaps(request: MappingRequest, filled: Map<string, Filled>, carried: Set<string>, problems: Problem[]): void {
  const mapped = new Set(request.mappings.flatMap((mapping) => mapping.outputs));
  const sourceNames = request.source.map((column) => column.name);
  for (const column of request.target) {
    if (column.computed || filled.has(column.name) || mapped.has(column.name)) continue;
    const hint = sourceNames.includes(column.name)
      ? `The source column \`${column.name}\` goes elsewhere; to fill both, add { old_field: ${column.name} }.`
      : `Add a transformation with \`new_field: ${column.name}\`, for example \`transform: constant\`.`;
    if (!column.nullable && !column.hasDefault) {
      const near = nearestName(column.name, sourceNames.filter((name) => !carried.has(name)));
      problems.push({ severity: 'error', place: column.name, message: `nothing fills the target column \`${column.name}\`, which is NOT NULL and has no default${near || '.'}`, remedy: hint });
    } else if (sourceNames.includes(column.name)) {
      problems.push({ severity: 'warning', place: column.name, message: `nothing fills the target column \`${column.name}\`: it gets ${column.hasDefault ? 'its default' : 'NULL'}.`, remedy: hint });
    }
  }
  for (const column of request.source) {
    const recomputed = request.target.some((c) => c.name === column.name && c.computed);
    if (carried.has(column.name) || recomputed) continue;
    problems.push({
      severity: 'warning', place: column.name, message: `the source column \`${column.name}\` is left behind: no target column takes it.`,
      remedy: `Map it, or say so: { old_field: ${column.name}, transform: drop }.`,
    });
  }
  for (const name of request.accept) {
    if (request.target.some((column) => column.name === name)) continue;
    problems.push({ severity: 'error', place: `accept: ${name}`, message: `there is no target column \`${name}\`${nearestName(name, request.target.map((c) => c.name)) || '.'}` });
  }
}

function mappedField(filled: Filled, output: number, read: Column[], planRules: CompiledRule[], request: MappingRequest, problems: Problem[]): MappedField {
  const { column, inputs, steps, from } = filled;
  const place = steps || inputs[0]?.name !== column.name ? `${inputs.map((c) => c.name).join(', ')} -> ${column.name}` : column.name;
  const way = conversion(from, column);
  if (!way.lossless) problems.push({ severity: 'error', place, message: way.message, remedy: way.remedy });
  else if (way.warning) problems.push({ severity: 'warning', place, message: way.warning });
  const convert = way.lossless ? way.convert : null;
  const narrow = narrows(from, column);
  const fit = narrow ? fitCheck(column) : null;
  if (fit === 'unjudged') {
    problems.push({ severity: 'error', place, message: `${column.type} changes some values of ${from.type} without an error, and no rule can tell which.`, remedy: 'Give the target column the type of the source, or read the table through a `query` that casts the column.' });
  } else if (narrow && !steps && way.lossless && !request.accept.includes(column.name)) {
    problems.push({ severity: 'error', place, message: `${from.type} does not always fit into ${column.type}.`, remedy: `Widen the target column, or add \`${column.name}\` to \`accept\`: rows that do not fit then go to quarantine.` });
  }
  const rules: CompiledRule[] = fit && fit !== 'unjudged' ? [{ rule: `fits:${column.type}`, ...fit }] : [];
  if (column.namesObjects) rules.push({ rule: `fits:${column.type}`, ...objectNamesFit });
  const mayBeNull = steps || from.nullable;
  if (mayBeNull && !column.nullable && !planRules.some((rule) => rule.rule === 'required')) {
    rules.push({ rule: 'not_null', check: (value) => value !== null, nullOnly: true });
  }
  rules.push(...planRules);
  const field: MappedField = { output, column, inputs: inputs.map((c) => read.indexOf(c)), passthrough: !steps && convert === null && sameWire(from, column), apply: null, applyMany: null, rules };
  const { apply } = filled;
  if (apply.form === 'one') {
    const one = apply.one;
    field.apply = one === null ? convert : convert === null ? one : (value) => convert(one(value));
  } else {
    const many = apply.many;
    field.applyMany = convert === null ? many : (values) => convert(many(values));
    if (inputs.length === 0) setConstant(field, problems);
  }
  return field;
}

/** A field that reads no column has one value, or none at all. */
function setConstant(field: MappedField, problems: Problem[]): void {
  try {
    field.constant = field.applyMany?.([]) ?? null;
  } catch (error) {
    if (!(error instanceof TransformFailure)) throw error;
    problems.push({ severity: 'error', place: field.column.name, message: `the constant is refused by \`${error.rule}\`.`, remedy: 'Change the constant, or the step after it.' });
  }
}

/** PostgreSQL's text, varchar and bpchar (and nothing else among differing types) have one wire form: UTF-8 bytes. */
const TEXT_WIRE: ReadonlySet<number> = new Set([25, 1043, 1042]);

function sameWire(from: Column, to: Column): boolean {
  if (from.wireType === undefined || to.wireType === undefined) return false;
  return from.wireType === to.wireType ? isSingle(from) === isSingle(to) : TEXT_WIRE.has(from.wireType) && TEXT_WIRE.has(to.wireType);
}

function placeOf(mapping: FieldMapping): string {
  const inputs = mapping.inputs.join(', ');
  const outputs = mapping.outputs.join(', ');
  return inputs === outputs || outputs === '' ? inputs : `${inputs === '' ? 'constant' : inputs} -> ${outputs}`;
}

/** The way back: which columns of the old side follow from which of the new one. Pure; the plan's linter and a full rollback go by the same. */
import type { FieldMapping, TransformCatalog } from './plan/transformations';
import type { Column } from './value';

/** What a plan alone says against bringing writes home, column by column, in words. `drop` and constants are none: the old side keeps its own values. */
export function irreversible(mappings: readonly FieldMapping[], catalog: TransformCatalog): string[] {
  return mappings.flatMap((mapping) => {
    if (mapping.outputs.length === 0 || mapping.inputs.length === 0) return [];
    const columns = mapping.outputs.join(', ');
    if (mapping.inputs.length > 1 || mapping.outputs.length > 1) return [`${columns} is made of several columns, or several of one`];
    const lossy = mapping.steps.find((step) => !hasWayBack(step, catalog));
    return lossy ? [`${columns} is made by ${lossy.transform}, from which the old value cannot be computed`] : [];
  });
}

function hasWayBack({ transform, params }: FieldMapping['steps'][number], catalog: TransformCatalog): boolean {
  const definition = catalog[transform];
  if (!definition) return false;
  const lossy = typeof definition.lossy === 'function' ? definition.lossy(params) : definition.lossy ?? true;
  return !lossy || inverseOf({ transform, params }, catalog) !== null;
}

function inverseOf({ transform, params }: FieldMapping['steps'][number], catalog: TransformCatalog): FieldMapping['steps'][number] | null {
  const back = catalog[transform]?.inverse?.(params);
  if (!back) return null;
  // Parameters of the way back have their defaults, too.
  const parsed = catalog[back.transform]?.params.safeParse(back.params);
  return parsed?.success ? { transform: back.transform, params: parsed.data } : null;
}

/** The transform that makes each kind of another one. */
const MAKER: Partial<Record<Column['kind'], string>> = {
  boolean: 'to_boolean', integer: 'to_integer', decimal: 'to_decimal', float: 'to_float', text: 'to_text', instant: 'to_iso_datetime', datetime: 'to_timestamp', date: 'to_date', json: 'to_json', uuid: 'to_uuid',
};

/**
 * Mappings from columns of the new side to columns of the old one, one each. Columns of the old side that nothing of the new one came from are in none.
 * Whether a value really comes back is proved row by row: what the way back gives has to give the new value again.
 */
export function reverseMappings(mappings: readonly FieldMapping[], source: readonly Column[], target: readonly Column[], catalog: TransformCatalog): FieldMapping[] {
  const pairs: { from: string; to: string; steps: FieldMapping['steps'] }[] = [];
  const mapped = new Set(mappings.flatMap(({ inputs, outputs }) => [...outputs, ...(outputs.length === 0 ? inputs : [])]));
  const carried = new Set(mappings.flatMap(({ inputs }) => inputs));
  for (const { inputs, outputs, steps } of mappings) if (inputs.length === 1 && outputs.length === 1) pairs.push({ from: outputs[0] ?? '', to: inputs[0] ?? '', steps });
  for (const { name } of target) if (!mapped.has(name) && !carried.has(name) && source.some((column) => column.name === name)) pairs.push({ from: name, to: name, steps: [] });
  const taken = new Set<string>();
  return pairs.flatMap(({ from, to, steps }) => {
    const old = source.find(({ name }) => name === to);
    const fresh = target.find(({ name }) => name === from);
    if (!old || !fresh || old.computed || taken.has(to)) return [];
    taken.add(to);
    const inverses = [...steps].reverse().map((step) => inverseOf(step, catalog));
    const known = inverses.filter((step) => step !== null);
    if (known.length === inverses.length && (old.kind === fresh.kind || known.length > 0)) return [{ inputs: [from], outputs: [to], steps: known.filter(({ transform }) => transform !== 'rename') }];
    const maker = old.kind === fresh.kind ? undefined : MAKER[old.kind];
    const parsed = maker === undefined ? undefined : catalog[maker]?.params.safeParse({});
    return [{ inputs: [from], outputs: [to], steps: maker !== undefined && parsed?.success ? [{ transform: maker, params: parsed.data }] : [] }];
  });
}

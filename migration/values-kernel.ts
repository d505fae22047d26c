import type { Reason, Rejection, StageResult, ValuesBatch } from './batch';
import type { MappedField, Mapping } from './mapping';
import { TransformFailure } from './transform/definition';
import type { Value } from './value';

/** The two pure stages on batches of neutral values. A batch goes in with rows of `mapping.read` and comes out of `transform` with rows of `mapping.write`. */
export interface ValuesKernel {
  /** Makes target rows. A row that a transform refuses is taken out, with every refusal of it, in column order. The input is not changed. */
  transform(batch: ValuesBatch): StageResult;
  /** Judges target rows. A row that breaks rules is taken out, with all of them, in column order. */
  validate(batch: ValuesBatch): StageResult;
}

export function valuesKernel(mapping: Mapping): ValuesKernel {
  const { fields } = mapping;
  const judged = fields.filter((field) => field.rules.length > 0);
  return {
    transform(batch) {
      const out: Value[][] = new Array<Value[]>(batch.rowCount);
      const taken = new Takeout(batch);
      let kept = 0;
      for (let i = 0; i < batch.rowCount; i += 1) {
        const row = batch.rows[i]!;
        let result: Value[];
        try {
          result = mapRow(fields, row);
        } catch (error) {
          if (!(error instanceof TransformFailure)) throw error;
          taken.reject(i, refusals(fields, row));
          continue;
        }
        out[kept] = result;
        taken.keep(i, kept);
        kept += 1;
      }
      out.length = kept;
      return taken.result(out);
    },
    validate(batch) {
      const taken = new Takeout(batch);
      let out: Value[][] | null = null;
      let kept = 0;
      for (let i = 0; i < batch.rowCount; i += 1) {
        const row = batch.rows[i]!;
        const reasons = violations(judged, row);
        if (reasons !== null) {
          out ??= batch.rows.slice(0, i);
          taken.reject(i, reasons);
          continue;
        }
        if (out !== null) out.push(row);
        taken.keep(i, kept);
        kept += 1;
      }
      return out === null ? { batch, rejections: [] } : taken.result(out);
    },
  };
}

function mapRow(fields: readonly MappedField[], row: readonly Value[]): Value[] {
  const target: Value[] = new Array<Value>(fields.length);
  for (let f = 0; f < fields.length; f += 1) target[f] = fieldValue(fields[f]!, row);
  return target;
}

/** The value of one target column. @throws TransformFailure when a transform refuses. */
function fieldValue(field: MappedField, row: readonly Value[]): Value {
  if (field.applyMany === null) {
    const value = row[field.inputs[0]!]!;
    return field.apply === null ? value : field.apply(value);
  }
  if (field.constant !== undefined) return field.constant;
  return field.applyMany(field.inputs.map((input) => row[input]!));
}

/** All refusals of a row: it is mapped once more, field by field. */
export function refusals(fields: readonly MappedField[], row: readonly Value[]): Reason[] {
  const reasons: Reason[] = [];
  for (const field of fields) {
    try {
      fieldValue(field, row);
    } catch (error) {
      if (!(error instanceof TransformFailure)) throw error;
      reasons.push({ rule: error.rule, column: field.column.name });
    }
  }
  return reasons;
}

/** Every rule that a row of `mapping.write` breaks, in column order; null when there is none. */
export function violations(fields: readonly MappedField[], row: readonly Value[]): Reason[] | null {
  let reasons: Reason[] | null = null;
  for (let f = 0; f < fields.length; f += 1) {
    const field = fields[f]!;
    const value = row[field.output]!;
    const { rules } = field;
    for (let r = 0; r < rules.length; r += 1) {
      const rule = rules[r]!;
      if (!rule.check(value)) (reasons ??= []).push({ rule: rule.rule, column: field.column.name });
    }
  }
  return reasons;
}

/** Keeps count of which rows of a batch stay and which leave, in terms of the batch as it was read. */
class Takeout {
  private readonly rejections: Rejection[] = [];
  private origin: Uint32Array | null = null;

  constructor(private readonly batch: ValuesBatch) {}

  private originOf(row: number): number {
    return this.batch.origin === undefined ? row : this.batch.origin[row]!;
  }

  reject(row: number, reasons: Reason[]): void {
    if (this.origin === null) {
      // All rows before the first rejected one keep their places.
      this.origin = new Uint32Array(this.batch.rowCount);
      for (let i = 0; i < row; i += 1) this.origin[i] = this.originOf(i);
    }
    this.rejections.push({ row: this.originOf(row), reasons });
  }

  keep(row: number, at: number): void {
    if (this.origin !== null) this.origin[at] = this.originOf(row);
  }

  result(rows: Value[][]): StageResult {
    const { rowCount, byteCount, origin } = this.batch;
    const kept = this.origin === null ? origin : this.origin.slice(0, rows.length);
    return {
      batch: { encoding: 'values', rows, rowCount: rows.length, byteCount: rowCount === 0 ? 0 : Math.round((byteCount * rows.length) / rowCount), ...(kept ? { origin: kept } : {}) },
      rejections: this.rejections,
    };
  }
}

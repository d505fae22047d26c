import type { PgcopyBatch, Reason, Rejection, StageResult } from '../../../migration/batch';
import { MigrationError } from '../../../migration/errors';
import type { MappedField, Mapping } from '../../../migration/mapping';
import { TransformFailure } from '../../../migration/transform';
import type { Value } from '../../../migration/value';
import { refusals, violations } from '../../../migration/values-kernel';
import { binaryCodec, EncodeRefusal, type BinaryCodec } from './binary-codecs';
import { ByteWriter } from './byte-writer';

/**
 * The pure stages on COPY BINARY tuples. Fields that no transform touches travel as bytes, neighbouring ones in one copy;
 * fields that a rule judges are decoded only as far as the rule needs. No object is made per row.
 */
export interface PgcopyKernel {
  transform(batch: PgcopyBatch): StageResult;
  validate(batch: PgcopyBatch): StageResult;
}

/** One piece of an output tuple: a run of input fields as they are, or one computed field. */
type Piece =
  | { kind: 'run'; first: number; last: number }
  | { kind: 'field'; field: MappedField; decode: BinaryCodec[]; encode: BinaryCodec };

export function pgcopyKernel(mapping: Mapping): PgcopyKernel {
  const pieces = compilePieces(mapping);
  const only = pieces.length === 1 ? pieces[0] : undefined;
  const wholeRun = only?.kind === 'run' && only.first === 0 ? only : null;
  const judged = mapping.fields.filter((field) => field.rules.length > 0);
  const spans = new Spans();
  return {
    transform(batch) {
      // Same fields in the same order, nothing behind them: the tuples are right as they are.
      if (wholeRun && (batch.rowCount === 0 || batch.data.readInt16BE(batch.offsets[0] ?? 0) === wholeRun.last + 1)) return { batch, rejections: [] };
      return transformTuples(batch, mapping, pieces, spans);
    },
    validate(batch) {
      return judged.length === 0 ? { batch, rejections: [] } : validateTuples(batch, mapping, judged, spans);
    },
  };
}

function compilePieces(mapping: Mapping): Piece[] {
  const pieces: Piece[] = [];
  for (const field of mapping.fields) {
    const input = field.inputs[0] ?? -1;
    const previous = pieces.at(-1);
    if (!field.passthrough) pieces.push({ kind: 'field', field, decode: field.inputs.map((at) => codecOf(mapping.read[at]?.wireType, mapping.read[at]?.name)), encode: codecOf(field.column.wireType, field.column.name) });
    else if (previous?.kind === 'run' && previous.last + 1 === input) previous.last = input;
    else pieces.push({ kind: 'run', first: input, last: input });
  }
  return pieces;
}

function codecOf(wireType: number | undefined, column: string | undefined): BinaryCodec {
  const codec = binaryCodec(wireType);
  if (!codec) throw new MigrationError('INTERNAL', `column ${column ?? '?'} has no binary form here; its dataset should travel as values`);
  return codec;
}

/** Where the fields of one tuple are: `starts[i]` is the position of field i's length word, `starts[count]` the end. */
class Spans {
  starts = new Int32Array(64);

  read(data: Buffer, start: number): number {
    const count = data.readInt16BE(start);
    if (count + 1 > this.starts.length) this.starts = new Int32Array(count + 1);
    const { starts } = this;
    let at = start + 2;
    for (let i = 0; i < count; i += 1) {
      starts[i] = at;
      const length = (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;
      at += length > 0 ? 4 + length : 4;
    }
    starts[count] = at;
    return count;
  }

  /** -1 for NULL. */
  length(data: Buffer, field: number): number {
    return data.readInt32BE(this.starts[field]);
  }

  value(data: Buffer, field: number, codec: BinaryCodec): Value {
    const length = this.length(data, field);
    return length < 0 ? null : codec.decode(data, this.starts[field]! + 4, length);
  }
}

function transformTuples(batch: PgcopyBatch, mapping: Mapping, pieces: readonly Piece[], spans: Spans): StageResult {
  const { data, offsets, rowCount } = batch;
  const writer = new ByteWriter(Math.ceil(data.length * 1.1) + 64);
  const taken = new Takeout(batch);
  const out = new Uint32Array(rowCount + 1);
  let kept = 0;
  for (let row = 0; row < rowCount; row += 1) {
    spans.read(data, offsets[row]!);
    const start = writer.length;
    writer.int16(mapping.fields.length);
    try {
      for (let p = 0; p < pieces.length; p += 1) {
        const piece = pieces[p]!;
        if (piece.kind === 'run') writer.copyFrom(data, spans.starts[piece.first]!, spans.starts[piece.last + 1]!);
        else writeField(writer, data, spans, piece);
      }
    } catch (error) {
      writer.length = start;
      taken.reject(row, refusalReasons(error, mapping, data, spans));
      continue;
    }
    taken.keep(row, kept);
    kept += 1;
    out[kept] = writer.length;
  }
  return taken.result(writer.data.subarray(0, writer.length), out, kept);
}

function writeField(writer: ByteWriter, data: Buffer, spans: Spans, { field, decode, encode }: Extract<Piece, { kind: 'field' }>): void {
  let value: Value;
  if (field.constant !== undefined) value = field.constant;
  else if (field.applyMany) value = field.applyMany(field.inputs.map((input, at) => spans.value(data, input, decode[at]!)));
  else {
    const input = spans.value(data, field.inputs[0]!, decode[0]!);
    value = field.apply ? field.apply(input) : input;
  }
  if (value === null) {
    writer.int32(-1);
    return;
  }
  const lengthAt = writer.length;
  writer.int32(0);
  encode.encode(writer, value);
  writer.data.writeInt32BE(writer.length - lengthAt - 4, lengthAt);
}

/**
 * Why a row was refused, worked out once more on values, so that both encodings give the same reasons: refusals of transforms first;
 * else, where the target's type cannot hold a value, the rules that say so; else the server's own code.
 */
function refusalReasons(error: unknown, mapping: Mapping, data: Buffer, spans: Spans): Reason[] {
  if (!(error instanceof TransformFailure) && !(error instanceof EncodeRefusal)) throw error;
  const read = mapping.read.map((column, at): Value => {
    const codec = binaryCodec(column.wireType);
    return codec ? spans.value(data, at, codec) : null;
  });
  const refused = refusals(mapping.fields, read);
  if (refused.length > 0 || error instanceof TransformFailure) return refused;
  const broken = violations(mapping.fields.filter((field) => !field.passthrough || field.inputs.every((at) => binaryCodec(mapping.read[at]?.wireType))), mappedRow(mapping, read));
  return broken ?? [{ rule: `target:${error.sqlState}` }];
}

function mappedRow(mapping: Mapping, read: readonly Value[]): Value[] {
  return mapping.fields.map((field) => {
    if (field.constant !== undefined) return field.constant;
    if (field.applyMany) return field.applyMany(field.inputs.map((at) => read[at] ?? null));
    const value = read[field.inputs[0]!] ?? null;
    return field.apply ? field.apply(value) : value;
  });
}

function validateTuples(batch: PgcopyBatch, mapping: Mapping, judged: readonly MappedField[], spans: Spans): StageResult {
  const { data, offsets, rowCount } = batch;
  const codecs = judged.map((field) => binaryCodec(mapping.write[field.output]?.wireType));
  let taken: Takeout | null = null;
  const keptRows: number[] = [];
  for (let row = 0; row < rowCount; row += 1) {
    spans.read(data, offsets[row]!);
    let reasons: Reason[] | null = null;
    for (let f = 0; f < judged.length; f += 1) {
      const broken = brokenRules(data, spans, judged[f]!, codecs[f]);
      if (broken) reasons = reasons ? [...reasons, ...broken] : broken;
    }
    if (reasons) {
      // Until the first broken row nothing needs to be noted.
      if (!taken) for (let i = 0; i < row; i += 1) keptRows.push(i);
      (taken ??= new Takeout(batch)).reject(row, reasons);
    } else if (taken) keptRows.push(row);
  }
  return taken ? compact(batch, taken, keptRows) : { batch, rejections: [] };
}

function brokenRules(data: Buffer, spans: Spans, field: MappedField, codec: BinaryCodec | undefined): Reason[] | null {
  let reasons: Reason[] | null = null;
  let decoded: Value | undefined;
  const length = spans.length(data, field.output);
  const start = spans.starts[field.output]! + 4;
  for (const rule of field.rules) {
    let passes: boolean | undefined;
    if (length < 0) passes = rule.check(null);
    else if (rule.nullOnly) passes = true;
    else {
      passes = rule.checkBytes?.(data, start, start + length);
      if (passes === undefined) passes = rule.check(decoded ??= codec ? codec.decode(data, start, length) : null);
    }
    if (!passes) (reasons ??= []).push({ rule: rule.rule, column: field.column.name });
  }
  return reasons;
}

/** The kept rows of a batch, laid side by side anew; neighbours are copied together. */
function compact(batch: PgcopyBatch, taken: Takeout, rows: readonly number[]): StageResult {
  const data = Buffer.allocUnsafeSlow(batch.data.length);
  const offsets = new Uint32Array(rows.length + 1);
  let filled = 0;
  for (let i = 0; i < rows.length;) {
    let end = i + 1;
    while (end < rows.length && rows[end] === rows[end - 1]! + 1) end += 1;
    const from = batch.offsets[rows[i]!]!;
    const shift = filled - from;
    filled += batch.data.copy(data, filled, from, batch.offsets[rows[end - 1]! + 1]);
    for (; i < end; i += 1) {
      taken.keep(rows[i]!, i);
      offsets[i + 1] = batch.offsets[rows[i]! + 1]! + shift;
    }
  }
  return taken.result(data.subarray(0, filled), offsets, rows.length);
}

/** Which rows of a batch stay and which leave, in terms of the batch as it was read. */
class Takeout {
  private readonly rejections: Rejection[] = [];
  private readonly origin: Uint32Array;

  constructor(private readonly batch: PgcopyBatch) {
    this.origin = new Uint32Array(batch.rowCount);
  }

  private originOf(row: number): number {
    return this.batch.origin ? this.batch.origin[row]! : row;
  }

  reject(row: number, reasons: Reason[]): void {
    this.rejections.push({ row: this.originOf(row), reasons });
  }

  keep(row: number, at: number): void {
    this.origin[at] = this.originOf(row);
  }

  result(data: Buffer, offsets: Uint32Array, rowCount: number): StageResult {
    const unchanged = this.rejections.length === 0 && !this.batch.origin;
    return {
      batch: {
        encoding: 'pgcopy', data, offsets: offsets.slice(0, rowCount + 1), rowCount, byteCount: data.length,
        ...(unchanged ? {} : { origin: this.origin.slice(0, rowCount) }),
      },
      rejections: this.rejections,
    };
  }
}

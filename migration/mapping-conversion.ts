import { isSingle } from './mapping-fit';
import { TransformFailure } from './transform/definition';
import { textOfValue } from './transform/text-form';
import { outsideCalendar } from './transform/to-moment';
import type { Column, Value, ValueKind } from './value';

type Convert = (value: Value) => Value;

/** How values of one column become values of another without a declared transform. */
export type Conversion =
  | { lossless: true; convert: Convert | null; warning?: string }
  | { lossless: false; message: string; remedy: string };

/** The transform that makes each kind, for remedies. */
const MAKER: Partial<Record<ValueKind, string>> = {
  boolean: 'to_boolean', integer: 'to_integer', decimal: 'to_decimal', float: 'to_float', text: 'to_text', instant: 'to_iso_datetime',
  datetime: 'to_timestamp', date: 'to_date', json: 'to_json', uuid: 'to_uuid', opaque: 'to_text',
};

/** A type's name without its modifier: `bit(3)` is `bit`. */
const baseType = (type: string): string => type.replace(/\(.*?\)/, '');

/** Decides the conversion. Only what loses nothing happens by itself; the rest asks for a transform. `convert` null: the value stays as it is. */
export function conversion(from: Column, to: Column): Conversion {
  if (from.kind === to.kind) return sameKind(from, to);
  const plain = (convert: Convert | null, warning?: string): Conversion => ({ lossless: true, convert, ...(warning ? { warning } : {}) });
  switch (`${from.kind}>${to.kind}`) {
    case 'integer>decimal': return plain((value) => (value === null ? null : String(value)));
    case 'integer>float': return plain(exactFloat());
    case 'date>datetime': return plain(midnight('datetime'));
    case 'date>instant': return plain(midnight('instant'), 'days become midnight in UTC; `to_iso_datetime` with a `zone` takes another one.');
    case 'float>text': return plain(isSingle(from) ? singleText : (value) => (value === null ? null : textOfValue(value)));
    // The target reads its own text form, and refuses what is none: such rows go to quarantine.
    case 'text>opaque': return plain(null);
  }
  if (to.kind === 'text' && from.kind !== 'bytes') {
    return plain(from.kind === 'boolean' || from.kind === 'integer' ? (value) => (value === null ? null : String(value)) : null);
  }
  const maker = MAKER[to.kind];
  return {
    lossless: false,
    message: `${from.type} does not become ${to.type} by itself.`,
    remedy: maker ? `Add \`transform: ${maker}\` to its transformation.` : 'Use a transform of your own, or another target type.',
  };
}

function sameKind(from: Column, to: Column): Conversion {
  if (from.kind === 'opaque' && baseType(from.type) !== baseType(to.type)) {
    return { lossless: false, message: `${from.type} and ${to.type} are different types.`, remedy: 'Add `transform: to_text`: the target then reads the text, and rows it refuses go to quarantine.' };
  }
  // A single precision value is the same number whether it was read as text or as bytes.
  if (from.kind === 'float' && isSingle(from) && !isSingle(to)) return { lossless: true, convert: (value) => (value === null ? null : Math.fround(value as number)) };
  return { lossless: true, convert: null };
}

function exactFloat(): Convert {
  const failure = new TransformFailure('convert:float');
  return (value) => {
    if (value === null) return null;
    const number = Number(value);
    if (BigInt(number) !== value) throw failure;
    return number;
  };
}

function midnight(form: 'instant' | 'datetime'): Convert {
  const failure = new TransformFailure(`convert:${form}`);
  const tail = form === 'instant' ? 'T00:00:00Z' : 'T00:00:00';
  return (value) => {
    if (value === null) return null;
    const text = value as string;
    if (text.length === 10) return text + tail;
    const outside = outsideCalendar(text, form);
    if (outside === null) throw failure;
    return outside;
  };
}

/** Shortest text that reads back to the same single precision number. */
function singleText(value: Value): Value {
  if (value === null) return null;
  const number = Math.fround(value as number);
  for (let digits = 6; digits < 9 && Number.isFinite(number); digits += 1) {
    const short = Number(number.toPrecision(digits));
    if (Math.fround(short) === number) return textOfValue(short);
  }
  return textOfValue(number);
}

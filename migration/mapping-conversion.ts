import { hasDuplicateKeys } from './canonical-json';
import { isSingle, typeBelow } from './mapping-fit';
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

/** A type's name without schema and modifier: `bit(3)` is `bit`. Types of extensions, and those of renamed schemas, live elsewhere in the target. */
const bareName = (type: string): string => type.replace(/^(?:"(?:[^"]|"")*"|[^".(]+)\./, '').replace(/\(.*?\)/, '');

/** The server makes their values itself and reads none. */
const UNWRITABLE = new Set(['pg_node_tree', 'gtsvector', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary']);

/** Decides the conversion. Only what loses nothing happens by itself; the rest asks for a transform. `convert` null: the value stays as it is. */
export function conversion(from: Column, to: Column): Conversion {
  if (UNWRITABLE.has(typeBelow(to).replace('[]', ''))) {
    return { lossless: false, message: `no value can be written to a column of type ${to.type}: the server makes them itself.`, remedy: 'Leave the column out: `transform: drop`.' };
  }
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
  if (from.kind === 'opaque' && bareName(typeBelow(from)) !== bareName(typeBelow(to))) {
    return { lossless: false, message: `${from.type} and ${to.type} are different types.`, remedy: 'Add `transform: to_text`: the target then reads the text, and rows it refuses go to quarantine.' };
  }
  if (from.kind === 'opaque' && from.structure !== to.structure) {
    return { lossless: false, message: `${from.type} and ${to.type} are made differently: (${from.structure ?? ''}) and (${to.structure ?? ''}).`, remedy: 'Make the types alike; text of one would be taken by the other with its parts mixed up.' };
  }
  if (from.kind === 'json' && typeBelow(from) === 'json' && typeBelow(to) === 'jsonb') return { lossless: true, convert: oncePerKey() };
  // A single precision value is the same number whether it was read as text or as bytes.
  if (from.kind === 'float' && isSingle(from) && !isSingle(to)) return { lossless: true, convert: (value) => (value === null ? null : Math.fround(value as number)) };
  return { lossless: true, convert: null };
}

/** jsonb keeps the last of equal keys only. */
function oncePerKey(): Convert {
  const failure = new TransformFailure('convert:jsonb');
  return (value) => {
    if (value !== null && hasDuplicateKeys(value as string)) throw failure;
    return value;
  };
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
  // Digits alone would lose the sign.
  if (number === 0) return textOfValue(number);
  for (let digits = 6; digits < 9 && Number.isFinite(number); digits += 1) {
    const short = Number(number.toPrecision(digits));
    if (Math.fround(short) === number) return textOfValue(short);
  }
  return textOfValue(number);
}

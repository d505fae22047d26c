import { fitsSingle, shortestSingle } from '../../../migration/single-precision';
import type { Value } from '../../../migration/value';
import type { ByteWriter } from './byte-writer';
import { dateFromDays, daysFromDate, instantFromMicros, microsFromInstant, microsFromTime, timeFromMicros } from './civil-time';
import { decodeText } from './database-text';
import { decodeNumeric, encodeNumeric } from './numeric-codec';

/**
 * Binary forms of PostgreSQL's built-in types, by type oid, to and from the neutral values that the text form gives:
 * a row means the same in both encodings. A type that is not here makes its dataset travel as `values` when a transform or rule touches it.
 */
export interface BinaryCodec {
  /** `data[start .. start + length)` is one field, not NULL. */
  decode(data: Buffer, start: number, length: number): Value;
  /** Appends the field's bytes, without length. @throws EncodeRefusal when the type cannot hold the value. */
  encode(writer: ByteWriter, value: NonNullable<Value>): void;
}

/** The target's type cannot hold a value; carries the SQLSTATE that the server would give, and no value. */
export class EncodeRefusal extends Error {
  constructor(readonly sqlState: string) {
    super(`refused with ${sqlState}`);
  }
}

const OUT_OF_RANGE = new EncodeRefusal('22003');
const BAD_DATETIME = new EncodeRefusal('22007');
const DATETIME_OUT_OF_RANGE = new EncodeRefusal('22008');
const BAD_TEXT = new EncodeRefusal('22P02');

function integer(bytes: 2 | 4 | 8): BinaryCodec {
  const limit = 1n << BigInt(bytes * 8 - 1);
  return {
    decode: bytes === 2 ? (data, at) => BigInt(data.readInt16BE(at)) : bytes === 4 ? (data, at) => BigInt(data.readInt32BE(at)) : (data, at) => data.readBigInt64BE(at),
    encode(writer, value) {
      const number = value as bigint;
      if (number < -limit || number >= limit) throw OUT_OF_RANGE;
      if (bytes === 2) writer.int16(Number(number));
      else if (bytes === 4) writer.int32(Number(number));
      else writer.int64(number);
    },
  };
}

const text: BinaryCodec = {
  decode: (data, at, length) => decodeText(data, at, at + length),
  encode: (writer, value) => writer.text(value as string),
};

const jsonb: BinaryCodec = {
  decode: (data, at, length) => decodeText(data, at + 1, at + length),
  encode(writer, value) {
    writer.reserve(1);
    writer.data[writer.length] = 1;
    writer.length += 1;
    writer.text(value as string);
  },
};

function instant(zone: 'Z' | ''): BinaryCodec {
  return {
    decode: (data, at) => instantFromMicros(data.readInt32BE(at), data.readUInt32BE(at + 4), zone),
    encode(writer, value) {
      const micros = microsFromInstant(value as string);
      if (micros === null) throw BAD_DATETIME;
      if (!isInfinite(value) && (micros < MICROS_MIN || micros >= MICROS_END)) throw DATETIME_OUT_OF_RANGE;
      writer.int64(micros);
    },
  };
}

// The server's own limits (src/include/datatype/timestamp.h), in microseconds and days since 2000-01-01; ends are exclusive.
const MICROS_MIN = -211_813_488_000_000_000n;
const MICROS_END = 9_223_371_331_200_000_000n;
const DAYS_MIN = -2_451_545;
const DAYS_END = 2_145_031_949;

function isInfinite(value: NonNullable<Value>): boolean {
  return value === 'infinity' || value === '-infinity';
}

const float4: BinaryCodec = {
  decode: (data, at) => shortestSingle(data.readFloatBE(at)),
  encode(writer, value) {
    const number = value as number;
    // What would be rounded is refused here: once it is encoded, no rule could tell.
    if (!fitsSingle(number)) throw OUT_OF_RANGE;
    writer.reserve(4);
    writer.data.writeFloatBE(number, writer.length);
    writer.length += 4;
  },
};

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const CODECS: Record<number, BinaryCodec> = {
  16: { // bool
    decode: (data, at) => data[at] === 1,
    encode(writer, value) {
      writer.reserve(1);
      writer.data[writer.length] = value === true ? 1 : 0;
      writer.length += 1;
    },
  },
  17: { decode: (data, at, length) => new Uint8Array(data.subarray(at, at + length)), encode: (writer, value) => writer.bytes(value as Uint8Array) }, // bytea
  19: text, // name
  20: integer(8),
  21: integer(2),
  23: integer(4),
  25: text,
  114: text, // json
  700: float4,
  701: { // float8
    decode: (data, at) => data.readDoubleBE(at),
    encode(writer, value) {
      writer.reserve(8);
      writer.data.writeDoubleBE(value as number, writer.length);
      writer.length += 8;
    },
  },
  1042: text, // char(n)
  1043: text, // varchar
  1082: { // date
    decode: (data, at) => dateFromDays(data.readInt32BE(at)),
    encode(writer, value) {
      const days = daysFromDate(value as string);
      if (days === null) throw BAD_DATETIME;
      if (!isInfinite(value) && (days < DAYS_MIN || days >= DAYS_END)) throw DATETIME_OUT_OF_RANGE;
      writer.int32(days);
    },
  },
  1083: { // time
    decode: (data, at) => timeFromMicros(data.readBigInt64BE(at)),
    encode(writer, value) {
      const micros = microsFromTime(value as string);
      if (micros === null) throw BAD_DATETIME;
      writer.int64(micros);
    },
  },
  1114: instant(''),
  1184: instant('Z'),
  1700: {
    decode: (data, at, length) => decodeNumeric(data, at, length),
    encode(writer, value) {
      const outcome = encodeNumeric(writer, value as string);
      if (outcome !== 'done') throw outcome === 'too large' ? OUT_OF_RANGE : BAD_TEXT;
    },
  },
  2950: { // uuid
    decode(data, at) {
      const hex = data.toString('hex', at, at + 16);
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
    encode(writer, value) {
      if (!UUID.test(value as string)) throw BAD_TEXT;
      writer.bytes(Buffer.from((value as string).replaceAll('-', ''), 'hex'));
    },
  },
  3802: jsonb,
};

/** Undefined for types without a codec. */
export function binaryCodec(typeOid: number | undefined): BinaryCodec | undefined {
  return typeOid === undefined ? undefined : CODECS[typeOid];
}

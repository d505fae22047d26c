import { encodeText, isWellFormed } from './database-text';
import { giveSlab, takeSlab } from './slab-pool';

/** A buffer that grows; written front to back. */
export class ByteWriter {
  data: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.data = takeSlab(capacity);
  }

  /** Makes room for `bytes` more. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.data.length) return;
    const larger = takeSlab(Math.max(this.data.length * 2, this.length + bytes));
    this.data.copy(larger, 0, 0, this.length);
    giveSlab(this.data);
    this.data = larger;
  }

  copyFrom(source: Buffer, start: number, end: number): void {
    this.reserve(end - start);
    source.copy(this.data, this.length, start, end);
    this.length += end - start;
  }

  int16(value: number): void {
    this.reserve(2);
    this.data.writeInt16BE(value, this.length);
    this.length += 2;
  }

  int32(value: number): void {
    this.reserve(4);
    this.data.writeInt32BE(value, this.length);
    this.length += 4;
  }

  /** A number must be a safe integer. */
  int64(value: bigint | number): void {
    this.reserve(8);
    if (typeof value === 'bigint') this.data.writeBigInt64BE(value, this.length);
    else {
      const high = Math.floor(value / 4_294_967_296);
      this.data.writeInt32BE(high, this.length);
      this.data.writeUInt32BE(value - high * 4_294_967_296, this.length + 4);
    }
    this.length += 8;
  }

  text(value: string): void {
    if (!isWellFormed(value)) {
      this.bytes(encodeText(value));
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.reserve(bytes);
    this.data.write(value, this.length, bytes, 'utf8');
    this.length += bytes;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.data.set(value, this.length);
    this.length += value.length;
  }
}

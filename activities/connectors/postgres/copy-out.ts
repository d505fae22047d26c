import type { Socket } from 'node:net';
import type { Client } from 'pg';
import type { BatchLimits } from '../../../migration/batch';
import { giveSlab, takeSlab } from './slab-pool';

/**
 * COPY ... TO STDOUT, read straight from the socket.
 *
 * The server sends one CopyData message per row in both formats. While the copy runs this reader stands in for the driver's
 * own parser: it strips the frames, lays the rows side by side in one buffer and hands every other message to the driver.
 * Row i of a chunk is `data[offsets[i] .. offsets[i + 1])`, without frame, binary header or trailer.
 */
export interface RowChunk {
  data: Buffer;
  offsets: Uint32Array;
  rowCount: number;
  /** Rows that `data` cannot hold, field by field (`copyText`). */
  loose?: ReadonlyMap<number, (string | null)[]>;
}

const COPY_DATA = 0x64;
const READY_FOR_QUERY = 0x5a;
const QUERY = 0x51;
const FRAME_BYTES = 5;
const BINARY_HEADER_BYTES = 19;
const BINARY_TRAILER_BYTES = 2;
/** Finished chunks that may wait for the consumer before the socket is paused; one that is larger than a batch should be waits alone. */
const CHUNKS_AHEAD = 2;
const FIRST_SLAB_BYTES = 64 * 1024;

type DataListener = (chunk: Buffer) => void;
interface DriverConnection { stream: Socket; query(text: string): void }

/**
 * Runs `sql` (a COPY ... TO STDOUT) on a connection of its own and yields its rows in chunks within `limits`, in server order.
 * Memory: at most three chunks; of rows larger than `limits.bytesMax` two. Leaving the loop early destroys the connection, which ends the statement on the server.
 * @throws the driver's error when the server refuses or the connection breaks; the signal's reason on abort.
 */
export async function* copyOut(client: Client, sql: string | Buffer, format: 'binary' | 'text', limits: BatchLimits, signal: AbortSignal): AsyncGenerator<RowChunk> {
  signal.throwIfAborted();
  const copy = new CopyOut(sql, format === 'binary', limits);
  const abort = () => copy.fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  let finished = false;
  try {
    // The driver's queue takes any object with submit() and handle...() methods; its types know only its own.
    (client.query as unknown as (submittable: CopyOut) => void).call(client, copy);
    for (;;) {
      const chunk = await copy.next();
      if (!chunk) break;
      yield chunk;
    }
    finished = true;
  } finally {
    signal.removeEventListener('abort', abort);
    if (!finished) destroySocket(client);
  }
}

/** Ends a connection at once, without asking the server. */
export function destroySocket(client: Client): void {
  (client as unknown as { connection: DriverConnection }).connection.stream.destroy();
}

class CopyOut {
  private readonly chunks: RowChunk[] = [];
  private waitingBytes = 0;
  private wake: (() => void) | null = null;
  private error: Error | null = null;
  private ended = false;
  private stream: Socket | null = null;
  private driverListeners: DataListener[] = [];
  private readonly listener: DataListener = (bytes) => this.take(bytes);
  private readonly rows: RowCollector;

  // Frame state across socket chunks.
  private readonly frame = Buffer.alloc(FRAME_BYTES);
  private frameFilled = 0;
  private remaining = 0;
  private inRow = false;
  private message: Buffer[] | null = null;

  constructor(
    private readonly sql: string | Buffer,
    binary: boolean,
    private readonly limits: BatchLimits,
  ) {
    this.rows = new RowCollector(binary, limits, (chunk) => {
      this.chunks.push(chunk);
      this.waitingBytes += chunk.data.length;
      if (this.ahead) this.stream?.pause();
      this.wake?.();
    });
  }

  private get ahead(): boolean {
    return this.chunks.length >= CHUNKS_AHEAD || this.waitingBytes > this.limits.bytesMax;
  }

  async next(): Promise<RowChunk | null> {
    for (;;) {
      const chunk = this.chunks.shift();
      if (chunk) {
        this.waitingBytes -= chunk.data.length;
        if (!this.ahead) this.stream?.resume();
        return chunk;
      }
      if (this.error) throw this.error;
      if (this.ended) return null;
      await new Promise<void>((resolve) => { this.wake = resolve; });
      this.wake = null;
    }
  }

  fail(error: Error): void {
    this.error ??= error;
    this.wake?.();
  }

  submit(connection: DriverConnection): void {
    this.stream = connection.stream;
    this.driverListeners = connection.stream.listeners('data') as DataListener[];
    connection.stream.on('data', this.listener);
    for (const listener of this.driverListeners) connection.stream.removeListener('data', listener);
    if (typeof this.sql === 'string') connection.query(this.sql);
    else connection.stream.write(queryMessage(this.sql));
  }

  private take(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.remaining === 0) {
        const wanted = FRAME_BYTES - this.frameFilled;
        const copied = bytes.copy(this.frame, this.frameFilled, at, Math.min(at + wanted, bytes.length));
        this.frameFilled += copied;
        at += copied;
        if (this.frameFilled < FRAME_BYTES) return;
        this.beginMessage();
        continue;
      }
      const end = Math.min(at + this.remaining, bytes.length);
      if (this.inRow) this.rows.append(bytes, at, end);
      else this.message?.push(bytes.subarray(at, end));
      this.remaining -= end - at;
      at = end;
      if (this.remaining === 0 && this.endMessage()) {
        if (at < bytes.length) this.forward(bytes.subarray(at));
        return;
      }
    }
  }

  private beginMessage(): void {
    this.frameFilled = 0;
    this.remaining = this.frame.readUInt32BE(1) - 4;
    this.inRow = this.frame[0] === COPY_DATA;
    if (this.inRow) this.rows.begin(this.remaining);
    else this.message = [Buffer.from(this.frame)];
    if (this.remaining === 0) this.endMessage();
  }

  /** Returns true when the statement is over and the driver has its stream back. */
  private endMessage(): boolean {
    if (this.inRow) {
      this.rows.end();
      return false;
    }
    const message = Buffer.concat(this.message ?? []);
    this.message = null;
    const over = message[0] === READY_FOR_QUERY;
    if (over) this.giveBack();
    this.forward(message);
    return over;
  }

  private forward(bytes: Buffer): void {
    for (const listener of this.driverListeners) listener(bytes);
  }

  private giveBack(): void {
    const stream = this.stream;
    if (!stream) return;
    for (const listener of this.driverListeners) stream.on('data', listener);
    stream.removeListener('data', this.listener);
    stream.resume();
    this.stream = null;
  }

  // What the driver calls for the messages forwarded to it.
  handleError(error: Error): void { this.fail(error); }
  handleReadyForQuery(): void {
    this.rows.flush();
    this.ended = true;
    this.wake?.();
  }
  handleRowDescription(): void { this.fail(new Error('COPY TO STDOUT expected')); }
  handleDataRow(): void { /* no rows outside the copy */ }
  handleCommandComplete(): void { /* counted by the reader itself */ }
  handleCopyInResponse(): void { this.fail(new Error('COPY TO STDOUT expected')); }
  handleCopyData(): void { /* taken before the driver sees it */ }
  handleEmptyQuery(): void { this.fail(new Error('COPY TO STDOUT expected')); }
  handlePortalSuspended(): void { /* simple protocol: never */ }
}

/** A statement in the database's own encoding, which the driver does not speak. */
function queryMessage(sql: Buffer): Buffer {
  const message = Buffer.alloc(FRAME_BYTES + sql.length + 1);
  message[0] = QUERY;
  message.writeUInt32BE(message.length - 1, 1);
  sql.copy(message, FRAME_BYTES);
  return message;
}

/** Lays rows side by side and cuts chunks at the limits. */
class RowCollector {
  private slab: Buffer;
  private filled = 0;
  private offsets: Uint32Array;
  private count = 0;
  private headerPending: boolean;
  private lastChunkBytes = FIRST_SLAB_BYTES;

  constructor(
    private readonly binary: boolean,
    private readonly limits: BatchLimits,
    private readonly emit: (chunk: RowChunk) => void,
  ) {
    this.headerPending = binary;
    this.slab = takeSlab(FIRST_SLAB_BYTES);
    this.offsets = new Uint32Array(1025);
  }

  /** A row of `bytes` bytes begins. */
  begin(bytes: number): void {
    if (this.count > 0 && this.filled + bytes > this.limits.bytesMax) this.flush();
    if (this.filled + bytes > this.slab.length) this.grow(this.filled + bytes);
  }

  append(source: Buffer, from: number, to: number): void {
    this.filled += source.copy(this.slab, this.filled, from, to);
  }

  end(): void {
    const start = this.offsets[this.count] ?? 0;
    if (this.headerPending) {
      this.headerPending = false;
      this.slab.copyWithin(start, start + BINARY_HEADER_BYTES, this.filled);
      this.filled -= BINARY_HEADER_BYTES;
      // Some servers send the header alone.
      if (this.filled === start) return;
    }
    if (this.binary && this.filled - start === BINARY_TRAILER_BYTES && this.slab.readInt16BE(start) === -1) {
      this.filled = start;
      return;
    }
    this.count += 1;
    if (this.count + 1 > this.offsets.length) this.growOffsets();
    this.offsets[this.count] = this.filled;
    if (this.count >= this.limits.rowsMax || this.filled >= this.limits.bytesMax) this.flush();
  }

  flush(): void {
    if (this.count === 0) return;
    this.lastChunkBytes = Math.max(FIRST_SLAB_BYTES, this.filled);
    this.emit({ data: this.slab.subarray(0, this.filled), offsets: this.offsets.slice(0, this.count + 1), rowCount: this.count });
    // Rows of one table are alike: the next chunk will need about as much.
    this.slab = takeSlab(this.lastChunkBytes + (this.lastChunkBytes >> 4));
    this.filled = 0;
    this.count = 0;
  }

  private grow(needed: number): void {
    const larger = takeSlab(Math.max(needed, this.slab.length * 2));
    this.slab.copy(larger, 0, 0, this.filled);
    giveSlab(this.slab);
    this.slab = larger;
  }

  private growOffsets(): void {
    const larger = new Uint32Array(this.offsets.length * 2);
    larger.set(this.offsets);
    this.offsets = larger;
  }
}

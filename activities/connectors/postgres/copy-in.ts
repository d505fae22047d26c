import type { Socket } from 'node:net';
import type { ClientBase } from 'pg';

interface DriverConnection { stream: Socket; query(text: string): void; endCopyFrom(): void; sendCopyFail(message: string): void }

const COPY_DATA = 0x64;
const BINARY_HEADER = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex');
const BINARY_TRAILER = Buffer.from([0xff, 0xff]);
/** One CopyData message carries up to this much; the server takes any cut. */
const MESSAGE_BYTES = 1024 * 1024;

/**
 * COPY ... FROM STDIN. `sections` are written in order, with backpressure of the socket; in binary format header and trailer are added.
 * @returns the row count that the server reports.
 * @throws the driver's error when the server refuses a row: nothing of this statement is kept then, and the connection can go on (ROLLBACK first).
 */
export async function copyIn(client: ClientBase, sql: string, format: 'binary' | 'text', sections: Iterable<Buffer>): Promise<number> {
  const copy = new CopyIn(sql);
  (client.query as unknown as (submittable: CopyIn) => void).call(client, copy);
  const connection = await copy.ready;
  try {
    if (format === 'binary') await copy.write(connection, BINARY_HEADER);
    for (const section of sections) {
      for (let at = 0; at < section.length && !copy.over; at += MESSAGE_BYTES) {
        await copy.write(connection, section.subarray(at, at + MESSAGE_BYTES));
      }
    }
    if (format === 'binary') await copy.write(connection, BINARY_TRAILER);
    if (!copy.over) connection.endCopyFrom();
  } catch (error) {
    if (!copy.over) connection.sendCopyFail('stopped by the sender');
    await copy.done.catch(() => undefined);
    throw error;
  }
  return copy.done;
}

class CopyIn {
  readonly ready: Promise<DriverConnection>;
  readonly done: Promise<number>;
  /** The server has answered: more data would be ignored. */
  over = false;
  private start!: (connection: DriverConnection) => void;
  private refuseStart!: (error: Error) => void;
  private finish!: (rows: number) => void;
  private refuse!: (error: Error) => void;
  private rows = -1;
  private wake: (() => void) | null = null;

  constructor(private readonly sql: string) {
    this.ready = new Promise((resolve, reject) => { this.start = resolve; this.refuseStart = reject; });
    this.done = new Promise((resolve, reject) => { this.finish = resolve; this.refuse = reject; });
    // Either may be rejected while nobody waits yet; both are awaited by copyIn.
    this.ready.catch(() => undefined);
    this.done.catch(() => undefined);
  }

  submit(connection: DriverConnection): void { connection.query(this.sql); }

  async write(connection: DriverConnection, bytes: Buffer): Promise<void> {
    if (this.over) return;
    const frame = Buffer.allocUnsafe(5);
    frame[0] = COPY_DATA;
    frame.writeUInt32BE(bytes.length + 4, 1);
    const { stream } = connection;
    stream.cork();
    stream.write(frame);
    const flowing = stream.write(bytes);
    stream.uncork();
    if (!flowing) await this.drained(stream);
  }

  private async drained(stream: Socket): Promise<void> {
    await new Promise<void>((resolve) => {
      const settle = () => {
        stream.removeListener('drain', settle);
        stream.removeListener('close', settle);
        this.wake = null;
        resolve();
      };
      this.wake = settle;
      stream.once('drain', settle);
      stream.once('close', settle);
      if (this.over || stream.destroyed) settle();
    });
  }

  handleCopyInResponse(connection: DriverConnection): void { this.start(connection); }
  handleCommandComplete(message: { text: string }): void { this.rows = Number(/^COPY (\d+)/.exec(message.text)?.[1] ?? -1); }
  handleReadyForQuery(): void {
    this.over = true;
    this.finish(this.rows);
  }
  handleError(error: Error): void {
    this.over = true;
    this.refuseStart(error);
    this.refuse(error);
    this.wake?.();
  }
  handleRowDescription(): void { this.handleError(new Error('COPY FROM STDIN expected')); }
  handleDataRow(): void { /* COPY FROM has no rows */ }
  handleCopyData(): void { /* COPY FROM has no rows */ }
  handleEmptyQuery(): void { this.handleError(new Error('COPY FROM STDIN expected')); }
  handlePortalSuspended(): void { /* simple protocol: never */ }
}

import type { Socket } from 'node:net';
import { Client, type ClientBase, type ClientConfig } from 'pg';

/** A connection that waits this long without a byte in either direction is asked about, and after as long again given up. */
const SILENT_MS = 30_000;
/** The server's whole answer about a silent connection must be there within this time. */
const ANSWER_MS = 10_000;

interface DriverState { readyForQuery: boolean; _ending: boolean; connection: { stream: Socket } }
interface Watched { pid: number; progress: number; since: number; suspected: boolean }

/**
 * Ends connections on whose way something swallows every byte (a firewall that forgot them, a stalled tunnel), so that what waits on them fails as
 * `SYSTEM_UNREACHABLE` and is tried again. TCP itself may never notice. A statement may rightly take hours in silence: so the server is asked on
 * another connection. Only when, twice, its process waits for us while we wait for it, or is gone, or nobody answers there either, is the connection
 * given up; the process is ended too, for it may hold locks.
 */
export class StallWatch {
  private readonly watched = new Map<ClientBase, Watched>();
  private timer: NodeJS.Timeout | null = null;
  private looking = false;

  constructor(private readonly config: ClientConfig, private readonly silentMs = SILENT_MS) {}

  /** From now until its end. `pid` is the server's process of this connection. */
  add(client: ClientBase, pid: number): void {
    this.watched.set(client, { pid, progress: progressOf(client), since: Date.now(), suspected: false });
    client.once('end', () => this.remove(client));
    // The watch alone keeps no process alive.
    this.timer ??= setInterval(() => void this.look(), this.silentMs / 3).unref();
  }

  private remove(client: ClientBase): void {
    this.watched.delete(client);
    if (this.watched.size > 0 || !this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
  }

  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const silent = [...this.watched].filter(([client, entry]) => this.isSilent(client, entry));
      if (silent.length === 0) return;
      const waiting = await this.waitingForUs(silent.map(([, entry]) => entry.pid));
      for (const [client, entry] of silent) this.judge(client, entry, waiting === 'silence' || waiting.has(entry.pid));
    } finally {
      this.looking = false;
    }
  }

  private isSilent(client: ClientBase, entry: Watched): boolean {
    const progress = progressOf(client);
    const now = Date.now();
    if (!awaitsServer(client) || progress !== entry.progress) Object.assign(entry, { progress, since: now, suspected: false });
    return now - entry.since >= this.silentMs;
  }

  private judge(client: ClientBase, entry: Watched, stalled: boolean): void {
    if (!this.isSilent(client, entry)) return;
    if (stalled && entry.suspected) {
      streamOf(client).destroy(Object.assign(new Error('the connection stalled'), { code: 'ETIMEDOUT' }));
      void this.ask('SELECT pg_catalog.pg_terminate_backend($1)', [entry.pid]).catch(() => undefined);
      return;
    }
    // Busy, or suspected for the first time: looked at again after as long.
    Object.assign(entry, { since: Date.now(), suspected: stalled });
  }

  /** Those processes that are gone, or wait for their client. `silence`: the server does not answer here either. */
  private async waitingForUs(pids: number[]): Promise<Set<number> | 'silence'> {
    try {
      const rows = await this.ask<{ pid: number }>(
        `SELECT p.pid FROM unnest($1::int[]) p(pid) LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE a.pid IS NULL OR a.wait_event_type = 'Client'`, [pids]);
      return new Set(rows.map(({ pid }) => pid));
    } catch (error) {
      // A refusal is an answer: the server lives, and what it does for us cannot be told.
      return isRefusal(error) ? new Set() : 'silence';
    }
  }

  private async ask<T extends object>(text: string, values: unknown[]): Promise<T[]> {
    const client = new Client({ ...this.config, connectionTimeoutMillis: ANSWER_MS, query_timeout: ANSWER_MS });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query<T>(text, values)).rows;
    } finally {
      streamOf(client).destroy();
    }
  }
}

function stateOf(client: ClientBase): DriverState {
  return client as unknown as DriverState;
}

function streamOf(client: ClientBase): Socket {
  return stateOf(client).connection.stream;
}

/** Bytes that came and bytes that left this process. */
function progressOf(client: ClientBase): number {
  const { bytesRead, bytesWritten, writableLength } = streamOf(client);
  return bytesRead + bytesWritten - writableLength;
}

/** A statement, or the farewell, is under way, and its answer is not held up by ourselves. */
function awaitsServer(client: ClientBase): boolean {
  const { readyForQuery, _ending: ending } = stateOf(client);
  return (!readyForQuery || ending) && !streamOf(client).isPaused();
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'severity' in error;
}

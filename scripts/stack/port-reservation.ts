import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { StackError } from './stack-error';

/** A port that no other stack takes until `release()`; release it once the server listens, for then the port itself is the proof. */
export interface PortReservation {
  port: number;
  release(): void;
}

/** A reservation left by a process that was killed counts no more after this time. */
const staleAfterMs = 5 * 60_000;

/** Reserves the preferred port when it is free, else a random free one outside the range that the system hands out by itself. */
export async function reservePort(preferred?: number): Promise<PortReservation> {
  if (preferred !== undefined) {
    const reservation = await tryReserve(preferred);
    if (reservation) return reservation;
  }
  const [low, high] = quietPortRange();
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = low + Math.floor(Math.random() * (high - low));
    const reservation = await tryReserve(port);
    if (reservation) return reservation;
  }
  throw new StackError(`no free port found between ${low} and ${high} on 127.0.0.1`);
}

async function tryReserve(port: number): Promise<PortReservation | undefined> {
  const lock = path.join(lockFolder(), String(port));
  if (!createLock(lock)) return undefined;
  const release = (): void => rmSync(lock, { force: true });
  if (await isFree(port)) return { port, release };
  release();
  return undefined;
}

function createLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Only cleared for the next caller, not taken over: two processes may be clearing it at once.
    const age = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
    if (age !== undefined && Date.now() - age > staleAfterMs) rmSync(lock, { force: true });
    return false;
  }
}

function lockFolder(): string {
  const folder = path.join(tmpdir(), `caravan-ports-${userInfo().uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Ports outside the ephemeral range cannot be taken by an outgoing connection between our look and the server's start. */
function quietPortRange(): [low: number, high: number] {
  let [low, high] = [32768, 60999];
  try {
    const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
    if (first && last) [low, high] = [first, last];
  } catch {
    // Not Linux: the other systems start at 32768 or at 49152.
  }
  if (low > 12_000) return [Math.max(10_000, low - 20_000), low - 1];
  return high < 64_000 ? [high + 1, 65_535] : [20_000, 60_000];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cachedFolder, cacheFolder } from '../../scripts/stack/download-cache';
import { lastLines } from '../../scripts/stack/guarded-server';
import { reservePort } from '../../scripts/stack/port-reservation';
import { readJsonFile, writePrivateFile } from '../../scripts/stack/private-file';
import { identifyProcess, isStillRunning, stopProcess } from '../../scripts/stack/process-identity';

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'caravan-unit-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('ports', () => {
  it('are never given to two at once, and again after their release', async () => {
    const reservations = await Promise.all(Array.from({ length: 40 }, () => reservePort()));
    expect(new Set(reservations.map(({ port }) => port)).size).toBe(40);
    const [first] = reservations;
    const second = await reservePort(first!.port);
    expect(second.port).not.toBe(first!.port);
    for (const reservation of [...reservations, second]) reservation.release();
    const again = await reservePort(first!.port);
    expect(again.port).toBe(first!.port);
    again.release();
  });

  it('in use are passed over', async () => {
    const occupant = createServer();
    const { port: wanted, release } = await reservePort();
    await new Promise<void>((resolve) => occupant.listen(wanted, '127.0.0.1', resolve));
    release();
    const reservation = await reservePort(wanted);
    expect(reservation.port).not.toBe(wanted);
    reservation.release();
    await new Promise((resolve) => occupant.close(resolve));
  });

  it('lie outside the range of outgoing connections', async () => {
    const range = '/proc/sys/net/ipv4/ip_local_port_range';
    const [low, high] = existsSync(range) ? readFileSync(range, 'utf8').trim().split(/\s+/).map(Number) : [49_152, 65_535];
    const reservation = await reservePort();
    expect(reservation.port < low! || reservation.port > high!).toBe(true);
    reservation.release();
  });
});

describe('processes', () => {
  it('are told apart from later ones with the same pid', async () => {
    const child = spawn('sleep', ['30']);
    const identity = identifyProcess(child.pid!)!;
    expect(isStillRunning(identity)).toBe(true);
    const impostor = { ...identity, startedAt: 'another time' };
    expect(isStillRunning(impostor)).toBe(false);
    await stopProcess(impostor, 'SIGKILL', 1_000);
    expect(isStillRunning(identity)).toBe(true);
    await stopProcess(identity, 'SIGTERM', 1_000);
    expect(isStillRunning(identity)).toBe(false);
    expect(identifyProcess(child.pid!)).toBeUndefined();
  });

  it('that ignore the stop signal are killed after the limit', async () => {
    const child = spawn(process.execPath, ['-e', "process.on('SIGTERM', () => {}); console.log('ready'); setInterval(() => {}, 1000)"]);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const identity = identifyProcess(child.pid!)!;
    await stopProcess(identity, 'SIGTERM', 300);
    expect(isStillRunning(identity)).toBe(false);
  });
});

describe('files', () => {
  it('with passwords are for their owner only', () => {
    const file = path.join(folder, 'deep', 'state.json');
    writePrivateFile(file, '{"a":1}');
    writePrivateFile(file, '{"a":2}');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readJsonFile(file)).toEqual({ a: 2 });
    expect(readdirSync(path.dirname(file))).toEqual(['state.json']);
  });

  it('that are missing or broken read as nothing', () => {
    writeFileSync(path.join(folder, 'half.json'), '{"a":');
    expect(readJsonFile(path.join(folder, 'half.json'))).toBeUndefined();
    expect(readJsonFile(path.join(folder, 'none.json'))).toBeUndefined();
  });

  it('show their last lines', () => {
    const file = path.join(folder, 'log');
    writeFileSync(file, Array.from({ length: 50_000 }, (_, line) => `line ${line}`).join('\n'));
    expect(lastLines(file, 2)).toBe('line 49998\nline 49999');
    expect(lastLines(path.join(folder, 'none'), 2)).toBe('');
  });
});

describe('the cache', () => {
  it('is where the environment says', () => {
    expect(cacheFolder({ CARAVAN_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe('/b/caravan');
    expect(cacheFolder({})).toMatch(/\.cache\/caravan$/);
  });

  it('is filled once, however many ask', async () => {
    let fills = 0;
    const fill = async (unfinished: string): Promise<void> => {
      fills++;
      await new Promise((resolve) => setTimeout(resolve, 100));
      writeFileSync(path.join(unfinished, 'program'), 'x');
    };
    const folders = await Promise.all(Array.from({ length: 4 }, () => cachedFolder(folder, 'program-1', fill)));
    expect(new Set(folders)).toEqual(new Set([path.join(folder, 'program-1')]));
    expect(fills).toBe(1);
    expect(readdirSync(folder)).toEqual(['program-1']);
  });

  it('keeps nothing of a fill that failed', async () => {
    await expect(cachedFolder(folder, 'program-1', () => Promise.reject(new Error('no network')))).rejects.toThrow('no network');
    expect(readdirSync(folder)).toEqual([]);
  });
});

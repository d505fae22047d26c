import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CutoverRun } from '../fixtures/cutover-run';
import { query } from '../fixtures/stack';

jest.setTimeout(300_000);

const DISK_MB = 1;
const mounted = (folder: string): boolean => spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=700`, 'tmpfs', folder]).status === 0;

/** Whether this process may mount a file system: a full disk cannot be made otherwise. */
function canMount(): boolean {
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-mount-'));
  const able = mounted(folder);
  if (able) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
  return able;
}

const possible = canMount();
if (!possible) process.stderr.write('No file system may be mounted here: the case of a full backup disk is left out.\n');

(possible ? test : test.skip)('a backup whose disk is full blocks with the remedy before any row moves, changes nothing on either side, and goes on once there is room', async () => {
  const disk = mkdtempSync(path.join(tmpdir(), 'caravan-backup-disk-'));
  const filler = path.join(disk, 'filler');
  expect(mounted(disk)).toBe(true);
  const run = await CutoverRun.create('bk_full', { plan: { cutover: undefined, downtime_tolerance: undefined, backup: { folder: path.join(disk, 'kept'), sides: ['source'] } } });
  const rows = async () => [await run.rows('legacy', 'people'), await run.rows('legacy', 'visits')];
  try {
    const before = await rows();
    writeFileSync(filler, Buffer.alloc((DISK_MB * 1024 - 40) * 1024));
    await run.begin();
    const { blocked } = await run.untilState((progress) => progress.blocked.length > 0);
    expect(blocked).toMatchObject([{ step: 'backup', code: 'BACKUP_FAILED', message: expect.stringMatching(/backup folder .* is full \(ENOSPC\)\. Free space there, or name another folder under backup\.folder .*then retry/) as string }]);
    expect(await rows()).toEqual(before);
    expect(await query(run.databases.new, 'SELECT (SELECT count(*)::int FROM people) AS people, (SELECT count(*)::int FROM visits) AS visits')).toEqual([{ people: 0, visits: 0 }]);
    expect(await query(run.databases.control, `SELECT FROM caravan.backup WHERE state = 'verified'`)).toEqual([]);
    // A retry while it is still full blocks again, and leaves nothing half made that would pass for a backup.
    await run.resolve('retry', 'backup');
    await run.untilState((progress) => progress.blocked.some(({ occurrence }) => occurrence !== blocked[0]?.occurrence));
    rmSync(filler);
    await run.resolve('retry', 'backup');
    expect(await run.result()).toMatchObject({ status: 'complete', counts: { read: 4000 } });
    const [kept] = await query<{ state: string; rows: number; folder: string }>(run.databases.control, `SELECT state, (evidence ->> 'rows')::int AS rows, evidence ->> 'folder' AS folder FROM caravan.backup ORDER BY id DESC LIMIT 1`);
    expect(kept).toMatchObject({ state: 'verified', rows: 4000 });
    expect(existsSync(path.join(kept?.folder ?? '', 'manifest.json'))).toBe(true);
    expect(await run.rows('new', 'people')).toEqual(before[0]);
  } finally {
    await run.close();
    spawnSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  }
});

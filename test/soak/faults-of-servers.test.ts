import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Client } from 'pg';
import { SIDES } from '../fixtures/fault-servers';
import { describeRunFaults, type RunFault } from '../fixtures/run-faults';
import { until } from '../fixtures/until';
import type { WholeRun } from '../fixtures/whole-run';

const DISK_MB = 4;
const FULL_FOR_MS = 6_000;
const mount = (...args: string[]): boolean => spawnSync('mount', args).status === 0;
const unmount = (folder: string): void => { spawnSync('umount', [folder]); };

/** A disk of a few megabytes, of which the target's table `payments` gets less than it needs. */
class SmallDisk {
  private readonly folder = mkdtempSync(path.join(tmpdir(), 'caravan-small-disk-'));

  static get possible(): boolean {
    const folder = mkdtempSync(path.join(tmpdir(), 'caravan-mount-'));
    const mounted = mount('-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'tmpfs', folder);
    if (mounted) unmount(folder);
    rmSync(folder, { recursive: true });
    return mounted;
  }

  async giveTo(run: WholeRun): Promise<void> {
    if (!mount('-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=755`, 'tmpfs', this.folder)) throw new Error('the disk cannot be mounted');
    const [data] = await run.on<{ folder: string }>('new', `SELECT setting AS folder FROM pg_settings WHERE name = 'data_directory'`);
    const { uid, gid } = statSync(data!.folder);
    chownSync(this.folder, uid, gid);
    chmodSync(this.folder, 0o700);
    await run.on('new', `CREATE TABLESPACE small LOCATION '${this.folder}'`);
    await run.on('new', 'ALTER TABLE payments SET TABLESPACE small');
    writeFileSync(this.filler, Buffer.alloc((DISK_MB - 0.25) * 1024 * 1024));
  }

  free(): void {
    rmSync(this.filler, { force: true });
  }

  async takeAway(run: WholeRun): Promise<void> {
    await run.servers.on('new', 'postgres', 'DROP TABLESPACE IF EXISTS small');
    unmount(this.folder);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get filler(): string { return path.join(this.folder, 'filler'); }
}

/** Holds a later row of a commit until the copy waits for it, and then wants an earlier one: the server ends the copy's transaction. */
async function deadlock(run: WholeRun): Promise<void> {
  const rival = await run.servers.connect('new', run.database);
  try {
    // Who waits longer than this looks for a deadlock: not the rival.
    await rival.query(`SET deadlock_timeout = '10min'; BEGIN; SELECT FROM items WHERE id = 91 FOR UPDATE`);
    await until(async () => (await run.on('new', `SELECT FROM pg_stat_activity WHERE application_name LIKE 'caravan%' AND cardinality(pg_blocking_pids(pid)) > 0`)).length > 0);
    await rival.query('SELECT FROM items WHERE id = 1 FOR UPDATE; ROLLBACK');
  } finally {
    await rival.end();
  }
}

/** Others take every connection of the target, those that the copy loses included. */
async function crowd(run: WholeRun): Promise<void> {
  const watcher = await run.servers.connect('new', run.database);
  const others: Client[] = [];
  const before = run.servers.logged('new', 'too many clients already');
  let refused = 0;
  const fill = async (): Promise<void> => {
    for (;;) {
      try {
        others.push(await run.servers.connect('new', 'postgres'));
      } catch {
        refused += 1;
        return;
      }
    }
  };
  try {
    await fill();
    const deadline = Date.now() + FULL_FOR_MS;
    while (Date.now() < deadline) {
      await watcher.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'caravan%'`);
      await fill();
    }
    expect(run.servers.logged('new', 'too many clients already') - before).toBeGreaterThan(refused);
  } finally {
    await Promise.all([watcher, ...others].map((client) => client.end()));
  }
}

const HOSTILE = { statement_timeout: '50ms', lock_timeout: '1ms', transaction_timeout: '500ms', idle_in_transaction_session_timeout: '200ms', idle_session_timeout: '500ms', default_transaction_isolation: 'serializable' };

let disk: SmallDisk;
const FAULTS: RunFault[] = [
  ...(SmallDisk.possible ? [{
    name: 'the disk of the target is full until a person frees space',
    prepare: (run) => (disk = new SmallDisk()).giveTo(run),
    act: () => Promise.resolve(), ends: [3], says: /payments.*No space left on device.*\(SQLSTATE 53100\)\. The disk of the server is full: free space/s,
    mend: () => { disk.free(); return Promise.resolve(); },
    release: (run) => disk.takeAway(run),
  } satisfies RunFault] : []),
  {
    name: 'a deadlock with another writer', act: deadlock, ends: [0],
    judge: (run) => until(async () => (await run.on<{ n: number }>('new', `SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()`))[0]?.n === 1),
  },
  { name: 'others take every connection of the target for a while', act: crowd, ends: [0, 3] },
  {
    name: 'short limits and another isolation are set for both databases',
    prepare: async (run) => { for (const side of SIDES) for (const [name, value] of Object.entries(HOSTILE)) await run.on(side, `ALTER DATABASE ${run.database} SET ${name} = '${value}'`); },
    act: async (run) => {
      const other = await run.servers.connect('new', run.database);
      await other.query('BEGIN; LOCK TABLE payments, bag, items IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT');
      await other.end();
    },
    ends: [0],
  },
];
if (!SmallDisk.possible) process.stderr.write('No file system may be mounted here: the case of a full disk is left out.\n');

describeRunFaults('Faults of servers', FAULTS);

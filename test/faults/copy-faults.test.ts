import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { createActivities } from '../../activities';
import { commitUnits } from '../../activities/commit-units';
import { openPipeline, openWriter, type Pipeline } from '../../activities/dataset-pipeline';
import { readRows } from '../../activities/read-batch';
import { forgetRuns } from '../../activities/run-context';
import type { CommitUnit } from '../../migration/connector';
import type { CopyActivities, OpenedDataset, RunRef, SliceInput } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { TcpProxy, type Cut } from '../fixtures/tcp-proxy';
import { until } from '../fixtures/until';

const ROWS = 4_000;
const COLUMNS = 'id bigint PRIMARY KEY, email text, amount numeric, pad text';
const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };

describe('faults of the copy', () => {
  let run: ActivitiesRun;
  const proxies = new Map<string, TcpProxy>();
  let tables = 0;
  beforeAll(async () => {
    run = await activitiesRun('faults', {
      async through(connection, url) {
        const proxy = await TcpProxy.start(new URL(url));
        proxies.set(connection, proxy);
        return proxy.address(url);
      },
    });
  }, 60_000);
  afterEach(() => { for (const proxy of proxies.values()) proxy.cut = () => 'pass'; });
  afterAll(async () => {
    await run.close();
    for (const proxy of proxies.values()) await proxy.stop();
  });

  interface Dataset { name: string; ref: RunRef; opened: OpenedDataset; slice: SliceInput }
  /** Rows with some that break a rule and some that the target refuses, opened and not copied yet. */
  async function dataset(options: { keyed?: boolean; mode?: 'fused' | 'staged'; pad?: number } = {}): Promise<Dataset> {
    const name = `t${++tables}`;
    const columns = options.keyed === false ? COLUMNS.replace(' PRIMARY KEY', '') : COLUMNS;
    await run.legacy.query(`CREATE TABLE ${name} (${columns}); INSERT INTO ${name} SELECT g - 1000, CASE WHEN g % 131 = 0 THEN 'nomail' ELSE 'u' || g || '@x.org' END, CASE WHEN g % 479 = 0 THEN -1 ELSE g / 7.0 END, repeat('x', ${options.pad ?? 300}) FROM generate_series(1, ${ROWS}) g`);
    await run.target.query(`CREATE TABLE ${name} (${columns}, CHECK (amount >= 0))`);
    const { ref } = await run.admit({
      migration: `faults-${name}`, batch: { batch_size: 100, checkpoint_interval: 500 },
      datasets: { [name]: { ...sides, mode: options.mode ?? 'fused', validation: { formats: { email: 'email' } } } },
    });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: name });
    return { name, ref, opened, slice: { ref, dataset: name, generation: opened.generation, ordinal: 0, sliceMs: 60_000 } };
  }
  const attempt = (slice: SliceInput, copy: CopyActivities['copySplit'] = run.activities.copySplit) => run.call(copy, slice).then((result) => ({ result, error: null }), (error: unknown) => ({ result: null, error: error as { code: string } }));
  async function finish(slice: SliceInput): Promise<void> {
    for (;;) if ((await run.call(run.activities.copySplit, slice)).state === 'done') return;
  }
  /** Holds tables of the target against writers, on a connection of its own; answers what lets go. */
  async function lockTables(...names: string[]): Promise<() => Promise<void>> {
    const { host, port, database, user, password } = run.target;
    const locker = new Client({ host, port, ...(database && { database }), ...(user && { user }), ...(typeof password === 'string' && { password }) });
    await locker.connect();
    await locker.query(`BEGIN; LOCK TABLE ${names.join(', ')} IN SHARE ROW EXCLUSIVE MODE`);
    return () => locker.end();
  }
  async function splitOf(name: string) {
    const { rows } = await run.target.query<{ commit_no: string; read_rows: string; done: boolean; fence: string; holder_pid: number }>(`SELECT commit_no, read_rows, done, fence, holder_pid FROM caravan.split WHERE dataset = $1`, [name]);
    return rows[0]!;
  }

  /** Every row by SQL of its own, and every account: target rows, quarantine, split, commits. */
  async function expectExact(name: string): Promise<void> {
    const good = `email LIKE '%@%' AND amount >= 0`;
    const digest = (where: string) => `SELECT count(*)::int AS n, md5(string_agg(t::text, '|' ORDER BY id, t::text)) AS d FROM ${name} t ${where}`;
    const [source, target] = [(await run.legacy.query(digest(`WHERE ${good}`))).rows[0], (await run.target.query(digest(''))).rows[0]];
    expect(target).toEqual(source);
    const bad = (await run.legacy.query<{ id: string }>(`SELECT id::text AS id FROM ${name} WHERE NOT (${good}) ORDER BY ${name}.id`)).rows.map((row) => row.id);
    const held = (await run.target.query<{ id: string }>(`SELECT content[1] AS id FROM caravan.quarantine WHERE dataset = $1 ORDER BY content[1]::bigint`, [name])).rows.map((row) => row.id);
    expect(held).toEqual(bad);
    for (const table of ['split', 'commit']) {
      const { rows } = await run.target.query(`SELECT sum(read_rows)::int AS read, sum(written_rows)::int AS written, sum(quarantined_rows)::int AS quarantined FROM caravan.${table} WHERE dataset = $1`, [name]);
      expect(rows[0]).toEqual({ read: source.n + bad.length, written: source.n, quarantined: bad.length });
    }
  }

  async function unitsOf(pipeline: Pipeline): Promise<CommitUnit[]> {
    const units: CommitUnit[] = [];
    for await (const unit of commitUnits(pipeline, readRows(pipeline, { after: null, upTo: null }, null, new AbortController().signal), 1)) units.push(unit);
    return units;
  }

  /** Cuts at the COMMIT of the nth commit of rows. */
  function atCommit(n: number, what: 'cut' | 'cut-after'): Cut {
    let seen = 0;
    let armed = false;
    return (bytes, towards) => {
      if (towards !== 'server') return 'pass';
      if (bytes.includes('INSERT INTO caravan.commit')) armed = ++seen === n;
      if (!armed || !bytes.includes('COMMIT\0')) return 'pass';
      armed = false;
      return what;
    };
  }

  test.each([['cut-after', 3], ['cut', 2]] as const)('the connection breaks around a COMMIT (%s): the ledger knows, and the retry is exact', async (what, kept) => {
    const { name, slice } = await dataset();
    const proxy = proxies.get('new')!;
    proxy.cut = atCommit(3, what);
    expect((await attempt(slice)).error).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    proxy.cut = () => 'pass';
    await until(async () => Number((await splitOf(name)).commit_no) === kept);
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('the target connection is reset in the middle of COPY', async () => {
    const { name, slice } = await dataset();
    let copies = 0;
    proxies.get('new')!.cut = (bytes, towards) => (towards === 'server' && bytes.length > 10_000 && ++copies === 5 ? 'cut' : 'pass');
    expect((await attempt(slice)).error).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    expect(copies).toBe(5);
    expect((await splitOf(name)).done).toBe(false);
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('the source connection is reset in the middle of COPY', async () => {
    const { name, slice } = await dataset({ pad: 2_000 });
    let pieces = 0;
    proxies.get('legacy')!.cut = (bytes, towards) => (towards === 'client' && bytes.length > 8_000 && ++pieces === 30 ? 'cut' : 'pass');
    expect((await attempt(slice)).error).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('the backend of the target is killed in mid-commit, that of the source in mid-read', async () => {
    for (const side of ['target', 'source'] as const) {
      const { name, slice } = await dataset({ pad: 8_000 });
      const unlock = await lockTables(name);
      const copying = attempt(slice);
      const killed = side === 'target' ? run.target : run.legacy;
      const waiting = side === 'target' ? `wait_event_type = 'Lock' AND query LIKE 'COPY%'` : `query LIKE 'COPY (SELECT%'`;
      await until(async () => ((await killed.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND ${waiting}`)).rowCount ?? 0) > 0);
      await unlock();
      expect((await copying).error).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
      expect((await splitOf(name)).done).toBe(false);
      await finish(slice);
      await expectExact(name);
    }
  }, 60_000);

  test('a zombie between two commits: its next commit changes nothing, and a repeat of a commit gives the stored counts', async () => {
    const { name, ref, slice } = await dataset();
    const pipeline = await openPipeline(run.deps, { ref, dataset: name });
    const units = await unitsOf(pipeline);
    const id = { migration: ref.migration, dataset: name, generation: 1, ordinal: 0 };
    const zombie = await openWriter(pipeline, id);
    const first = await zombie.commit(units[0]!);
    const heir = await openWriter(pipeline, id);
    await expect(zombie.commit(units[1]!)).rejects.toMatchObject({ code: 'FENCED' });
    const before = await run.target.query(`SELECT count(*)::int AS n FROM ${name}`);
    expect(before.rows[0].n).toBe(first.written);
    expect(await heir.commit(units[0]!)).toEqual(first);
    await heir.commit(units[1]!);
    await expect(heir.commit(units[3]!)).rejects.toMatchObject({ code: 'FENCED' });
    await expect(zombie.commit(units[2]!)).rejects.toMatchObject({ code: 'FENCED' });
    await Promise.all([zombie.close(), heir.close()]);
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('a holder that stalls inside COPY is terminated after lock_timeout; the heir goes on', async () => {
    const { name, slice } = await dataset();
    let held = false;
    proxies.get('new')!.cut = (bytes, towards) => {
      if (towards === 'server' && !held && bytes.length > 10_000) { held = true; return 'hold'; }
      return 'pass';
    };
    const zombie = attempt(slice);
    await until(() => held);
    const started = Date.now();
    await finish(slice);
    expect(Date.now() - started).toBeGreaterThan(4_000);
    expect((await zombie).error).toMatchObject({ code: expect.stringMatching(/SYSTEM_UNREACHABLE|FENCED/) as string });
    await expectExact(name);
  }, 60_000);

  test('a generation starts again under a live zombie', async () => {
    const { name, ref, slice } = await dataset({ keyed: false });
    const pipeline = await openPipeline(run.deps, { ref, dataset: name });
    const units = await unitsOf(pipeline);
    const zombie = await openWriter(pipeline, { migration: ref.migration, dataset: name, generation: 1, ordinal: 0 });
    await zombie.commit(units[0]!);
    await zombie.commit(units[1]!);
    const restarted = attempt(slice, run.activities.copyGeneration);
    const late = await zombie.commit(units[2]!).then(() => 'kept', (error: unknown) => (error as { code: string }).code);
    expect(await restarted).toMatchObject({ result: { state: 'done' } });
    await expect(zombie.commit(units[3]!)).rejects.toMatchObject({ code: 'FENCED' });
    expect(['kept', 'FENCED']).toContain(late);
    await zombie.close();
    await expectExact(name);
    expect(await attempt(slice, run.activities.copyGeneration)).toMatchObject({ result: { state: 'done', commits: 0 } });
    await expectExact(name);
  }, 60_000);

  test('a closed dataset refuses late writers', async () => {
    const { name, ref, slice } = await dataset();
    const pipeline = await openPipeline(run.deps, { ref, dataset: name });
    const [unit] = await unitsOf(pipeline);
    const writer = await openWriter(pipeline, { migration: ref.migration, dataset: name, generation: 1, ordinal: 0 });
    await run.target.query(`UPDATE caravan.dataset SET state = 'closed' WHERE dataset = $1`, [name]);
    await expect(writer.commit(unit!)).rejects.toMatchObject({ code: 'FENCED' });
    await run.target.query(`UPDATE caravan.dataset SET state = 'open', epoch = epoch + 1 WHERE dataset = $1`, [name]);
    await expect(writer.commit(unit!)).rejects.toMatchObject({ code: 'FENCED' });
    await writer.close();
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('cancellation in mid-slice settles the commit at hand, keeps it, and resumes exactly', async () => {
    const { name, slice } = await dataset();
    const unlock = await lockTables(name);
    const environment = new MockActivityEnvironment();
    const copying = Promise.resolve<unknown>(environment.run(run.activities.copySplit, slice)).then(() => null, (error: unknown) => error as Error);
    await until(async () => (await run.target.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY%'`)).rowCount === 1);
    environment.cancel();
    await unlock();
    expect((await copying)?.name).toBe('CancelledFailure');
    expect(await splitOf(name)).toMatchObject({ commit_no: '1', read_rows: '500', done: false });
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('cancellation ends a read that waits for the source at once', async () => {
    await run.legacy.query(`CREATE TABLE waits (id int PRIMARY KEY); CREATE VIEW slow AS SELECT id FROM waits WHERE pg_sleep(1) IS NOT NULL`);
    await run.target.query('CREATE TABLE waits (id int PRIMARY KEY)');
    const { ref } = await run.admit({ migration: 'waits', datasets: { waits: { ...sides, source: { connection: 'legacy', table: 'slow', key: ['id'] } } } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'waits' });
    await run.legacy.query(`INSERT INTO waits SELECT generate_series(1, 100)`);
    const environment = new MockActivityEnvironment();
    const copying = Promise.resolve<unknown>(environment.run(run.activities.copySplit, { ref, dataset: 'waits', generation: opened.generation, ordinal: 0, sliceMs: 60_000 })).then(() => null, (error: unknown) => error as Error);
    await until(async () => (await run.legacy.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY (SELECT%'`)).rowCount === 1);
    const started = Date.now();
    environment.cancel();
    expect((await copying)?.name).toBe('CancelledFailure');
    expect(Date.now() - started).toBeLessThan(5_000);
  }, 60_000);

  test.each(['legacy', 'new'] as const)('a schema that changes in mid-run (%s) stops the copy and keeps what is there', async (side) => {
    const { name, slice } = await dataset();
    await attempt({ ...slice, sliceMs: 0 });
    const before = await splitOf(name);
    expect(Number(before.commit_no)).toBeGreaterThan(0);
    const client = side === 'legacy' ? run.legacy : run.target;
    await client.query(`ALTER TABLE ${name} ALTER amount TYPE numeric(30, 20)`);
    expect((await attempt(slice)).error).toMatchObject({ code: expect.stringMatching(/SCHEMA_CHANGED|MAPPING_INVALID/) as string });
    expect(await splitOf(name)).toMatchObject({ commit_no: before.commit_no, fence: before.fence });
    await client.query(`ALTER TABLE ${name} ALTER amount TYPE numeric USING trim_scale(amount)`);
    if (side === 'legacy') await client.query(`UPDATE ${name} SET amount = CASE WHEN (id + 1000) % 479 = 0 THEN -1 ELSE (id + 1000) / 7.0 END`);
    else await client.query(`UPDATE ${name} SET amount = (id + 1000) / 7.0`);
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('staged: a repeated write, a segment that was changed, another key, rows read again in between', async () => {
    const { name, ref, opened } = await dataset({ mode: 'staged' });
    const input = { ref, dataset: name };
    const { readBatch, transformBatch, validateBatch, writeBatch } = run.activities;
    const stage = async () => {
      const read = await run.call(readBatch, { ...input, generation: opened.generation, ordinal: 0 });
      if (!read) throw new Error('nothing left');
      return run.call(validateBatch, { ...input, segment: await run.call(transformBatch, { ...input, segment: read }) });
    };
    const first = await stage();
    const written = await run.call(writeBatch, { ...input, segment: first });
    expect(await run.call(writeBatch, { ...input, segment: first })).toEqual(written);

    const second = await stage();
    const file = path.join(run.deps.staging.folder, encodeURIComponent(ref.migration), second.file);
    const sealed = readFileSync(file);
    expect(sealed.includes('@x.org')).toBe(false);
    const broken = Buffer.from(sealed);
    broken[broken.length >> 1]! ^= 1;
    writeFileSync(file, broken);
    await expect(run.call(writeBatch, { ...input, segment: second })).rejects.toMatchObject({ code: 'STAGING_FAILED' });
    writeFileSync(file, sealed);
    const stranger = createActivities({ ...run.deps, staging: { ...run.deps.staging, key: Buffer.alloc(32, 7) } }) as unknown as CopyActivities;
    await expect(run.call(stranger.writeBatch, { ...input, segment: second })).rejects.toMatchObject({ code: 'STAGING_FAILED' });

    // A late attempt of the first stage reads the same commit once more, after the source has changed.
    await run.legacy.query(`UPDATE ${name} SET pad = 'changed' WHERE id > 0`);
    await run.call(readBatch, { ...input, generation: opened.generation, ordinal: 0 });
    await expect(run.call(writeBatch, { ...input, segment: second })).rejects.toMatchObject({ code: 'STAGING_FAILED' });
    for (;;) if ((await run.call(writeBatch, { ...input, segment: await stage() })).state === 'done') break;
    expect(await run.call(readBatch, { ...input, generation: opened.generation, ordinal: 0 })).toBeNull();
    await run.target.query(`UPDATE ${name} SET pad = 'changed' WHERE id > 0`);
    await expectExact(name);
    expect(readdirSync(path.dirname(file))).toEqual(['checkpoint']);
  }, 60_000);

  test('another server behind the same address is noticed within a minute', async () => {
    const { name, slice } = await dataset();
    const system = run.deps.systems.open('new');
    const admitted = await system.identity();
    const [now, later] = [Date.now(), Date.now() + 61_000];
    const clock = jest.spyOn(Date, 'now').mockReturnValue(now);
    const asked: number[] = [];
    proxies.get('new')!.cut = (bytes) => { if (bytes.includes('pg_control_system')) asked.push(1); return 'pass'; };
    try {
      await system.identity();
      expect(asked).toHaveLength(0);
      clock.mockReturnValue(later);
      expect(await system.identity()).toEqual(admitted);
      expect(asked).toHaveLength(1);
    } finally {
      clock.mockRestore();
    }
    forgetRuns(run.deps);
    await finish(slice);
    await expectExact(name);
  }, 60_000);

  test('heartbeats go on by timer while openDataset and copyGeneration wait for a lock', async () => {
    const { name, slice } = await dataset({ keyed: false });
    await run.legacy.query(`CREATE TABLE beats (id int PRIMARY KEY)`);
    await run.target.query('CREATE TABLE beats (id int PRIMARY KEY)');
    const { ref } = await run.admit({ migration: 'beats', datasets: { beats: { ...sides } } });
    const unlock = await lockTables('beats', name);
    const beats = [0, 0];
    const running = [[run.activities.openDataset, { ref, dataset: 'beats' }], [run.activities.copyGeneration, slice]].map(([activity, input], at) => {
      const environment = new MockActivityEnvironment();
      environment.on('heartbeat', () => { beats[at]! += 1; });
      return environment.run(activity as (input: unknown) => Promise<unknown>, input);
    });
    await new Promise((resolve) => setTimeout(resolve, 11_000));
    await unlock();
    await Promise.all(running);
    for (const count of beats) expect(count).toBeGreaterThanOrEqual(3);
    await expectExact(name);
  }, 60_000);
});

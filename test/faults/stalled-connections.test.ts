import { Client } from 'pg';
import { forgetRuns } from '../../activities/run-context';
import type { RunRef, SliceInput } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { TcpProxy } from '../fixtures/tcp-proxy';

const ROWS = 2_000;
const SILENT_MS = 1_000;
const COLUMNS = 'id bigint PRIMARY KEY, v text, pad text';
const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };
type Side = 'legacy' | 'new';

/** Something on the way swallows all bytes of the connections there are, and tells neither end. Nobody else tries meanwhile: the attempt must end by itself. */
describe('connections that stall', () => {
  let run: ActivitiesRun;
  let tables = 0;
  const proxies = new Map<string, TcpProxy>();
  beforeAll(async () => {
    run = await activitiesRun('stalls', {
      silentMs: SILENT_MS,
      async through(connection, url) {
        const proxy = await TcpProxy.start(new URL(url));
        proxies.set(connection, proxy);
        return proxy.address(url);
      },
    });
  }, 60_000);
  afterAll(async () => {
    await run.close();
    for (const proxy of proxies.values()) await proxy.stop();
  });

  interface Dataset { name: string; ref: RunRef; slice: SliceInput }
  async function dataset(): Promise<Dataset> {
    const name = `t${++tables}`;
    await run.legacy.query(`CREATE TABLE ${name} (${COLUMNS}); INSERT INTO ${name} SELECT g, 'v' || g, repeat('x', 4000) FROM generate_series(1, ${ROWS}) g`);
    await run.target.query(`CREATE TABLE ${name} (${COLUMNS}); CREATE INDEX ${name}_v ON ${name} (v)`);
    const { ref } = await run.admit({ migration: `stalls-${name}`, batch: { batch_size: 100, checkpoint_interval: 200 }, datasets: { [name]: sides } });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: name });
    return { name, ref, slice: { ref, dataset: name, generation: opened.generation, ordinal: 0, sliceMs: 60_000 } };
  }
  async function lock(side: Side, table: string): Promise<() => Promise<void>> {
    const { host, port, database, user, password } = side === 'new' ? run.target : run.legacy;
    const locker = new Client({ host, port, ...(database && { database }), ...(user && { user }), ...(typeof password === 'string' && { password }) });
    await locker.connect();
    await locker.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    return () => locker.end();
  }
  /** Until a statement of the activities waits for the lock. */
  async function waits(side: Side): Promise<void> {
    for (;;) {
      const { rowCount } = await (side === 'new' ? run.target : run.legacy).query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'caravan%' AND wait_event_type = 'Lock'`);
      if (rowCount) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  const outcome = (work: Promise<unknown>) => work.then(() => null, (error: unknown) => error as { code: string });
  async function finish({ name, ref, slice }: Dataset): Promise<void> {
    forgetRuns(run.deps);
    while ((await run.call(run.activities.copySplit, slice)).state !== 'done');
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    const rows = async (client: Client) => (await client.query(`SELECT count(*)::int AS n, md5(string_agg(t::text, '|' ORDER BY id)) AS d FROM ${name} t`)).rows;
    expect(await rows(run.target)).toEqual(await rows(run.legacy));
    expect((await run.target.query(`SELECT sum(written_rows)::int AS n FROM caravan.split WHERE dataset = $1`, [name])).rows).toEqual([{ n: ROWS }]);
    expect((await run.target.query(`SELECT FROM pg_indexes WHERE tablename = $1`, [name])).rowCount).toBe(2);
  }

  test.each(['legacy', 'new'] as const)('while rows are copied (%s)', async (side) => {
    const data = await dataset();
    const unlock = await lock(side, data.name);
    const copying = outcome(run.call(run.activities.copySplit, data.slice));
    await waits(side);
    proxies.get(side)!.stall();
    await unlock();
    expect(await copying).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    await finish(data);
  }, 60_000);

  test.each(['compareRows', 'closeDataset'] as const)('while %s waits for its answer, which is never heard', async (step) => {
    const data = await dataset();
    while ((await run.call(run.activities.copySplit, data.slice)).state !== 'done');
    if (step === 'compareRows') await run.call(run.activities.closeDataset, { ref: data.ref, dataset: data.name });
    const unlock = await lock('new', data.name);
    const working = outcome(run.call<object, unknown>(run.activities[step] as (input: object) => Promise<unknown>, { ref: data.ref, dataset: data.name, repair: false }));
    await waits('new');
    proxies.get('new')!.stall();
    await unlock();
    expect(await working).toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
    await finish(data);
  }, 60_000);

  test('a statement that is silent because it takes long is left alone', async () => {
    const data = await dataset();
    const unlock = await lock('new', data.name);
    const copying = outcome(run.call(run.activities.copySplit, data.slice));
    await waits('new');
    await new Promise((resolve) => setTimeout(resolve, 4 * SILENT_MS));
    await unlock();
    expect(await copying).toBeNull();
    await finish(data);
  }, 60_000);
});

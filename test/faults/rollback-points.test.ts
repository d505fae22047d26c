import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { LifeStep, RollbackTier, RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { commandFolder, type CommandEnd } from '../fixtures/caravan-command';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(900_000);

const POINTS = 10;
const ROWS = 3_000;
/** How far a run is when it is taken back. */
const STAGES = ['opened', 'half copied', 'copied', 'closed', 'target blocked', 'both blocked', 'switched', 'open and written', 'complete and written'] as const;
type Stage = (typeof STAGES)[number];
const USED: readonly Stage[] = ['open and written', 'complete and written'];

interface Point { run: ActivitiesRun; ref: RunRef; name: string; folder: string; upstream: string }
let point: Point | null = null;
afterEach(async () => {
  await point?.run.close();
  if (point) rmSync(point.folder, { recursive: true, force: true });
  point = null;
});

async function reach(name: string, stage: Stage, random: () => number): Promise<Point> {
  const run = await activitiesRun(name.replaceAll('-', '_'));
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-points-'));
  const upstream = path.join(folder, 'upstream');
  writeFileSync(upstream, 'legacy');
  await run.legacy.query(`CREATE TABLE people (id int PRIMARY KEY, mail text, note text); INSERT INTO people SELECT g, 'm' || g, CASE WHEN g % 3 > 0 THEN 'n' || g END FROM generate_series(1, ${ROWS}) g;
    CREATE TABLE orders (id int PRIMARY KEY, person int REFERENCES people, total numeric(12, 3)); INSERT INTO orders SELECT g, 1 + g % ${ROWS}, g / 7.0 FROM generate_series(1, ${ROWS}) g`);
  await run.target.query(`CREATE TABLE people (id int PRIMARY KEY, email text, region text NOT NULL DEFAULT 'eu'); CREATE TABLE orders (id int PRIMARY KEY, person int CONSTRAINT orders_person REFERENCES people, total numeric(12, 3)); CREATE INDEX orders_total ON orders (total)`);
  const sides = { source: { connection: 'legacy' }, target: { connection: 'new' } };
  const { ref } = await run.admit({
    migration: name, datasets: { people: { ...sides, transformations: [{ old_field: 'mail', new_field: 'email' }, { old_field: 'note', transform: 'drop' }] }, orders: { ...sides, after: ['people'] } },
    batch: { batch_size: 50, checkpoint_interval: 100 }, rollback: { changed_rows: 'keep_new' }, cutover: { switch: [{ name: 'shop', file: { path: upstream, new: 'new', legacy: 'legacy' } }] },
  });
  const made: Point = { run, ref, name, folder, upstream };
  point = made;
  await copyTo(made, stage, random);
  return made;
}

async function copyTo({ run, ref }: Point, stage: Stage, random: () => number): Promise<void> {
  const at = STAGES.indexOf(stage);
  const { activities, call } = run;
  if (at < STAGES.indexOf('copied')) {
    const { generation } = await call(activities.openDataset, { ref, dataset: 'people' });
    if (stage === 'half copied') for (let slices = 1 + Math.floor(random() * 20); slices > 0; slices -= 1) await call(activities.copySplit, { ref, dataset: 'people', generation, ordinal: 0, sliceMs: 1 });
    return;
  }
  for (const dataset of ['people', 'orders']) await run.copy(ref, dataset);
  if (stage === 'copied') return;
  for (const dataset of ['people', 'orders']) await call(activities.closeDataset, { ref, dataset });
  await call(activities.settleReferences, { ref });
  if (stage === 'closed') return;
  const attempt = (await call(activities.openCutover, { ref })).attempt;
  const take = (step: string, work: (input: { ref: RunRef; attempt: number; step: string }) => Promise<LifeStep>) => call(work, { ref, attempt, step });
  await take('block target', (step) => activities.blockWrites({ ...step, side: 'target' }));
  if (stage === 'target blocked') return;
  await take('block source', (step) => activities.blockWrites({ ...step, side: 'source' }));
  for (const dataset of ['people', 'orders']) await call(activities.compareRows, { ref, dataset, repair: true });
  if (stage === 'both blocked') return;
  await take('switch shop', (step) => activities.switchApplication({ ...step, application: 'shop', to: 'new' }));
  if (stage === 'switched') return;
  await take('open target', (step) => activities.allowWrites({ ...step, side: 'target' }));
  if (stage === 'complete and written') await take('cutover complete', (step) => activities.recordStep({ ...step, evidence: { what: 'done' } }));
  await run.target.query(`INSERT INTO people (id, email) VALUES (9001, 'fresh'); UPDATE people SET email = 'moved' WHERE id IN (5, 6, 7); UPDATE orders SET total = 0.125 WHERE id = 50;
    DELETE FROM orders WHERE id = 60; INSERT INTO orders VALUES (9002, 9001, 1.5)`);
}

/** The command, killed without a word again and again, until it comes to its end. */
async function killedRollback({ run, name }: Point, tier: RollbackTier, random: () => number): Promise<{ end: CommandEnd; kills: number }> {
  const url = (connection: string) => run.deps.systems.open(connection).config.url;
  const command = commandFolder({ CARAVAN_CONNECTION_LEGACY: url('legacy'), CARAVAN_CONNECTION_NEW: url('new') });
  const words = ['rollback', name, `--${tier}`, '--offline', '--yes', '--json', ...(tier === 'partial' ? ['--dataset', 'orders'] : [])];
  try {
    let kills = 0;
    for (let round = 0; round < 3; round += 1) {
      const started = command.start(...words);
      const timer = setTimeout(() => started.child.kill('SIGKILL'), 900 + random() * 1_800);
      const end = await started.end;
      clearTimeout(timer);
      if (end.signal !== 'SIGKILL') return { end, kills };
      kills += 1;
    }
    return { end: await command.caravan(...words), kills };
  } finally {
    command.remove();
  }
}

const all = async (client: ActivitiesRun['legacy'], sql: string): Promise<string[]> => (await client.query<{ r: string }>(`SELECT t.*::text AS r FROM (${sql}) t ORDER BY 1`)).rows.map(({ r }) => r);
async function accepts(client: ActivitiesRun['legacy'], table: string): Promise<boolean> {
  await client.query('BEGIN');
  try {
    await client.query(`DELETE FROM ${table} WHERE false`);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== '25006') throw error;
    return false;
  } finally {
    await client.query('ROLLBACK');
  }
}

/** By SQL of its own: what the old side has, where the writes of the new side are, and who accepts writes. */
async function judge({ run, upstream }: Point, tier: RollbackTier, stage: Stage, before: Record<string, string[]>): Promise<void> {
  const written = USED.includes(stage);
  const home = written && tier === 'full';
  const people = (before['people'] ?? []).map((row) => (home ? row.replace(/^\(([567]),[^,]*,/, '($1,moved,') : row));
  const orders = (before['orders'] ?? []).map((row) => (home ? row.replace(/^\(50,(\d+),.*/, '(50,$1,0.125)') : row)).filter((row) => !(home && row.startsWith('(60,')));
  expect(await all(run.legacy, 'SELECT * FROM people')).toEqual([...people, ...(home ? ['(9001,fresh,)'] : [])].sort());
  expect(await all(run.legacy, 'SELECT * FROM orders')).toEqual([...orders, ...(home ? ['(9002,9001,1.500)'] : [])].sort());
  const back = tier === 'partial' ? ['orders'] : ['people', 'orders'];
  for (const table of ['people', 'orders']) {
    const gone = back.includes(table);
    const cut = STAGES.indexOf(stage) >= STAGES.indexOf('both blocked');
    expect([stage, table, await accepts(run.legacy, table)]).toEqual([stage, table, gone || !cut]);
    if (gone) expect([stage, table, await accepts(run.target, table)]).toEqual([stage, table, false]);
  }
  expect(readFileSync(upstream, 'utf8')).toBe(tier === 'partial' && STAGES.indexOf(stage) >= STAGES.indexOf('switched') ? 'new' : 'legacy');
  // Once the applications were pointed there, a full rollback keeps the rows of the new side, closed: what it held came home.
  if (tier === 'full' && STAGES.indexOf(stage) >= STAGES.indexOf('switched')) return;
  // Not one write of the new side is lost: it is where it was made, and on the list.
  const kept = written ? { people: ['(5,moved,eu)', '(6,moved,eu)', '(7,moved,eu)', '(9001,fresh,eu)'], orders: ['(50,51,0.125)', '(9002,9001,1.500)'] } : { people: [], orders: [] };
  for (const table of back as ('people' | 'orders')[]) expect([stage, table, await all(run.target, `SELECT * FROM ${table}`)]).toEqual([stage, table, kept[table].sort()]);
  if (!written) return;
  const listed = await all(run.target, `SELECT DISTINCT dataset, kind, content FROM caravan.exported_row WHERE dataset = ANY ('{${back.join(',')}}')`);
  expect(listed.length).toBe(tier === 'partial' ? 3 : 7);
}

test.each([['immediate', 11], ['partial', 12], ['full', 13]] as const)('%s from random points of a run, its process killed in the middle: nothing is lost', async (tier, seed) => {
  const random = seededRandom(seed);
  let kills = 0;
  for (let at = 0; at < POINTS; at += 1) {
    // The end of a run is where it matters most: the first points are drawn from anywhere, each late stage comes at least once.
    const stage = at < STAGES.length - 4 ? STAGES[Math.floor(random() * STAGES.length)]! : STAGES[STAGES.length - 1 - ((at - 5) % 4)]!;
    const made = await reach(`points-${tier}-${at}`, stage, random);
    const before = { people: await all(made.run.legacy, 'SELECT * FROM people'), orders: await all(made.run.legacy, 'SELECT * FROM orders') };
    const { end, kills: killed } = await killedRollback(made, tier, random);
    kills += killed;
    if (![0, 4].includes(end.code ?? -1)) throw new Error(`point ${at} (${stage}): code ${String(end.code)}\n${end.out}\n${end.err}`);
    await judge(made, tier, stage, before);
    await made.run.close();
    rmSync(made.folder, { recursive: true, force: true });
    point = null;
  }
  expect(kills).toBeGreaterThan(3);
});

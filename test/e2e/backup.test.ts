import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { restoreFromBackup } from '../../activities/backup/restore-from-backup';
import { asPostgres } from '../../activities/connectors/postgres/system';
import { readBackups } from '../../activities/stores/backup-store';
import type { StoredBackup } from '../../migration/preparation/backup';
import type { BackupOutcome, RunRef } from '../../migration/protocol';
import { openEndpoints } from '../../workers/endpoints';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

const TABLES = `CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN short AS varchar(9) CHECK (value <> 'no');
  CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, boss bigint REFERENCES people, name text, feels mood, code char(6), tag short, raw bytea, amount numeric, at timestamptz, list text[], doc jsonb, kind regclass,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED);
  CREATE TABLE "Odd orders" (id int PRIMARY KEY, person bigint REFERENCES people, note text UNIQUE)`;
const ROWS = `INSERT INTO people (boss, name, feels, code, tag, raw, amount, at, list, doc, kind) SELECT NULL, E'tab\\t line\\n back\\\\ ü ' || g, 'glad', 'c' || g % 7, 't', decode(md5(g::text), 'hex'), CASE WHEN g % 5 = 0 THEN 'NaN' ELSE g / 7.0 END, timestamptz '2020-01-01' + g * interval '1.000001 s',
    ARRAY['a', NULL, 'b,c'], '{"n": 12345678901234567890.10}', 'pg_class' FROM generate_series(1, 300) g; UPDATE people SET boss = 301 - id; INSERT INTO people (name) VALUES (NULL), ('');
  INSERT INTO "Odd orders" SELECT g, g, 'n' || g FROM generate_series(1, 50) g`;

let run: ActivitiesRun;
let folder: string;
beforeEach(async () => {
  run = await activitiesRun('backup');
  folder = path.join(mkdtempSync(path.join(tmpdir(), 'caravan-backup-')), 'kept');
  await run.legacy.query(`${TABLES}; ${ROWS}`);
  await run.target.query(TABLES);
});
afterEach(async () => {
  await run.close();
  rmSync(path.dirname(folder), { recursive: true, force: true });
});

const datasets = () => ({ people: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update' } }, orders: { source: { connection: 'legacy', table: 'Odd orders' }, target: { connection: 'new', table: 'Odd orders', on_conflict: 'update' } } });
const admitted = async (backup: object = {}): Promise<RunRef> => (await run.admit({ migration: 'shop', backup: { folder, ...backup }, datasets: datasets() })).ref;
const backUp = (ref: RunRef): Promise<BackupOutcome> => run.call(run.activities.backUp, { ref });
const backups = (): Promise<StoredBackup[]> => readBackups(asPostgres(run.deps.systems.open('new')), 'shop');
const rowsOf = async (table: string): Promise<unknown[]> => (await run.target.query(`SELECT t::text AS t FROM ${table} t ORDER BY 1`)).rows;
const fileOf = (backup: StoredBackup, dataset: string): string => path.join(backup.evidence.folder ?? '', backup.evidence.tables.find((one) => one.dataset === dataset)?.file ?? '');
const states = async (): Promise<string[]> => (await backups()).map(({ side, state }) => `${side} ${state}`);

test('both sides are saved at one moment, restored and compared; files are the owner\'s alone, and nothing is left behind in the databases', async () => {
  await run.target.query('INSERT INTO people OVERRIDING SYSTEM VALUE VALUES (900, NULL, $1)', ['theirs']);
  const ref = await admitted();
  expect(await backUp(ref)).toEqual({ backups: 2, rows: 353, bytes: expect.any(Number) as number, left: [] });
  expect(await states()).toEqual(['target verified', 'source verified']);
  const all = await backups();
  expect(all[1]?.evidence.tables.map(({ dataset, rows }) => [dataset, rows])).toEqual([['people', 302], ['orders', 50]]);
  for (const { evidence } of all) {
    expect(statSync(evidence.folder ?? '').mode & 0o777).toBe(0o700);
    for (const file of readdirSync(evidence.folder ?? '')) expect([file, statSync(path.join(evidence.folder ?? '', file)).mode & 0o777]).toEqual([file, 0o600]);
  }
  expect(JSON.stringify(all)).not.toContain('theirs');
  expect((await run.target.query(`SELECT nspname FROM pg_namespace WHERE nspname LIKE 'caravan_%'`)).rows).toEqual([]);
  // A repeat of the same run has nothing to do.
  await backUp(ref);
  expect((await backups()).map(({ id }) => id)).toEqual(all.map(({ id }) => id));
});

test('one flipped byte in a file blocks with what to do, whether it breaks a value or not; a retry takes the backup anew', async () => {
  const ref = await admitted({ sides: ['source'] });
  await backUp(ref);
  for (const [byte, at] of [['X', (text: Buffer) => text.indexOf('back') + 2], ['\t', (text: Buffer) => text.indexOf('glad') + 1]] as const) {
    const backup = (await backups())[0]!;
    await run.target.query(`UPDATE caravan.backup SET state = 'taken' WHERE id = $1`, [backup.id]);
    const file = fileOf(backup, 'people');
    const bytes = readFileSync(file);
    bytes.write(byte, at(bytes), 'latin1');
    writeFileSync(file, bytes);
    await expect(backUp(ref)).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
    expect((await backups())[0]).toMatchObject({ state: 'failed', evidence: { problem: expect.stringContaining('backup of people') as string } });
    await backUp(ref);
    expect((await backups())[0]).toMatchObject({ state: 'verified' });
  }
});

test('a backup that restores to other rows than were there does not pass, also when every checksum is right', async () => {
  const ref = await admitted({ sides: ['source'] });
  await backUp(ref);
  const backup = (await backups())[0]!;
  const evidence = { ...backup.evidence, tables: backup.evidence.tables.map((table) => ({ ...table, digest: table.digest.replace(/^\d/, (digit) => String((Number(digit) + 1) % 10)) })) };
  await run.target.query(`UPDATE caravan.backup SET state = 'taken', evidence = $2 WHERE id = $1`, [backup.id, JSON.stringify(evidence)]);
  await expect(backUp(ref)).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringContaining('not the rows that were there') as string });
});

test('the tables of the target come back as they were, in one step, with their indexes, keys and triggers; a damaged file changes nothing', async () => {
  await run.target.query(`INSERT INTO people OVERRIDING SYSTEM VALUE VALUES (900, 900, 'theirs'), (901, 900, 'too'); INSERT INTO "Odd orders" VALUES (1, 901, 'x'); CREATE INDEX people_name ON people (name);
    CREATE TABLE outside (person bigint REFERENCES people); INSERT INTO outside VALUES (900);
    CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$fired$$; END'; CREATE TRIGGER loud BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION noop()`);
  const before = [await rowsOf('people'), await rowsOf('"Odd orders"')];
  const shape = `SELECT indexdef AS o FROM pg_indexes WHERE schemaname = 'public' UNION ALL SELECT conrelid::regclass || conname || pg_get_constraintdef(oid) || convalidated::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'people'::regclass ORDER BY 1`;
  const objects = (await run.target.query(shape)).rows;
  const ref = await admitted({ sides: ['target'] });
  await backUp(ref);
  await run.target.query(`ALTER TABLE people DISABLE TRIGGER loud; UPDATE people SET name = 'changed'; INSERT INTO people (name) VALUES ('more'); DELETE FROM "Odd orders"; ALTER TABLE people ENABLE TRIGGER loud`);
  const control = asPostgres(run.deps.systems.open('new'));
  const changed = await rowsOf('people');
  const file = fileOf((await backups())[0]!, 'orders');
  const whole = readFileSync(file);
  writeFileSync(file, whole.toString('latin1').replace('x', 'y'), 'latin1');
  await expect(restoreFromBackup(run.deps, control, { ref })).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
  expect(await rowsOf('people')).toEqual(changed);
  writeFileSync(file, whole);
  const within: unknown[] = [];
  expect(await restoreFromBackup(run.deps, control, { ref, within: (_, done) => Promise.resolve(void within.push(...done)) })).toEqual([{ dataset: 'people', rows: 2 }, { dataset: 'orders', rows: 1 }]);
  expect(within).toHaveLength(2);
  expect([await rowsOf('people'), await rowsOf('"Odd orders"')]).toEqual(before);
  expect((await run.target.query(shape)).rows).toEqual(objects);
  await expect(restoreFromBackup(run.deps, control, { ref, datasets: ['nobody'] })).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
});

test('rows of the migration never get into its backup: where they may be in the target, the backup from before them stays', async () => {
  const first = await admitted();
  await backUp(first);
  await run.call(run.activities.openDataset, { ref: first, dataset: 'people' });
  const again = await admitted();
  await backUp(again);
  expect((await backups()).map(({ side, lease, state }) => [side, lease, state])).toEqual([['source', again.lease, 'verified'], ['target', first.lease, 'verified'], ['source', first.lease, 'verified']]);
});

test('three backups of a connection are kept', async () => {
  for (let runs = 0; runs < 5; runs += 1) await backUp(await admitted({ sides: ['source'] }));
  expect(await states()).toEqual(['source verified', 'source verified', 'source verified', 'source removed', 'source removed']);
  expect((await backups()).map(({ evidence }) => existsSync(evidence.folder ?? ''))).toEqual([true, true, true, false, false]);
});

test('a folder that cannot be written blocks with the remedy', async () => {
  mkdirSync(path.dirname(folder), { recursive: true });
  writeFileSync(folder, 'a file stands in the way');
  await expect(backUp(await admitted())).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringContaining('backup.folder') as string });
});

test('a tool of the team: it is told what to save, and its verification decides', async () => {
  const work = path.dirname(folder);
  const tool = path.join(work, 'tool.sh');
  writeFileSync(tool, `#!/bin/sh\necho "$1 $CARAVAN_BACKUP_MIGRATION $CARAVAN_BACKUP_SIDES $CARAVAN_BACKUP_LEASE" >> ${work}/log\necho secret words\n[ "$1" = save ] || exec test -e ${work}/good\n`);
  chmodSync(tool, 0o755);
  run.deps.endpoints = openEndpoints({ CARAVAN_COMMAND_SAVE_ALL: `${tool} save`, CARAVAN_COMMAND_PROVE: `${tool} prove` });
  const unknown = await admitted({ command: 'elsewhere' });
  await expect(backUp(unknown)).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringContaining('set CARAVAN_COMMAND_ELSEWHERE') as string });
  const unproved = await admitted({ command: 'save-all' });
  await expect(backUp(unproved)).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringContaining('backup.verify') as string });
  const ref = await admitted({ command: 'save-all', verify: 'prove', sides: ['target'] });
  const failed = backUp(ref);
  await expect(failed).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringMatching(/backup command prove says that the backup is not equal.*ended with code 1/) as string });
  await expect(failed).rejects.not.toThrow('secret');
  writeFileSync(path.join(work, 'good'), '');
  expect(await backUp(ref)).toMatchObject({ backups: 1 });
  expect((await backups())[0]).toMatchObject({ state: 'verified', side: 'target', evidence: { by: 'tool', tool: 'save-all' } });
  expect(readFileSync(path.join(work, 'log'), 'utf8')).toContain(`save shop target ${ref.lease}`);
  await expect(restoreFromBackup(run.deps, asPostgres(run.deps.systems.open('new')), { ref })).rejects.toMatchObject({ code: 'BACKUP_FAILED', message: expect.stringContaining('restore it with that tool') as string });
});

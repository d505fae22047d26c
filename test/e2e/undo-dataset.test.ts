import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { undoDataset, type UndoInput } from '../../activities/undoing/undo-dataset';
import type { ConflictPolicy, RunRef, UndoneDataset } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(240_000);

/** Types whose JSON does not come back as it was. */
const AWKWARD = `j json, f float8, a int[], n numeric, c char(6), ts timestamptz, b bytea`;
const AWKWARD_ROW = `'{"b": 1,  "a": 2, "b": 3}', '-0', '[2:3]={7,8}', 1.500, 'ab', '0044-03-15 12:00:00.123456+00 BC', '\\x00ff'`;

describe('the undo of one dataset', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('undo'); });
  afterAll(() => run.close());

  const rows = async (sql: string) => (await run.target.query<Record<string, unknown>>(sql)).rows;
  const begin = async (migration: string, datasets: Record<string, object>, more: object = {}): Promise<RunRef> =>
    (await run.admit({ migration, datasets, batch: { checkpoint_interval: 100, batch_size: 50 }, ...more })).ref;
  const undo = (ref: RunRef, dataset: string, policy: ConflictPolicy, more: Partial<UndoInput> = {}): Promise<UndoneDataset> =>
    run.call((input: UndoInput) => undoDataset(run.deps, input), { ref, dataset, policy, attempt: 1, leaving: [dataset], ...more });
  const plain = (table: string) => ({ source: { connection: 'legacy', table }, target: { connection: 'new', table } });
  /** `id, v` on both sides, 1,000 rows in the source. */
  const table = async (name: string, target = 'id int PRIMARY KEY, v text') => {
    await run.legacy.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text); INSERT INTO ${name} SELECT g, 'v' || g FROM generate_series(1, 1000) g`);
    await run.target.query(`CREATE TABLE ${name} (${target})`);
  };
  const kinds = (dataset: string) => rows(`SELECT kind, key FROM caravan.rollback_conflict WHERE dataset = '${dataset}' ORDER BY kind, key[1]::int`);

  test('a table that nobody touched is empty again, with its indexes and constraints; a later start copies it anew', async () => {
    await table('plain', 'id int PRIMARY KEY, v text UNIQUE');
    await run.target.query(`CREATE INDEX plain_v ON plain (lower(v))`);
    const before = await rows(`SELECT pg_get_indexdef(indexrelid) AS def FROM pg_index WHERE indrelid = 'plain'::regclass ORDER BY 1`);
    const ref = await begin('undo-plain', { plain: plain('plain') });
    await run.copy(ref, 'plain');
    // The source goes on meanwhile: what it changes since is no change of the target.
    await run.legacy.query(`UPDATE plain SET v = 'later' || id WHERE id <= 10; DELETE FROM plain WHERE id BETWEEN 20 AND 30`);
    expect(await undo(ref, 'plain', 'stop')).toEqual({ dataset: 'plain', state: 'undone', removed: 1000, restored: 0, conflicts: 0, exported: 0 });
    await run.call(run.activities.restoreObjects, { ref, datasets: ['plain'] });
    expect(await rows('SELECT * FROM plain')).toEqual([]);
    expect(await rows(`SELECT pg_get_indexdef(indexrelid) AS def FROM pg_index WHERE indrelid = 'plain'::regclass ORDER BY 1`)).toEqual(before);
    expect(await undo(ref, 'plain', 'stop')).toMatchObject({ state: 'undone', removed: 1000 });
    const again = await begin('undo-plain', { plain: plain('plain') });
    const opened = await run.copy(again, 'plain');
    expect(opened.generation).toBe(2);
    await run.call(run.activities.closeDataset, { ref: again, dataset: 'plain' });
    expect(await run.call(run.activities.compareRows, { ref: again, dataset: 'plain', repair: false })).toMatchObject({ verdict: 'passed', compared: 989 });
  });

  test('half a copy is taken back, and its late commits change nothing', async () => {
    await table('half');
    const ref = await begin('undo-half', { half: plain('half') });
    const opened = await run.call(run.activities.openDataset, { ref, dataset: 'half' });
    await run.call(run.activities.copySplit, { ref, dataset: 'half', generation: opened.generation, ordinal: 0, sliceMs: 1 });
    expect(Number((await rows('SELECT count(*) AS n FROM half'))[0]?.['n'])).toBeGreaterThan(0);
    await undo(ref, 'half', 'stop');
    await expect(run.call(run.activities.copySplit, { ref, dataset: 'half', generation: opened.generation, ordinal: 0, sliceMs: 1 })).rejects.toMatchObject({ code: 'FENCED' });
    expect(await rows('SELECT * FROM half')).toEqual([]);
  });

  test.each(['stop', 'keep_new', 'restore_old'] as const)('rows that others changed or brought since are never lost: %s', async (policy) => {
    const name = `touched_${policy}`;
    await table(name);
    const ref = await begin(`undo-${policy}`, { [name]: plain(name) });
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    await run.target.query(`UPDATE ${name} SET v = 'theirs' WHERE id IN (3, 700); INSERT INTO ${name} VALUES (5000, 'new'); DELETE FROM ${name} WHERE id = 9;
      UPDATE ${name} SET v = v WHERE id = 12`);
    if (policy === 'stop') {
      await expect(undo(ref, name, policy)).rejects.toMatchObject({ code: 'ROLLBACK_CONFLICT' });
      expect(Number((await rows(`SELECT count(*) AS n FROM ${name}`))[0]?.['n'])).toBe(1000);
    } else {
      expect(await undo(ref, name, policy)).toMatchObject({ state: 'undone', conflicts: 3, removed: policy === 'keep_new' ? 997 : 999 });
      expect(await rows(`SELECT id, v FROM ${name} ORDER BY id`)).toEqual(policy === 'keep_new'
        ? [{ id: 3, v: 'theirs' }, { id: 700, v: 'theirs' }, { id: 5000, v: 'new' }] : [{ id: 5000, v: 'new' }]);
    }
    expect(await kinds(name)).toEqual([{ kind: 'changed', key: ['3'] }, { kind: 'changed', key: ['700'] }, { kind: 'inserted', key: ['5000'] }]);
    expect(await rows(`SELECT (content::${name}).v AS v FROM caravan.rollback_conflict WHERE dataset = '${name}' AND key = '{3}'`)).toEqual([{ v: 'theirs' }]);
  });

  test('rows without a key: of equal ones those stay that others brought', async () => {
    await run.legacy.query(`CREATE TABLE keyless (v text, n int); INSERT INTO keyless SELECT 'v' || g % 7, g % 3 FROM generate_series(1, 500) g`);
    await run.target.query('CREATE TABLE keyless (v text, n int)');
    const ref = await begin('undo-keyless', { keyless: plain('keyless') });
    await run.copy(ref, 'keyless');
    await run.target.query(`INSERT INTO keyless VALUES ('v1', 1), ('v1', 1), ('mine', 1)`);
    expect(await undo(ref, 'keyless', 'keep_new')).toMatchObject({ removed: 500, conflicts: 3 });
    expect(await rows('SELECT v, n FROM keyless ORDER BY v')).toEqual([{ v: 'mine', n: 1 }, { v: 'v1', n: 1 }, { v: 'v1', n: 1 }]);
  });

  test('rows that a repair or a replay wrote are taken back like the others', async () => {
    await table('mended');
    const ref = await begin('undo-mended', { mended: plain('mended') });
    await run.copy(ref, 'mended');
    await run.call(run.activities.closeDataset, { ref, dataset: 'mended' });
    await run.legacy.query(`INSERT INTO mended VALUES (2000, 'late'); UPDATE mended SET v = 'other' WHERE id = 4`);
    await run.call(run.activities.compareRows, { ref, dataset: 'mended', repair: true });
    expect(await undo(ref, 'mended', 'stop')).toMatchObject({ removed: 1001, conflicts: 0 });
    expect(await rows('SELECT * FROM mended')).toEqual([]);
  });

  test('a merge into rows of others: what it brought goes, what it changed is what it was, to the last byte, and triggers stay silent', async () => {
    await run.legacy.query(`CREATE TABLE merged (id int PRIMARY KEY, v text); INSERT INTO merged SELECT g, 'v' || g FROM generate_series(1, 1000) g`);
    await run.target.query(`CREATE TABLE merged (id int PRIMARY KEY, v text, touched int NOT NULL DEFAULT 0, ${AWKWARD});
      INSERT INTO merged SELECT g, 'theirs' || g, 0, ${AWKWARD_ROW} FROM generate_series(500, 1500) g;
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END $$;
      CREATE TRIGGER touch BEFORE UPDATE ON merged FOR EACH ROW EXECUTE FUNCTION touch()`);
    const before = await rows('SELECT m.*::text FROM merged m ORDER BY id');
    const ref = await begin('undo-merged', { merged: { ...plain('merged'), target: { connection: 'new', table: 'merged', on_conflict: 'update' } } });
    await run.copy(ref, 'merged');
    await run.call(run.activities.closeDataset, { ref, dataset: 'merged' });
    expect(await undo(ref, 'merged', 'stop')).toMatchObject({ removed: 499, restored: 501, conflicts: 0 });
    expect(await rows('SELECT m.*::text FROM merged m ORDER BY id')).toEqual(before);
    expect(await rows(`SELECT tgenabled FROM pg_trigger WHERE tgname = 'touch'`)).toEqual([{ tgenabled: 'O' }]);
  });

  test.each(['keep_new', 'restore_old'] as const)('a merge whose rows others changed since: %s', async (policy) => {
    const name = `remerged_${policy}`;
    await table(name);
    await run.target.query(`INSERT INTO ${name} SELECT g, 'theirs' || g FROM generate_series(900, 1100) g`);
    const ref = await begin(`undo-merge-${policy}`, { [name]: { ...plain(name), target: { connection: 'new', table: name, on_conflict: 'update' } } });
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    await run.target.query(`UPDATE ${name} SET v = 'now' WHERE id IN (5, 950); DELETE FROM ${name} WHERE id IN (6, 960); UPDATE ${name} SET v = 'unrelated' WHERE id = 1050`);
    const keep = policy === 'keep_new';
    await undo(ref, name, policy);
    expect(await kinds(name)).toEqual([{ kind: 'changed', key: ['5'] }, { kind: 'changed', key: ['950'] }, { kind: 'deleted', key: ['960'] }]);
    expect(await rows(`SELECT id, v FROM ${name} WHERE id < 900 OR v NOT LIKE 'theirs%' ORDER BY id`)).toEqual(keep
      ? [{ id: 5, v: 'now' }, { id: 950, v: 'now' }, { id: 1050, v: 'unrelated' }] : [{ id: 1050, v: 'unrelated' }]);
    expect(Number((await rows(`SELECT count(*) AS n FROM ${name}`))[0]?.['n'])).toBe(keep ? 201 : 201);
  });

  test('undo data that is gone is told, with nothing changed', async () => {
    await table('journalless');
    await run.target.query(`INSERT INTO journalless VALUES (-1, 'theirs')`);
    const ref = await begin('undo-journalless', { journalless: { ...plain('journalless'), target: { connection: 'new', table: 'journalless', on_conflict: 'update' } } });
    await run.copy(ref, 'journalless');
    await run.target.query(`DELETE FROM caravan.merged_key WHERE dataset = 'journalless' AND target_key[1]::int < 10`);
    await expect(undo(ref, 'journalless', 'keep_new')).rejects.toMatchObject({ code: 'UNDO_MISSING', message: expect.stringContaining('991 of the 1000') as string });
    expect(Number((await rows('SELECT count(*) AS n FROM journalless'))[0]?.['n'])).toBe(1001);
  });

  test('where undo data is gone, the verified backup brings the table back; the ledger says undone, and a later start begins anew', async () => {
    await table('saved');
    await run.target.query(`INSERT INTO saved VALUES (-1, 'theirs'), (5, 'theirs as well')`);
    const before = await rows('SELECT * FROM saved ORDER BY id');
    const ref = await begin('undo-saved', { saved: { ...plain('saved'), target: { connection: 'new', table: 'saved', on_conflict: 'update' } } }, { backup: { sides: ['target'], folder: mkdtempSync(path.join(tmpdir(), 'caravan-saved-')) }, gates: [{ gate: 'done', before: 'finish' }] });
    await run.call(run.activities.backUp, { ref });
    await run.copy(ref, 'saved');
    await run.target.query(`DELETE FROM caravan.before_image WHERE dataset = 'saved'`);
    await expect(undo(ref, 'saved', 'restore_old')).rejects.toMatchObject({ code: 'UNDO_MISSING' });
    const input = { ref, dataset: 'saved', attempt: 1, leaving: ['saved'] };
    expect(await run.call(run.activities.restoreDataset, input)).toEqual({ dataset: 'saved', state: 'undone', removed: 0, restored: 2, conflicts: 0, exported: 0 });
    expect(await rows('SELECT * FROM saved ORDER BY id')).toEqual(before);
    expect(await run.call(run.activities.restoreDataset, input)).toMatchObject({ state: 'undone' });
    await run.call(run.activities.restoreObjects, { ref, datasets: ['saved'] });
    expect(await rows(`SELECT state, undone ->> 'rows' AS how FROM caravan.dataset WHERE dataset = 'saved'`)).toEqual([{ state: 'undone', how: 'restored' }]);
  });

  test('parents and children go in any order; rows that a table outside leans on stay and are told', async () => {
    await table('parents');
    await run.legacy.query(`CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents); INSERT INTO children SELECT g, g FROM generate_series(1, 500) g`);
    await run.target.query(`CREATE TABLE children (id int PRIMARY KEY, parent int CONSTRAINT children_parent REFERENCES parents ON DELETE CASCADE)`);
    const ref = await begin('undo-family', { parents: plain('parents'), children: { ...plain('children'), after: ['parents'] } });
    for (const dataset of ['parents', 'children']) await run.copy(ref, dataset);
    for (const dataset of ['parents', 'children']) await run.call(run.activities.closeDataset, { ref, dataset });
    await run.call(run.activities.settleReferences, { ref });
    await run.target.query(`CREATE TABLE outside (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE); INSERT INTO outside VALUES (1, 77)`);
    const leaving = ['parents', 'children'];
    await expect(undo(ref, 'parents', 'stop', { leaving })).rejects.toMatchObject({ code: 'ROLLBACK_CONFLICT' });
    expect(await undo(ref, 'parents', 'keep_new', { leaving })).toMatchObject({ removed: 999, conflicts: 1 });
    expect(await undo(ref, 'children', 'keep_new', { leaving })).toMatchObject({ removed: 500, conflicts: 0 });
    expect(await rows('SELECT id FROM parents')).toEqual([{ id: 77 }]);
    expect(await rows('SELECT id FROM outside')).toEqual([{ id: 1 }]);
    await run.call(run.activities.restoreObjects, { ref, datasets: leaving });
    expect(await rows(`SELECT pg_get_constraintdef(oid) AS def, convalidated FROM pg_constraint WHERE conname = 'children_parent'`)).toEqual([{ def: 'FOREIGN KEY (parent) REFERENCES parents(id) ON DELETE CASCADE', convalidated: true }]);
  });

  test('partitions, and rows that come while rows go', async () => {
    await table('parts', 'id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id');
    await run.target.query(`CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (400); CREATE TABLE parts_rest (v text, id int NOT NULL); ALTER TABLE parts ATTACH PARTITION parts_rest DEFAULT`);
    const ref = await begin('undo-parts', { parts: plain('parts') });
    await run.copy(ref, 'parts');
    await run.target.query(`UPDATE parts SET v = 'theirs' WHERE id IN (10, 990)`);
    await expect(undo(ref, 'parts', 'stop')).rejects.toMatchObject({ code: 'ROLLBACK_CONFLICT' });
    await run.target.query(`INSERT INTO parts VALUES (3000, 'late')`);
    await undo(ref, 'parts', 'keep_new');
    expect(await rows('SELECT id, v FROM parts ORDER BY id')).toEqual([{ id: 10, v: 'theirs' }, { id: 990, v: 'theirs' }, { id: 3000, v: 'late' }]);
  });
});

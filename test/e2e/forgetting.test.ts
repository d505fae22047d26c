import { forgetSubject } from '../../activities/forgetting/forget-subject';
import { forgetExpiredUndo, forgetUndo, keptUndo } from '../../activities/forgetting/forget-undo';
import { undoDataset } from '../../activities/undoing/undo-dataset';
import { ROLLBACK_STEPS } from '../../migration/rollback-steps';
import { TASK_QUEUE, WORKFLOWS, type RunRef, type UndoneDataset } from '../../migration/protocol';
import { openDoor } from '../../workers/door';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { commandFolder } from '../fixtures/caravan-command';
import { createNamespace } from '../fixtures/namespaces';
import { createDatabase, query, testStack } from '../fixtures/stack';
import { until } from '../fixtures/until';

jest.setTimeout(240_000);

/** A person that must not be found anywhere afterwards. */
const SUBJECT = 'ada.canary-7731';

describe('what Caravan keeps of rows, and how it goes', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('forget'); });
  afterAll(() => run.close());

  const rows = async (sql: string) => (await run.target.query<Record<string, unknown>>(sql)).rows;
  const number = async (sql: string) => Number((await rows(sql))[0]?.['n']);
  const undo = (ref: RunRef, dataset: string): Promise<UndoneDataset> =>
    run.call((input: Parameters<typeof undoDataset>[1]) => undoDataset(run.deps, input), { ref, dataset, policy: 'keep_new' as const, attempt: 1, leaving: [dataset] });
  /** 100 people by login, 50 of them in the target as somebody else wrote them; three of the source break a rule. */
  const people = async (name: string): Promise<RunRef> => {
    await run.legacy.query(`CREATE TABLE ${name} (login text PRIMARY KEY, email text); INSERT INTO ${name} SELECT 'u' || g, 'u' || g || '@x.org' FROM generate_series(1, 98) g;
      INSERT INTO ${name} VALUES ('${SUBJECT}', '${SUBJECT}@x.org'), ('${SUBJECT}-broken', '${SUBJECT} at x')`);
    await run.target.query(`CREATE TABLE ${name} (login text PRIMARY KEY, email text); INSERT INTO ${name} SELECT 'u' || g, 'old' || g || '@x.org' FROM generate_series(51, 120) g; INSERT INTO ${name} VALUES ('${SUBJECT}', 'before-${SUBJECT}@x.org')`);
    const { ref } = await run.admit({
      migration: `forget-${name}`, datasets: { [name]: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update' }, validation: { formats: { email: 'email' } } } },
      rollback: { retention: '30d' }, batch: { batch_size: 20, checkpoint_interval: 20 },
    });
    await run.copy(ref, name);
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    return ref;
  };
  const close = (ref: RunRef, outcome: 'complete' | 'rolled_back' = 'complete') => run.call(run.activities.closeRun, { ref, outcome });
  /** Every text that schema `caravan` holds, of ledger and control store alike. */
  const stored = async (): Promise<string> => {
    const tables = await rows(`SELECT tablename AS t FROM pg_tables WHERE schemaname = 'caravan'`);
    const texts = await Promise.all(tables.map(({ t }) => rows(`SELECT coalesce(string_agg(x::text, ' '), '') AS text FROM caravan."${String(t)}" x`)));
    return JSON.stringify(texts);
  };

  test('undo data stays while the migration runs and until its retention is over, then goes by itself; a rollback says so and changes nothing', async () => {
    const ref = await people('kept');
    await expect(forgetUndo(run.deps, { migration: ref.migration, by: 'ann' })).rejects.toMatchObject({ code: 'UNDO_NEEDED', message: expect.stringContaining('Nothing was removed') as string });
    const closed = await close(ref);
    expect(Date.parse(closed?.undoUntil ?? '') - Date.now()).toBeGreaterThan(29.9 * 86_400_000);
    expect(await forgetExpiredUndo(run.deps, ref)).toEqual({ until: closed?.undoUntil, forgotten: 0 });
    expect(await keptUndo(run.deps, ref.migration)).toMatchObject({ datasets: [{ dataset: 'kept', images: 49, conflicts: 0, exports: 0, purgedAt: null }] });
    await expect(forgetUndo(run.deps, { migration: ref.migration, by: 'ann', datasets: ['kept', 'nobody'] })).rejects.toMatchObject({ code: 'PLAN_INVALID', message: expect.stringContaining('nobody') as string });
    expect(await number(`SELECT count(*) AS n FROM caravan.before_image WHERE dataset = 'kept'`)).toBe(49);
    await run.target.query(`UPDATE caravan.migration SET finished_at = finished_at - interval '31 days' WHERE name = '${ref.migration}'`);
    const before = await rows('SELECT * FROM kept ORDER BY login');
    expect(await forgetExpiredUndo(run.deps, ref)).toEqual({ until: null, forgotten: 49 });
    expect(await forgetExpiredUndo(run.deps, ref)).toEqual({ until: null, forgotten: 0 });
    expect(await number(`SELECT count(*) AS n FROM caravan.before_image WHERE dataset = 'kept'`)).toBe(0);
    expect(await keptUndo(run.deps, ref.migration)).toMatchObject({ datasets: [{ images: 0, purgedAt: expect.stringContaining('T') as string }], until: null });
    await expect(undo(ref, 'kept')).rejects.toMatchObject({ code: 'UNDO_MISSING', message: expect.stringContaining('was removed') as string });
    expect(await rows('SELECT * FROM kept ORDER BY login')).toEqual(before);
    expect(await rows(`SELECT actor, body ->> 'reason' AS reason, body -> 'datasets' -> 0 ->> 'images' AS images FROM caravan.audit WHERE event = 'undo_forgotten' AND migration = '${ref.migration}'`))
      .toEqual([{ actor: 'caravan', reason: 'its retention is over', images: '49' }]);
  });

  test('a migration that was half rolled back keeps what the rest needs; one that starts again is not judged by its former end', async () => {
    const ref = await people('halfway');
    await close(ref);
    await run.target.query(`INSERT INTO caravan.step (migration, lease, step, state, undo, evidence, attempt) VALUES ('${ref.migration}', 1, '${ROLLBACK_STEPS.begin}', 'done', '{"do": "none"}', '{"tier": "partial", "datasets": "halfway", "policy": "stop", "in_use": false}', 1)`);
    await expect(forgetUndo(run.deps, { migration: ref.migration, by: 'ann' })).rejects.toMatchObject({ code: 'UNDO_NEEDED', message: expect.stringContaining('half way') as string });
    await run.target.query(`DELETE FROM caravan.step WHERE migration = '${ref.migration}'; UPDATE caravan.migration SET finished_at = NULL, status = 'running' WHERE name = '${ref.migration}'`);
    const answer = await forgetExpiredUndo(run.deps, ref);
    expect(answer.forgotten).toBe(0);
    expect(Date.parse(answer.until ?? '')).toBeGreaterThan(Date.now());
    await expect(forgetUndo(run.deps, { migration: ref.migration, by: 'ann', datasets: ['nobody'] })).rejects.toMatchObject({ code: 'UNDO_NEEDED' });
  });

  test('of one person nothing is left but the rows themselves, and a rollback takes back all the others', async () => {
    const ref = await people('subjects');
    await run.target.query(`UPDATE subjects SET email = 'later@x.org' WHERE login = '${SUBJECT}'`);
    await run.call(run.activities.compareRows, { ref, dataset: 'subjects', repair: false });
    await run.target.query(`UPDATE caravan.commit SET to_key = '{${SUBJECT}}' WHERE dataset = 'subjects' AND commit_no = 1`);
    expect(await stored()).toContain(SUBJECT);
    const ask = (key: string[], more: object = {}) => forgetSubject(run.deps, { migration: ref.migration, dataset: 'subjects', key, rows: [], by: 'ann', reason: 'request 812', ...more });
    await expect(ask(['a', 'b'])).rejects.toMatchObject({ code: 'PLAN_INVALID', message: expect.stringContaining('(login)') as string });
    expect(await ask(['nobody'])).toMatchObject({ images: 0, keys: 0, quarantined: 0, differences: 0 });
    expect(await ask([SUBJECT])).toMatchObject({ images: 1, differences: 1, quarantined: 0, backups: [] });
    const entry = (await rows(`SELECT id::text AS id FROM caravan.quarantine WHERE dataset = 'subjects'`))[0]?.['id'] as string;
    expect(await ask([], { rows: [entry] })).toMatchObject({ quarantined: 1 });
    expect(await ask([`${SUBJECT}-broken`], { rows: [entry] })).toMatchObject({ images: 0, quarantined: 0 });
    // Nothing is hidden by a split's bound here: all 100 rows are one split.
    await run.target.query(`UPDATE caravan.split SET cursor_key = '{zzz}' WHERE dataset = 'subjects'; DELETE FROM caravan.before_image WHERE dataset <> 'subjects'; DELETE FROM caravan.quarantine WHERE dataset <> 'subjects'; DELETE FROM caravan.split WHERE dataset <> 'subjects'; DELETE FROM caravan.commit WHERE dataset <> 'subjects'`);
    expect(await stored()).not.toContain(SUBJECT);
    expect(await rows(`SELECT state, decided_by FROM caravan.quarantine WHERE dataset = 'subjects'`)).toEqual([{ state: 'gone', decided_by: 'ann' }]);
    expect(await undo(ref, 'subjects')).toMatchObject({ removed: 50, restored: 48 });
    expect(await rows(`SELECT email FROM subjects WHERE login = '${SUBJECT}'`)).toEqual([{ email: 'later@x.org' }]);
    expect(await number(`SELECT count(*) AS n FROM subjects WHERE email LIKE 'old%'`)).toBe(70);
    expect(await number('SELECT count(*) AS n FROM subjects')).toBe(71);
  });
});

describe('the retention of a real run', () => {
  test('a worker removes undo data when its time has come, and the command shows and removes it before', async () => {
    const databases = { legacy: await createDatabase('legacy', 'retained'), new: await createDatabase('new', 'retained') };
    const namespace = await createNamespace();
    const env = { CARAVAN_CONNECTION_LEGACY: databases.legacy.url, CARAVAN_CONNECTION_NEW: databases.new.url };
    const folder = commandFolder({ ...env, TEMPORAL_ADDRESS: testStack().temporal, TEMPORAL_NAMESPACE: namespace });
    const door = await openDoor({ env, temporal: { address: testStack().temporal, namespace }, plansFolder: folder.dir, stagingFolder: `${folder.dir}/staging`, logLevel: 'silent' });
    try {
      for (const [table, there] of [['users', 30], ['members', 100]] as const) {
        await query(databases.legacy, `CREATE TABLE ${table} (id int PRIMARY KEY, v text); INSERT INTO ${table} SELECT g, 'v' || g FROM generate_series(1, 100) g`);
        await query(databases.new, `CREATE TABLE ${table} (id int PRIMARY KEY, v text); INSERT INTO ${table} SELECT g, 'old' || g FROM generate_series(1, ${there}) g`);
      }
      const images = async () => Number((await query<{ n: string }>(databases.new, 'SELECT count(*) AS n FROM caravan.before_image'))[0]?.n);
      const { client } = await door.temporal();
      await door.startWorker({});
      const move = (migration: string, table: string, retention: string): Promise<unknown> => client.workflow.execute(WORKFLOWS.migration, {
        workflowId: `migration-${migration}`, taskQueue: TASK_QUEUE,
        args: [{ plan: { migration, rollback: { retention }, datasets: { [table]: { source: { connection: 'legacy' }, target: { connection: 'new', on_conflict: 'update' } } } } }],
      });
      await move('kept-long', 'users', '30d');
      const shown = await folder.caravan('forget', 'kept-long');
      expect([shown.code, shown.out]).toEqual([0, expect.stringMatching(/users\s+30\s+0\s+0[\s\S]*kept until 20/) as string]);
      expect((await folder.caravan('forget', 'kept-long', '--undo-data')).code).toBe(2);
      expect(await images()).toBe(30);
      const one = await folder.caravan('forget', 'kept-long', '--dataset', 'users', '--key', '7', '--reason', 'request 812');
      expect([one.code, one.out]).toEqual([0, expect.stringContaining('1 before-image') as string]);
      const gone = await folder.caravan('forget', 'kept-long', '--undo-data', '--yes');
      expect([gone.code, gone.out]).toEqual([0, expect.stringContaining('29 rows of undo data removed') as string]);
      expect(await images()).toBe(0);
      expect((await folder.caravan('forget', 'kept-long', '--dataset', 'users', '--key', '7', '--key', '8')).code).toBe(2);

      await move('kept-short', 'members', '10s');
      expect(await images()).toBe(100);
      const waiting = client.workflow.getHandle('retention-kept-short');
      expect((await waiting.describe()).status.name).toBe('RUNNING');
      await until(async () => (await images()) === 0, 60_000);
      expect(await waiting.result()).toEqual({ migration: 'kept-short', forgotten: 100 });
    } finally {
      await door.close();
      folder.remove();
      for (const database of Object.values(databases)) await database.drop();
    }
  });
});

import { listQuarantine, replayQuarantine, waiveQuarantine } from '../../activities/quarantine';
import { takeDatasetFence, underFence } from '../../activities/reconciliation/dataset-fence';
import { loadDataset } from '../../activities/run-context';
import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(60_000);

describe('quarantine', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const names = ['people', 'pets', 'notes'];
  const states = async () => Object.fromEntries((await run.target.query<{ d: string; s: string; n: number }>(
    'SELECT dataset AS d, state AS s, count(*)::int AS n FROM caravan.quarantine GROUP BY 1, 2 ORDER BY 1, 2')).rows.map((row) => [`${row.d} ${row.s}`, row.n]));
  const verdicts = async () => {
    const answers: string[] = [];
    for (const dataset of names) {
      answers.push((await run.call(run.activities.compareCounts, { ref, dataset })).verdict, (await run.call(run.activities.compareRows, { ref, dataset, repair: false })).verdict);
    }
    return answers;
  };

  beforeAll(async () => {
    run = await activitiesRun('quarantine');
    await run.legacy.query(`CREATE TABLE people (id int PRIMARY KEY, username text, email text);
      INSERT INTO people SELECT g, 'user' || g, CASE WHEN g IN (3, 4, 5, 6) THEN 'broken' || g WHEN g = 8 THEN 'u7@x.org' ELSE 'u' || g || '@x.org' END FROM generate_series(1, 10) g;
      CREATE TABLE pets (id int PRIMARY KEY, owner int); INSERT INTO pets SELECT g, g FROM generate_series(1, 10) g;
      CREATE TABLE notes (body text, score text); INSERT INTO notes VALUES ('one', '1'), ('two', 'many'), ('three', '3')`);
    await run.target.query(`CREATE TABLE people (id int PRIMARY KEY, user_name text, email text UNIQUE); CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES people); CREATE TABLE notes (body text, score int)`);
    const dataset = (extra: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new' }, ...extra });
    ({ ref } = await run.admit({
      migration: 'quarantine',
      datasets: {
        pets: dataset({ after: ['people'] }),
        people: dataset({ transformations: [{ old_field: 'username', new_field: 'user_name' }], validation: { formats: { email: 'email' } }, pii: ['email', 'user_name'] }),
        notes: dataset({ transformations: [{ old_field: 'score', transform: 'to_integer' }] }),
      },
    }));
    for (const name of names) await run.copy(ref, name);
    for (const name of names) await run.call(run.activities.closeDataset, { ref, dataset: name });
    await run.call(run.activities.settleReferences, { ref, datasets: names });
  }, 120_000);
  afterAll(() => run.close());

  test('is listed masked, and what is revealed is audited and never personal', async () => {
    expect(await states()).toEqual({ 'people open': 5, 'pets open': 5, 'notes open': 1 });
    const rows = await listQuarantine(run.deps, { ref, limit: 100 });
    expect(rows).toHaveLength(11);
    expect(JSON.stringify(rows)).not.toMatch(/broken|user3|x\.org|many/);
    expect(rows.find((row) => row.dataset === 'people')).toMatchObject({ key: ['***'], columns: ['id', 'username', 'email'], content: ['*** (1)', '***', '***'], reasons: [{ rule: 'format:email', column: 'email' }], state: 'open' });
    const shown = await listQuarantine(run.deps, { ref, limit: 100, reveal: { by: 'ann' } });
    expect(JSON.stringify(shown)).not.toMatch(/broken|user3|x\.org/);
    expect(shown.find((row) => row.dataset === 'notes')?.content).toContain('many');
    expect(await listQuarantine(run.deps, { ref, rule: 'unique', limit: 5 })).toHaveLength(1);
    expect((await run.target.query(`SELECT actor, event FROM caravan.audit WHERE event LIKE 'quarantine%'`)).rows).toEqual([{ actor: 'ann', event: 'quarantine revealed' }]);
  });

  test('replay takes what was mended, parents first, closes what is gone, and keeps what is still wrong', async () => {
    await run.legacy.query(`UPDATE people SET email = 'u3@x.org' WHERE id = 3; UPDATE people SET email = 'still wrong' WHERE id = 4; DELETE FROM people WHERE id = 5; DELETE FROM pets WHERE id = 5`);
    // 3 and its pet go in; 5 and its pet are gone; 4, 6, 8, their pets and the note stay.
    expect(await replayQuarantine(run.deps, { ref, by: 'ann' })).toEqual({ replayed: 2, gone: 2, refused: 7 });
    expect(await states()).toEqual({ 'people open': 3, 'people replayed': 1, 'people gone': 1, 'pets open': 3, 'pets replayed': 1, 'pets gone': 1, 'notes open': 1 });
    expect((await run.target.query(`SELECT p.email, t.id FROM people p JOIN pets t ON t.owner = p.id WHERE p.id = 3`)).rows).toEqual([{ email: 'u3@x.org', id: 3 }]);
    expect(await verdicts()).toEqual(Array.from({ length: 6 }, () => 'explained'));
    expect(await replayQuarantine(run.deps, { ref, by: 'ann' })).toEqual({ replayed: 0, gone: 0, refused: 7 });
  });

  test('the target\'s own constraints judge a replay', async () => {
    await run.legacy.query(`UPDATE people SET email = 'u9@x.org' WHERE id = 6`);
    expect(await replayQuarantine(run.deps, { ref, dataset: 'people', by: 'ann' })).toMatchObject({ replayed: 0 });
    expect((await listQuarantine(run.deps, { ref, dataset: 'people', rule: 'unique', limit: 9 })).map((row) => row.state)).toEqual(['open', 'open']);
  });

  test('a waiver needs a person and a reason, and counts on', async () => {
    await expect(waiveQuarantine(run.deps, { ref, dataset: 'people', by: ' ', reason: 'x' })).rejects.toMatchObject({ code: 'PLAN_INVALID' });
    await expect(waiveQuarantine(run.deps, { ref, dataset: 'people', by: 'ann', reason: '' })).rejects.toMatchObject({ code: 'PLAN_INVALID' });
    const [one] = await listQuarantine(run.deps, { ref, dataset: 'pets', state: 'open', limit: 1 });
    expect(await waiveQuarantine(run.deps, { ref, ids: [one?.id ?? ''], by: 'ann', reason: 'test pet' })).toBe(1);
    expect(await waiveQuarantine(run.deps, { ref, dataset: 'people', rule: 'format:email', by: 'ben', reason: 'old accounts' })).toBe(1);
    expect(await states()).toMatchObject({ 'pets waived': 1, 'pets open': 2, 'people waived': 1, 'people open': 2 });
    expect((await run.target.query(`SELECT actor, body ->> 'reason' AS reason FROM caravan.audit WHERE event = 'quarantine waived' ORDER BY id`)).rows).toEqual([{ actor: 'ann', reason: 'test pet' }, { actor: 'ben', reason: 'old accounts' }]);
    expect(await verdicts()).toEqual(Array.from({ length: 6 }, () => 'explained'));
  });

  test('the ledger\'s sums are those of the rows', async () => {
    const { rows } = await run.target.query(`SELECT dataset, sum(read_rows)::int AS read, sum(written_rows)::int AS written, sum(quarantined_rows)::int AS quarantined
      FROM (SELECT dataset, read_rows, written_rows, quarantined_rows FROM caravan.split UNION ALL SELECT dataset, read_rows, written_rows, quarantined_rows FROM caravan.adjustment) a GROUP BY 1 ORDER BY 1`);
    expect(rows).toEqual([{ dataset: 'notes', read: 3, written: 2, quarantined: 1 }, { dataset: 'people', read: 9, written: 6, quarantined: 3 }, { dataset: 'pets', read: 9, written: 6, quarantined: 3 }]);
  });

  test('whoever lost the dataset\'s fence changes nothing', async () => {
    const { target } = await loadDataset(run.deps, { ref, dataset: 'notes' });
    const stale = await takeDatasetFence(target, { migration: 'quarantine', dataset: 'notes' });
    await takeDatasetFence(target, { migration: 'quarantine', dataset: 'notes' });
    await expect(underFence(target, stale, (client) => client.query('DELETE FROM notes'))).rejects.toMatchObject({ code: 'FENCED' });
    expect((await run.target.query('SELECT count(*)::int AS n FROM notes')).rows[0]).toEqual({ n: 2 });
  });

  test('a holder that never ends is ended by the next one', async () => {
    const { target } = await loadDataset(run.deps, { ref, dataset: 'notes' });
    const stuck = await takeDatasetFence(target, { migration: 'quarantine', dataset: 'notes' });
    const hung = underFence(target, stuck, (client) => client.query('SELECT pg_sleep(600)')).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const next = await takeDatasetFence(target, { migration: 'quarantine', dataset: 'notes' });
    expect(Number(next.fence)).toBeGreaterThan(Number(stuck.fence));
    expect(await hung).toMatchObject({ name: 'MigrationError' });
  });
});

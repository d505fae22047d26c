import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { blockTrigger } from '../../activities/connectors/postgres/write-block-schema';
import type { RunRef } from '../../migration/protocol';
import { openEndpoints } from '../../workers/endpoints';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

describe('the steps of a cutover and their undo', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-steps-'));
  const state = path.join(folder, 'state');
  beforeAll(async () => {
    run = await activitiesRun('steps');
    run.deps.endpoints = openEndpoints({ CARAVAN_COMMAND_ROUTE: `f() { if [ "$1" = read ]; then cat "${state}.shown" 2>/dev/null || cat "${state}"; else echo "$1" > "${state}"; fi; }; f` });
    await run.legacy.query('CREATE TABLE people (id int PRIMARY KEY, v text); CREATE TABLE extra (id int); CREATE VIEW shown AS SELECT id, v FROM people');
    await run.target.query('CREATE TABLE people (id int PRIMARY KEY, v text)');
    const view = await run.admit({
      migration: 'steps', datasets: { people: { source: { connection: 'legacy', query: 'SELECT * FROM shown', key: ['id'] }, target: { connection: 'new' } } },
      cutover: { also_block: ['extra'], switch: [{ name: 'shop', command: 'route' }], lock_timeout: '5s' },
    });
    ref = view.ref;
  });
  afterAll(() => run.close());
  const open = () => run.call(run.activities.openCutover, { ref });
  const undoAll = async () => { for (const { id } of (await open()).leftovers) await run.call(run.activities.undoStep, { ref, id }); };
  const refused = (sql: string) => expect(run.legacy.query(sql)).rejects.toMatchObject({ code: '25006' });

  test('a query is blocked through the tables that it reads, further tables as named, and the undo opens all of it', async () => {
    const { attempt } = await open();
    await run.call(run.activities.blockWrites, { ref, attempt, step: 'block target', side: 'target' });
    const blocked = await run.call(run.activities.blockWrites, { ref, attempt, step: 'block source', side: 'source' });
    expect(blocked).toMatchObject({ state: 'done', undo: { do: 'allow_writes', side: 'source' }, evidence: { relations: 2 } });
    await refused(`INSERT INTO people VALUES (1, 'x')`);
    await refused('INSERT INTO extra VALUES (1)');
    const again = await run.call(run.activities.blockWrites, { ref, attempt, step: 'block source', side: 'source' });
    expect(again).toEqual(blocked);
    await undoAll();
    await run.legacy.query(`INSERT INTO extra VALUES (1)`);
    expect((await open()).leftovers).toEqual([]);
  });

  test('what other workflows did began before it is put on record', async () => {
    const { attempt } = await open();
    const record = () => run.call(run.activities.recordStep, { ref, attempt, step: 'final sync', evidence: { what: 'equal' }, tookMs: 90_000 });
    const recorded = await record();
    const lasted = Date.parse(recorded.closedAt ?? '') - Date.parse(recorded.openedAt);
    expect([Math.floor(lasted / 10_000), recorded.state]).toEqual([9, 'done']);
    expect(await record()).toEqual(recorded);
  });

  test('the old side is not opened while the new one takes writes', async () => {
    const { attempt } = await open();
    await run.call(run.activities.blockWrites, { ref, attempt, step: 'block target', side: 'target' });
    await run.call(run.activities.blockWrites, { ref, attempt, step: 'block source', side: 'source' });
    await run.target.query(`SET caravan.worker = 'on'; ALTER TABLE people DISABLE TRIGGER ALL; RESET caravan.worker`);
    await expect(undoAll()).rejects.toMatchObject({ code: 'WRITES_NOT_BLOCKED' });
    await refused('INSERT INTO extra VALUES (1)');
    await run.target.query(`SET caravan.worker = 'on'; ALTER TABLE people ENABLE ALWAYS TRIGGER ${blockTrigger('steps')}; RESET caravan.worker`);
    await undoAll();
    await run.legacy.query(`INSERT INTO extra VALUES (1)`);
  });

  test('a switch that went through and could not be read back has its undo on record', async () => {
    writeFileSync(state, 'legacy');
    writeFileSync(`${state}.shown`, 'who knows');
    const { attempt } = await open();
    await expect(run.call(run.activities.switchApplication, { ref, attempt, step: 'switch shop', application: 'shop', to: 'new' })).rejects.toMatchObject({ code: 'SWITCH_FAILED' });
    expect(readFileSync(state, 'utf8')).toBe('new\n');
    writeFileSync(`${state}.shown`, 'legacy');
    expect((await open()).leftovers).toMatchObject([{ step: 'switch shop', state: 'failed', undo: { do: 'switch_application', to: 'legacy' } }]);
    await undoAll();
    expect(readFileSync(state, 'utf8')).toBe('legacy\n');
  });

  test('a dry run says what each step would do and what hinders it, and changes nothing', async () => {
    await run.legacy.query(`BEGIN; INSERT INTO extra VALUES (2)`);
    writeFileSync(`${state}.shown`, 'new');
    const steps = await run.call(run.activities.dryRunCutover, { ref });
    await run.legacy.query('ROLLBACK');
    const hinders = Object.fromEntries(steps.map(({ step, hinders: why }) => [step, why]));
    expect(hinders['block source']).toMatch(/locks are held now by pid \d+/);
    expect(hinders['switch shop']).toBe('it works on the new side already');
    expect(hinders['open target']).toContain('WRITES_REFUSED');
    expect(steps.map(({ step }) => step)).toEqual(['baseline', 'block target', 'block source', 'move datasets', 'sequences', 'final sync', 'validation', 'switch shop', 'open target', 'secure legacy']);
    expect(readFileSync(state, 'utf8')).toBe('legacy\n');
    await run.legacy.query(`INSERT INTO extra VALUES (3)`);
  });
});

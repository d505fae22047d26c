import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { legacyShop, SMALL_SHOP } from '../../scripts/demo/legacy-shop';
import { seedDatabase } from '../../scripts/demo/seed-database';
import { startTemporal, type TemporalService } from '../../scripts/stack/start-stack';
import { startBrowser, type TestBrowser } from '../fixtures/browser';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, query, type TestDatabase } from '../fixtures/stack';
import { WebUi } from '../fixtures/web-ui';

jest.setTimeout(900_000);

const EXAMPLES = path.join(__dirname, '../../examples');

let dir: string;
let temporal: TemporalService;
let browser: TestBrowser;
let legacy: TestDatabase;
let target: TestDatabase;
let folder: CommandFolder;
let worker: ReturnType<CommandFolder['start']>;
let ui: WebUi;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'caravan-ui-life-'));
  [temporal, browser, legacy, target] = await Promise.all([
    startTemporal({ dir, env: { ...process.env, TEMPORAL_ADDRESS: undefined } }), startBrowser(), createDatabase('legacy', 'life'), createDatabase('new', 'life'),
  ]);
  await seedDatabase(legacy.url, legacyShop(SMALL_SHOP), () => undefined);
  await seedDatabase(target.url, [{ label: 'tables', sql: readFileSync(path.join(EXAMPLES, 'shop-target.sql'), 'utf8') }], () => undefined);
  folder = commandFolder({
    TEMPORAL_ADDRESS: temporal.address, CARAVAN_TEMPORAL_UI: temporal.uiUrl, CARAVAN_PLANS: EXAMPLES,
    CARAVAN_CONNECTION_LEGACY_DB: legacy.url, CARAVAN_CONNECTION_NEW_DB: target.url,
  });
  worker = folder.start('worker');
  ui = new WebUi(await browser.open(), temporal.uiUrl ?? '');
  ui.page.setDefaultTimeout(90_000);
});

afterAll(async () => {
  await browser?.close();
  worker?.child.kill('SIGTERM');
  await worker?.end;
  await temporal?.server?.stop();
  await Promise.all([legacy?.drop(), target?.drop()]);
  folder?.remove();
  rmSync(dir, { recursive: true, force: true });
});

/** With CARAVAN_SCREENSHOTS=docs/images the pictures of the docs are taken on the way. */
const shots = process.env['CARAVAN_SCREENSHOTS'];

async function picture(name: string, height: number): Promise<void> {
  if (!shots) return;
  await ui.page.setViewportSize({ width: 1440, height });
  await ui.page.waitForTimeout(7_000);
  await ui.page.screenshot({ path: path.join(shots, `${name}.png`) });
}

/** Waits at the gate and sends what the details show, with a name put in. */
async function approve(gate: string, role: string, by: string): Promise<void> {
  const shown = await ui.untilDetails(new RegExp(`Status: Waiting for approval \\(${gate}\\)`));
  expect(shown).toContain(`By the role ${role}.`);
  const data = JSON.parse(await ui.inDetails('pre').nth(1).innerText()) as { gate: string; by: string; role: string };
  expect(data).toEqual({ gate, by: 'your name', role });
  const dialog = await ui.fillUpdate('approve', data);
  expect(await dialog.refused()).toBe(`your name does not hold the role "${role}". It is held by ${by}.`);
  await dialog.correct({ ...data, by, reason: 'all of it was read' });
  await dialog.submit();
}

/** Whether a write to the table would be taken. */
async function writable(database: TestDatabase, table: string): Promise<boolean> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(`BEGIN; DELETE FROM ${table} WHERE false; ROLLBACK`);
    return true;
  } catch (error) {
    expect((error as { code?: string }).code).toBe('25006');
    return false;
  } finally {
    await client.end();
  }
}

test('the example goes through its whole life by hand in the Web UI: rehearsed, approved, cut over, signed, and taken back', async () => {
  try {
    await ui.fillStartForm({ workflowId: 'shop', taskQueue: 'caravan', workflowType: 'migration', data: { plan: 'shop' } });
    await ui.sendStartForm();
    await approve('team_briefed', 'technical_lead', 'Tess Turner');
    await approve('stakeholders_informed', 'business_owner', 'Bea Lindqvist');

    // Everything moved and is proved, and nobody may write on either side.
    await ui.untilDetails(/Status: Waiting for approval \(go_live\)/);
    expect([await writable(legacy, 'orders'), await writable(target, 'orders')]).toEqual([false, false]);
    await picture('cutover', 1500);
    await approve('go_live', 'data_owner', 'Dan Okafor');
    for (const [role, by] of [['technical_lead', 'Tess Turner'], ['data_owner', 'Dan Okafor'], ['business_owner', 'Bea Lindqvist']] as const) await approve(role, role, by);

    const done = await ui.untilDetails(/Status: Complete/);
    for (const step of ['block source', 'final sync', 'switch shop_app', 'open target', 'cutover complete']) expect(done).toContain(step);
    expect([await writable(legacy, 'orders'), await writable(target, 'orders')]).toEqual([false, true]);
    expect(await query(target, 'SELECT database FROM ops.shop_app')).toEqual([{ database: 'new' }]);
    await picture('life-complete', 1600);
    await readReport();
    await takeBack();
  } catch (error) {
    const file = path.join(tmpdir(), 'caravan-ui-life-failure.png');
    await ui.page.screenshot({ path: file });
    throw new Error(`${error instanceof Error ? error.message : String(error)}\nThe page at that moment: ${file}\nWorker: ${worker.output().slice(-2000)}`, { cause: error });
  }
});

/** The page that people keep: signed, and found sound by the command that checks it. */
async function readReport(): Promise<void> {
  const file = path.join(dir, 'report.html');
  expect(await folder.caravan('report', 'shop', '-o', file)).toMatchObject({ code: 0 });
  expect(await folder.caravan('report', 'shop', '--verify', file)).toMatchObject({ code: 0, out: expect.stringContaining('none changed, removed or reordered; the report is as it was made') as string });
  await ui.page.goto(pathToFileURL(file).href);
  const text = await ui.page.locator('main').innerText();
  for (const words of ['Legacy shop to the new platform', 'Complete', 'Zero loss', 'Performance', 'Steps of the cutover', 'Tess Turner', 'as claimed', 'Digest of this report']) expect(text).toContain(words);
  expect(text).not.toMatch(/undefined|NaN|@example/);
  if (!shots) return;
  await ui.page.setViewportSize({ width: 1200, height: 1500 });
  await ui.page.screenshot({ path: path.join(shots, 'report.png') });
}

/** A rollback of its own, started like any workflow: it shows what it would cost and waits for a name. */
async function takeBack(): Promise<void> {
  await ui.fillStartForm({ workflowId: 'shop-back', taskQueue: 'caravan', workflowType: 'rollback', data: { migration: 'shop', tier: 'immediate' } });
  await ui.sendStartForm();
  await ui.untilDetails(/Rollback \(immediate\) of shop: waiting for a confirmation/);
  expect([await writable(legacy, 'orders'), await writable(target, 'orders')]).toEqual([false, true]);
  await picture('rollback-forecast', 1100);
  const dialog = await ui.fillUpdate('approve', { gate: 'go_live', by: 'Bea Lindqvist' });
  expect(await dialog.refused()).toContain('Name the gate: {"gate": "rollback", "by": "your name"}.');
  await dialog.correct({ gate: 'rollback', by: 'Bea Lindqvist', reason: 'an exercise' });
  await dialog.submit();
  await ui.untilDetails(/Status: Rolled back/);
  await picture('rolled-back', 1300);
  expect([await writable(legacy, 'orders'), await writable(target, 'orders')]).toEqual([true, false]);
  expect(await query(target, 'SELECT (SELECT count(*)::int FROM orders) AS orders, (SELECT database FROM ops.shop_app) AS database')).toEqual([{ orders: 0, database: 'legacy' }]);
}

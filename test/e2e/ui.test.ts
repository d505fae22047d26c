import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { startTemporal, type TemporalService } from '../../scripts/stack/start-stack';
import { startBrowser, type TestBrowser } from '../fixtures/browser';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { createDatabase, type TestDatabase } from '../fixtures/stack';
import { WebUi } from '../fixtures/web-ui';

jest.setTimeout(600_000);

const CUSTOMERS = 40_000;
const ORDERS = 60_000;
/** While a session of the test holds it, the target takes customers slowly. */
const SLOW = 4711;

const LEGACY = `
CREATE TABLE customers (customer_id int PRIMARY KEY, name text NOT NULL, email text NOT NULL);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, total numeric(12,2) NOT NULL);
INSERT INTO customers SELECT i, 'Customer ' || i, CASE WHEN i = ${CUSTOMERS - 7} THEN 'at the old address' ELSE 'c' || i || '@example.com' END FROM generate_series(1, ${CUSTOMERS}) i;
INSERT INTO orders SELECT i, 1 + i % ${CUSTOMERS}, CASE WHEN i % 20000 = 0 THEN -1 ELSE i / 7.0 END FROM generate_series(1, ${ORDERS}) i;
ANALYZE`;

const TARGET = `
CREATE FUNCTION steady(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  IF id % 100 = 0 AND NOT pg_try_advisory_xact_lock_shared(${SLOW}) THEN PERFORM pg_sleep(0.1); END IF; RETURN true; END $$;
CREATE TABLE customers (customer_id int PRIMARY KEY CHECK (steady(customer_id)), name text NOT NULL, email text NOT NULL);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, total numeric(12,2) NOT NULL)`;

const PLAN = `
migration: webshop
project: Webshop to the new platform
gates: [go_live]
datasets:
  customers: { source: { connection: legacy_db }, target: { connection: new_db }, validation: { formats: { email: email } }, on_invalid: fail }
  orders: { after: [customers], source: { connection: legacy_db }, target: { connection: new_db }, validation: { range: { total: { min: 0 } } } }
batch: { batch_size: 500, checkpoint_interval: 1000, parallel_workers: 2 }
checks: { business_rules: { order_totals: SELECT sum(total) FROM orders } }
`;

let dir: string;
let temporal: TemporalService;
let browser: TestBrowser;
let legacy: TestDatabase;
let target: TestDatabase;
let folder: CommandFolder;
let worker: ReturnType<CommandFolder['start']>;
let ui: WebUi;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'caravan-ui-'));
  // A Temporal of its own: its lists hold this migration alone.
  [temporal, browser, legacy, target] = await Promise.all([
    startTemporal({ dir, env: { ...process.env, TEMPORAL_ADDRESS: undefined } }), startBrowser(), createDatabase('legacy', 'ui'), createDatabase('new', 'ui'),
  ]);
  await Promise.all([sql(legacy, LEGACY), sql(target, TARGET)]);
  folder = commandFolder({ TEMPORAL_ADDRESS: temporal.address, CARAVAN_TEMPORAL_UI: temporal.uiUrl, CARAVAN_CONNECTION_LEGACY_DB: legacy.url, CARAVAN_CONNECTION_NEW_DB: target.url });
  mkdirSync(path.join(folder.dir, 'plans'));
  writeFileSync(path.join(folder.dir, 'plans', 'webshop.yaml'), PLAN);
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

async function sql(database: TestDatabase, text: string): Promise<object[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query<object>(text)).rows;
  } finally {
    await client.end();
  }
}

/** With CARAVAN_SCREENSHOTS=docs/images the pictures of the docs are taken on the way. */
const shots = process.env['CARAVAN_SCREENSHOTS'];

async function picture(name: string, height = 900): Promise<void> {
  if (!shots) return;
  await ui.page.setViewportSize({ width: 1440, height });
  // Until the message about what was done before is gone.
  await ui.page.waitForTimeout(7_000);
  await ui.page.screenshot({ path: path.join(shots, `${name}.png`) });
}

/** The bookmarks that the README offers, by their names. */
function bookmark(name: string): string {
  const [, link] = new RegExp(`^- ${name}: \`(/namespaces[^\`]+)\``, 'm').exec(readFileSync(path.join(__dirname, '..', '..', 'README.md'), 'utf8')) ?? [];
  if (!link) throw new Error(`the README has no bookmark "${name}"`);
  return link;
}

test('a migration is started, approved, paused, resumed, blocked, resolved and finished by hand in the Web UI', async () => {
  const slow = new Client({ connectionString: target.url });
  await slow.connect();
  await slow.query(`SELECT pg_advisory_lock(${SLOW})`);
  try {
    await start();
    await approve();
    await pauseAndResume();
    await slow.query(`SELECT pg_advisory_unlock(${SLOW})`);
    await resolve();
    await finish();
  } catch (error) {
    const file = path.join(tmpdir(), 'caravan-ui-failure.png');
    await ui.page.screenshot({ path: file });
    throw new Error(`${error instanceof Error ? error.message : String(error)}\nThe page at that moment: ${file}\nWorker: ${worker.output().slice(-2000)}`, { cause: error });
  } finally {
    await slow.end();
  }
});

async function start(): Promise<void> {
  await ui.fillStartForm({ workflowId: 'webshop', taskQueue: 'caravan', workflowType: 'migration', data: { plan: 'webshop' } });
  await picture('start-form', 1000);
  await ui.sendStartForm();
}

/** The gate of the plan: what is shown is what can be sent, and a wrong answer is refused in words. */
async function approve(): Promise<void> {
  const shown = await ui.untilDetails(/Status: Waiting for approval \(go_live\)/);
  expect(shown).toContain('Send an Update → approve, with this as Data:');
  const data = JSON.parse(await ui.inDetails('pre').nth(1).innerText()) as { gate: string };
  expect(data).toEqual({ gate: 'go_live', by: 'your name' });
  await picture('approval', 1000);
  const dialog = await ui.fillUpdate('approve', { ...data, gate: 'go' });
  expect(dialog.description).toContain('Opens a gate of the plan');
  // The whole answer: a stack trace or a path of the sources would be part of it.
  expect(await dialog.refused()).toBe('Name a gate of the plan as "gate": go_live.');
  await dialog.correct({ ...data, by: 'Ada Lovelace' });
  await dialog.submit();
}

async function pauseAndResume(): Promise<void> {
  const running = await ui.untilDetails(shots ? /Records Processed: [2-3][0-9],000/ : /Records Processed: [1-9][0-9]?,000 \/ 100,000/);
  expect(running).toMatch(/Current Table: customers\n.*\n.*Error Count: 0 \(0%\)\n.*ETA: .*\n.*Status: Running/);
  expect(running).toMatch(/customers +copying +[1-9][0-9]?,000 +40,000 +0\n *orders +waiting/);
  await picture('dashboard', 1150);
  await (await ui.fillUpdate('pause', { by: 'Ada Lovelace', reason: 'nightly backup' })).submit();
  const paused = await ui.untilDetails(/Status: Paused/);
  expect(paused).toMatch(/Paused by Ada Lovelace: nightly backup\. To go on: .*Send an Update → resume/);
  expect(paused).toMatch(/customers +paused/);
  await (await ui.fillUpdate('resume')).submit();
  await ui.untilDetails(/Status: Running/);
}

/** A row breaks a rule: the dashboard says what to do and what to send; the decision goes by an update, after the row was mended. */
async function resolve(): Promise<void> {
  const blocked = await ui.untilDetails(/Status: Blocked \(copy:customers\)/);
  expect(blocked).toMatch(/ROW_REFUSED since [-0-9]+ [0-9:]+ UTC: dataset customers: a row breaks format:email on email/);
  expect(blocked).toContain('Correct the row in the source, then retry.');
  expect(blocked).toMatch(/customers +blocked/);
  expect(blocked).not.toContain('at the old address');
  const data = JSON.parse(await ui.inDetails('pre').nth(1).innerText()) as object;
  expect(data).toEqual({ action: 'retry', step: 'copy:customers', by: 'your name' });
  await picture('blocked', 1400);
  const run = ui.page.url();
  await ui.untilListed(bookmark('blocked'), ['webshop']);
  await picture('list', 600);
  await ui.untilListed(bookmark('running'), ['webshop']);
  await ui.page.goto(run);

  const decision = { ...data, by: 'Ada Lovelace' };
  const dialog = await ui.fillUpdate('resolveStep', decision);
  expect(dialog.description).toContain('Decides on a blocked step');
  await picture('resolve-step', 1000);
  await dialog.correct({ ...decision, step: 'copy:orders' });
  expect(await dialog.refused()).toBe('The step "copy:orders" is not blocked. Blocked: "copy:customers".');
  await picture('refused', 1000);
  await sql(legacy, `UPDATE customers SET email = 'mended@example.com' WHERE email NOT LIKE '%@%'`);
  await dialog.correct(decision);
  await dialog.submit();
}

async function finish(): Promise<void> {
  const done = await ui.untilDetails(/Status: Complete/);
  expect(done).toContain('[=========] 100%');
  expect(done).toContain('Records Processed: 100,000 / 100,000');
  expect(done).toContain('Error Count: 3 (0.003%)');
  expect(done).toMatch(/orders +done +60,000 +60,000 +3/);
  await ui.page.reload();
  await ui.page.getByText(/^completed$/i).first().waitFor();
  await ui.untilDetails(/Status: Complete/);
  await picture('finished', 1000);
  const children = await ui.inDetails('a', { hasText: 'Workflows of this run' }).getAttribute('href');
  await ui.untilListed(children ?? '', ['webshop', 'webshop/1-preparation', 'webshop/2-production-ungrouped', 'webshop/customers', 'webshop/orders', 'webshop/3-validation']);
  await ui.untilListed(bookmark('blocked'), []);
  await ui.untilListed(bookmark('running'), []);
  await ui.page.goto(`${ui.address}/namespaces/default/workflows/webshop%2Fcustomers`);
  // A person reads in the timeline what each piece of work was, and where it waited for a decision.
  for (const text of ['customers, split 0', 'stepBlocked', 'stepDecision', 'finish customers']) await ui.page.getByText(text).first().waitFor();
  if (shots) await ui.page.getByText('openDataset').last().scrollIntoViewIfNeeded();
  await picture('timeline', 1150);
  const arrived = `SELECT count(*)::int AS rows, md5(string_agg(t::text, ',' ORDER BY t)) AS digest FROM (SELECT customer_id, name, email FROM customers) t`;
  expect(await sql(target, arrived)).toEqual(await sql(legacy, arrived));
  expect(await sql(target, `SELECT actor, event FROM caravan.audit WHERE actor LIKE 'Ada%'`)).not.toEqual([]);
}
